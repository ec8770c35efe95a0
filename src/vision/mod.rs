//! CNN encoders, their weights, and the features they make.
