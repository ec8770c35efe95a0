//! One image, captioned: within a process, beside PyTorch; and by the program, from its start to its end.
//!
//! Weights are random, and a model that has learned nothing seldom ends a sentence: everybody writes as many words
//! as a caption may have.

mod comparison;
mod run;

pub(crate) use comparison::print;
