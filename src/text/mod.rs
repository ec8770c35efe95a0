//! From captions to token ids: cleaning, vocabulary and statistics.
//!
//! ```
//! use cutline::text::{Cleaning, Vocabulary, END, START};
//!
//! let cleaning = Cleaning::default();
//! let captions = [cleaning.tokens("A dog runs ."), cleaning.tokens("A cat sleeps.")];
//! let vocabulary = Vocabulary::build(captions.iter().map(Vec::as_slice), 1);
//! let ids = vocabulary.encode(&cleaning.tokens("a cat runs!"));
//! assert_eq!(vocabulary.decode(&[&[START], &ids[..], &[END]].concat()), ["a", "cat", "runs"]);
//! ```

mod cleaning;
mod display;
mod missing;
mod ptb;
pub mod statistics;
mod vocabulary;

pub use cleaning::{Cleaning, Tokenizer, is_without_spaces};
pub use display::{about_duration, byte_size, counted, display_path, display_safe, grouped, per_second};
pub(crate) use missing::{is_missing, json_of_python, with_nulls};
pub use ptb::PtbTokenizer;
pub use vocabulary::{END, PAD, START, TokenId, UNKNOWN, Vocabulary, VocabularyError};
