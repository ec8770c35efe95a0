//! The words a decoder knows, and their ids.

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

/// Fills a caption up to the length of its batch.
pub const PAD: TokenId = 0;
/// Stands before the first word of every caption.
pub const START: TokenId = 1;
/// Stands after the last word of every caption.
pub const END: TokenId = 2;
/// Stands for every word that is not in the vocabulary.
pub const UNKNOWN: TokenId = 3;

/// The names of the ids below the first word's.
const MARKERS: [&str; 4] = ["<pad>", "<start>", "<end>", "<unk>"];

/// Words and their ids: four markers first, then the words, most frequent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<(String, u64)>,
    ids: HashMap<String, TokenId>,
}

impl Vocabulary {
    /// The words that occur at least `minimum_count` times in `captions`, most frequent first, words of
    /// equal count in alphabetical order.
    pub fn build<'a>(captions: impl IntoIterator<Item = &'a [String]>, minimum_count: u64) -> Self {
        let words = words_by_frequency(captions)
            .into_iter()
            .take_while(|&(_, count)| count >= minimum_count)
            .map(|(word, count)| (word.to_owned(), count));
        Self::from_words(words.collect())
    }

    fn from_words(words: Vec<(String, u64)>) -> Self {
        let ids = iter::zip(&words, MARKERS.len() as TokenId..)
            .map(|((word, _), id)| (word.clone(), id))
            .collect();
        Self { words, ids }
    }

    /// The number of ids, the four markers among them: the width of a decoder's output.
    #[allow(clippy::len_without_is_empty, reason = "the markers are always there")]
    pub fn len(&self) -> usize {
        MARKERS.len() + self.words.len()
    }

    /// The id of a word; [`UNKNOWN`] where it is not in the vocabulary.
    pub fn id(&self, word: &str) -> TokenId {
        self.ids.get(word).copied().unwrap_or(UNKNOWN)
    }

    /// Whether the vocabulary holds this word.
    pub fn contains(&self, word: &str) -> bool {
        self.ids.contains_key(word)
    }

    /// The word of an id, or the marker's name (`<pad>`, `<start>`, `<end>`, `<unk>`); `<unk>` where no
    /// word has this id.
    pub fn word(&self, id: TokenId) -> &str {
        let id = id as usize;
        match id.checked_sub(MARKERS.len()) {
            None => MARKERS[id],
            Some(place) => self
                .words
                .get(place)
                .map_or(MARKERS[UNKNOWN as usize], |(word, _)| word),
        }
    }

    /// The ids of the tokens, without start and end marker.
    pub fn encode(&self, tokens: &[String]) -> Vec<TokenId> {
        tokens.iter().map(|token| self.id(token)).collect()
    }

    /// The words up to the first [`END`], start and padding skipped, [`UNKNOWN`] as `<unk>`.
    pub fn decode(&self, ids: &[TokenId]) -> Vec<String> {
        ids.iter()
            .take_while(|&&id| id != END)
            .filter(|&&id| id != PAD && id != START)
            .map(|&id| self.word(id).to_owned())
            .collect()
    }

    /// The words without the markers, in the order of their ids.
    pub fn words(&self) -> impl Iterator<Item = &str> + '_ {
        self.words.iter().map(|(word, _)| word.as_str())
    }

    /// The words with how often they occur in the training split, in the order of their ids.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> + '_ {
        self.words.iter().map(|(word, count)| (word.as_str(), *count))
    }

    /// Writes one `word<TAB>count` a line, in the order of the ids, without the markers.
    ///
    /// # Errors
    /// Where the file cannot be written, or a word holds whitespace and so could not be read back.
    pub fn write(&self, file: impl Into<ConfinedPath>) -> Result<(), VocabularyError> {
        let file = file.into();
        if let Some(word) = self.words().find(|word| !is_one_word(word)) {
            return Err(VocabularyError::Word(display_safe(word).into_owned()));
        }
        file.write_atomically(|out| {
            self.counts()
                .try_for_each(|(word, count)| writeln!(out, "{word}\t{count}"))
        })
        .map_err(|source| VocabularyError::Write {
            file: file.into(),
            source,
        })
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// Names the file where it cannot be read, and the line that is not `word<TAB>count`, or is torn, or
    /// holds a word for the second time.
    pub fn read(file: impl Into<ConfinedPath>) -> Result<Self, VocabularyError> {
        let file = file.into();
        let text = file
            .read_to_string(MAX_FILE_BYTES)
            .map_err(|source| VocabularyError::Read {
                file: (&file).into(),
                source,
            })?;
        let mut vocabulary = Self::default();
        for (line, number) in iter::zip(text.split_inclusive('\n'), 1..) {
            let wrong = |what| VocabularyError::Line {
                file: (&file).into(),
                line: number,
                what,
            };
            let line = line.strip_suffix('\n').ok_or_else(|| wrong("is torn"))?;
            let (word, count) = parse(line).ok_or_else(|| wrong("is not a word, a tab and a count"))?;
            let id = vocabulary.len() as TokenId;
            if vocabulary.ids.insert(word.to_owned(), id).is_some() {
                return Err(wrong("repeats a word"));
            }
            vocabulary.words.push((word.to_owned(), count));
        }
        Ok(vocabulary)
    }
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
pub enum VocabularyError {
    /// The file cannot be read.
    #[error("cannot read the vocabulary {}: {source}: is this a prepared data set or a run?", display_path(.file))]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the vocabulary {}: {source}: check space and permissions", display_path(.file))]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("{}, line {line} {what}: prepare the data set again, or copy the file again", display_path(.file))]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A word cannot stand in the file.
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
    fn words_that_look_like_markers_are_encoded() {
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
        assert!(message("a\t3\nb\t").contains("line 2 is torn"));
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
        fn the_order_does_not_depend_on_the_order_of_captions(
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
