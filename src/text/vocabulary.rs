//! The words of a decoder and their token ids.

use super::display::{display_path, display_safe};
use super::statistics::words_by_frequency;
use crate::files::ConfinedPath;
use std::collections::HashMap;
use std::io;
use std::iter;
use std::path::PathBuf;

/// Longer files are not read.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The id of a token in a [`Vocabulary`].
pub type TokenId = u32;

/// The padding token, behind captions that are shorter than the longest of their batch.
pub const PAD: TokenId = 0;
/// The start token (BOS).
pub const START: TokenId = 1;
/// The end token (EOS).
pub const END: TokenId = 2;
/// The token of words that are not in the vocabulary.
pub const UNKNOWN: TokenId = 3;

/// The names of the special tokens.
const SPECIAL_TOKENS: [&str; 4] = ["<pad>", "<start>", "<end>", "<unk>"];

/// Words and their ids: four special tokens, then the words, most frequent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<(String, u64)>,
    ids: HashMap<String, TokenId>,
}

impl Vocabulary {
    /// The words with at least `minimum_count` occurrences, most frequent first, then alphabetical.
    pub fn build<'a>(captions: impl IntoIterator<Item = &'a [String]>, minimum_count: u64) -> Self {
        let words = words_by_frequency(captions)
            .into_iter()
            .take_while(|&(_, count)| count >= minimum_count)
            .map(|(word, count)| (word.to_owned(), count));
        Self::from_words(words.collect())
    }

    fn from_words(words: Vec<(String, u64)>) -> Self {
        let ids = iter::zip(&words, SPECIAL_TOKENS.len() as TokenId..)
            .map(|((word, _), id)| (word.clone(), id))
            .collect();
        Self { words, ids }
    }

    /// The number of ids, including the four special tokens: the width of a decoder's output.
    #[allow(clippy::len_without_is_empty, reason = "the special tokens are always there")]
    pub fn len(&self) -> usize {
        SPECIAL_TOKENS.len() + self.words.len()
    }

    /// The id of a word; [`UNKNOWN`] if it is not in the vocabulary.
    pub fn id(&self, word: &str) -> TokenId {
        self.ids.get(word).copied().unwrap_or(UNKNOWN)
    }

    /// Whether the word is in the vocabulary.
    pub fn contains(&self, word: &str) -> bool {
        self.ids.contains_key(word)
    }

    /// The word of an id, or the name of a special token (`<pad>`, `<start>`, `<end>`, `<unk>`); `<unk>` if there is no
    /// such id.
    pub fn word(&self, id: TokenId) -> &str {
        let id = id as usize;
        match id.checked_sub(SPECIAL_TOKENS.len()) {
            None => SPECIAL_TOKENS[id],
            Some(index) => self.words.get(index).map_or("<unk>", |(word, _)| word),
        }
    }

    /// The ids of the tokens, without start and end token.
    pub fn encode(&self, tokens: &[String]) -> Vec<TokenId> {
        tokens.iter().map(|token| self.id(token)).collect()
    }

    /// The words before the first [`END`], without start and padding tokens; [`UNKNOWN`] becomes `<unk>`.
    pub fn decode(&self, ids: &[TokenId]) -> Vec<String> {
        ids.iter()
            .take_while(|&&id| id != END)
            .filter(|&&id| id != PAD && id != START)
            .map(|&id| self.word(id).to_owned())
            .collect()
    }

    /// The words without special tokens, in the order of their ids.
    pub fn words(&self) -> impl Iterator<Item = &str> + '_ {
        self.words.iter().map(|(word, _)| word.as_str())
    }

    /// The words with their counts in the training split, in the order of their ids.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> + '_ {
        self.words.iter().map(|(word, count)| (word.as_str(), *count))
    }

    /// Writes lines `word<TAB>count` in the order of the ids, without special tokens.
    ///
    /// # Errors
    /// If the file cannot be written, or a word contains whitespace and could not be read again.
    pub fn write(&self, file: impl Into<ConfinedPath>) -> Result<(), VocabularyError> {
        let file = file.into();
        let text = self.to_text()?;
        file.write_atomically(|out| out.write_all(text.as_bytes()))
            .map_err(|source| VocabularyError::Write {
                file: file.into(),
                source,
            })
    }

    /// The text of the file that [`write`](Self::write) writes.
    ///
    /// # Errors
    /// If a word contains whitespace and could not be read again.
    pub(crate) fn to_text(&self) -> Result<String, VocabularyError> {
        if let Some(word) = self.words().find(|word| !is_one_word(word)) {
            return Err(VocabularyError::Word(display_safe(word).into_owned()));
        }
        let lines = self.counts().map(|(word, count)| format!("{word}\t{count}\n"));
        Ok(lines.collect())
    }

    /// Reads a file that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not `word<TAB>count`, is truncated, or repeats a word.
    pub fn read(file: impl Into<ConfinedPath>) -> Result<Self, VocabularyError> {
        let file = file.into();
        let text = file
            .read_to_string(MAX_FILE_BYTES)
            .map_err(|source| VocabularyError::Read {
                file: (&file).into(),
                source,
            })?;
        Self::parse(&text).map_err(|InvalidLine { line, what }| VocabularyError::Line {
            file: file.into(),
            line,
            what,
        })
    }

    /// Reads the text of a file that [`write`](Self::write) wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidLine> {
        let mut vocabulary = Self::default();
        for (line, number) in iter::zip(text.split_inclusive('\n'), 1..) {
            let wrong = |what| InvalidLine { line: number, what };
            let line = line.strip_suffix('\n').ok_or_else(|| wrong("is truncated"))?;
            let (word, count) = parse(line).ok_or_else(|| wrong("is not a word, a tab and a count"))?;
            let id = vocabulary.len() as TokenId;
            if vocabulary.ids.insert(word.to_owned(), id).is_some() {
                return Err(wrong("repeats a word"));
            }
            vocabulary.words.push((word.to_owned(), count));
        }
        Ok(vocabulary)
    }

    /// The first word in which this and another vocabulary differ: its position from 1, and the words there.
    pub fn first_difference<'a>(&'a self, other: &'a Self) -> Option<(usize, [Option<&'a str>; 2])> {
        let longest = self.words.len().max(other.words.len());
        let word = |words: &'a [(String, u64)], index: usize| words.get(index).map(|(word, _)| word.as_str());
        let mut pairs =
            (0..longest).map(|index| (index + 1, [word(&self.words, index), word(&other.words, index)]));
        pairs.find(|(_, [one, other])| one != other)
    }
}

