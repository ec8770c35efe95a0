//! Caption metrics: pure functions on token lists.
