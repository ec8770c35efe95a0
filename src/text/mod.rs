//! From caption to token ids.

/// A word's number in the vocabulary.
pub type TokenId = u32;
/// Begins every caption.
pub const START: TokenId = 1;
/// Ends every caption.
pub const END: TokenId = 2;
/// Fills up.
pub const PAD: TokenId = 0;
/// Stands for words the vocabulary lacks.
pub const UNKNOWN: TokenId = 3;