/// A line of a vocabulary that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidLine {
    pub(crate) line: usize,
    pub(crate) what: &'static str,
}

fn parse(line: &str) -> Option<(&str, u64)> {
    let (word, count) = line.split_once('\t')?;
    Some((word, count.parse().ok()?)).filter(|(word, _)| is_one_word(word))
}

fn is_one_word(word: &str) -> bool {
    !word.is_empty() && !word.contains(char::is_whitespace)
}

/// Why a vocabulary could not be written or read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum VocabularyError {
    #[error("cannot read the vocabulary {}: {source}: is this a prepared dataset or a run?", display_path(.file))]
    Read { file: PathBuf, source: io::Error },
    #[error("cannot write the vocabulary {}: {source}: check space and permissions", display_path(.file))]
    Write { file: PathBuf, source: io::Error },
    #[error("{}, line {line} {what}: prepare the dataset again, or copy the file again", display_path(.file))]
    Line {
        file: PathBuf,
        line: usize,
        what: &'static str,
    },
    #[error("the word {0:?} is empty or holds whitespace: split captions into tokens first")]
    Word(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn tokens(caption: &str) -> Vec<String> {
        caption.split_whitespace().map(str::to_owned).collect()
    }

    fn vocabulary(captions: &[&str], minimum_count: u64) -> Vocabulary {
        let captions: Vec<_> = captions.iter().map(|caption| tokens(caption)).collect();
        Vocabulary::build(captions.iter().map(Vec::as_slice), minimum_count)
    }

    #[test]
    fn vocabulary_is_sorted_by_count_without_rare_words() {
        let vocabulary = vocabulary(&["b a dog", "a b", "a cat"], 2);
        assert_eq!(vocabulary.counts().collect::<Vec<_>>(), [("a", 3), ("b", 2)]);
        assert_eq!(vocabulary.len(), 6);
        assert_eq!(vocabulary.encode(&tokens("b dog a")), [5, UNKNOWN, 4]);
        assert_eq!(vocabulary.word(4), "a");
        assert_eq!(vocabulary.word(END), "<end>");
        assert_eq!(vocabulary.word(99), "<unk>");
    }

    #[test]
    fn decoding_stops_at_the_end_marker() {
        let vocabulary = vocabulary(&["a a dog"], 1);
        assert_eq!(
            vocabulary.decode(&[START, 4, PAD, UNKNOWN, 5, END, 4]),
            ["a", "<unk>", "dog"]
        );
    }

    #[test]
    fn words_that_look_like_special_tokens_are_encoded() {
        let vocabulary = vocabulary(&["<end> of <pad>"], 1);
        let caption = tokens("of <end> of");
        assert_eq!(vocabulary.decode(&vocabulary.encode(&caption)), caption);
    }

    #[test]
    fn vocabulary_errors_name_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("vocabulary.txt");
        let message = |content: &str| {
            fs::write(&file, content).unwrap();
            Vocabulary::read(&file).unwrap_err().to_string()
        };
        assert!(message("a\t3\nb\t").contains("line 2 is truncated"));
        assert!(message("a\t3\nb\n").contains("line 2 is not a word"));
        assert!(message("a\t3\n \t1\n").contains("line 2 is not a word"));
        assert!(message("a\t3\na\t1\n").contains("line 2 repeats a word"));
        let spaced = Vocabulary::build([["two words".to_owned()].as_slice()], 1);
        assert!(matches!(spaced.write(&file), Err(VocabularyError::Word(_))));
    }

    proptest! {
        #[test]
        fn vocabulary_survives_encoding_and_files(captions in proptest::collection::vec("[a-e]{1,2}( [a-e]{1,2}){0,5}", 1..20)) {
            let captions: Vec<_> = captions.iter().map(|caption| tokens(caption)).collect();
            let vocabulary = Vocabulary::build(captions.iter().map(Vec::as_slice), 1);
            for caption in &captions {
                prop_assert_eq!(&vocabulary.decode(&vocabulary.encode(caption)), caption);
            }
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("vocabulary.txt");
            vocabulary.write(&file).unwrap();
            prop_assert_eq!(Vocabulary::read(&file).unwrap(), vocabulary);
        }

        #[test]
        fn vocabulary_ignores_the_order_of_captions(
            captions in proptest::collection::vec("[a-e]{1,2}( [a-e]{1,2}){0,5}", 1..20),
        ) {
            let forwards: Vec<_> = captions.iter().map(|caption| tokens(caption)).collect();
            let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
            let built = [&forwards, &backwards]
                .map(|captions| Vocabulary::build(captions.iter().map(Vec::as_slice), 2));
            prop_assert_eq!(&built[0], &built[1]);
            let order: Vec<_> = built[0].counts().map(|(word, count)| (std::cmp::Reverse(count), word)).collect();
            prop_assert!(order.is_sorted());
        }
    }
}
