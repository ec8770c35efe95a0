//! Captioned data sets: readers, splits, checks, and what `prepare` leaves on disk.
