//! From caption to token ids.

/// A word's number in the vocabulary.
pub type TokenId = u32;
/// Begins every caption.
pub const START: TokenId = 1;
/// Ends every caption.
pub const END: TokenId = 2;
