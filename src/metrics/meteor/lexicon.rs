//! The words of some captions, and the matches between them.

use std::collections::{HashMap, HashSet};

use rust_stemmers::{Algorithm, Stemmer};

use super::score::WordCounts;
use super::synonyms::Synonyms;

/// A word of a [`WordIds`].
pub(super) type WordId = u32;

/// A sequence of words.
pub(super) type Phrase = Box<[WordId]>;

/// The distinct words of captions.
#[derive(Debug, Default)]
pub(super) struct WordIds {
    ids: HashMap<String, WordId>,
    words: Vec<String>,
}

impl WordIds {
    /// The word's id; adds it if it is new.
    pub(super) fn add(&mut self, word: String) -> WordId {
        if let Some(&id) = self.ids.get(&word) {
            return id;
        }
        let id = self.words.len() as WordId;
        self.words.push(word.clone());
        self.ids.insert(word, id);
        id
    }

    /// The word's id, if it is in the captions.
    pub(super) fn get(&self, word: &str) -> Option<WordId> {
        self.ids.get(word).copied()
    }
}

/// The paraphrases of phrases, in the order of their file.
#[derive(Debug, Default)]
pub(super) struct Paraphrases {
    by_phrase: HashMap<Phrase, Vec<Phrase>>,
    longest: usize,
}

impl Paraphrases {
    /// Adds a paraphrase; neither side is empty.
    pub(super) fn add(&mut self, phrase: &[WordId], paraphrase: &[WordId]) {
        self.longest = self.longest.max(phrase.len());
        match self.by_phrase.get_mut(phrase) {
            Some(paraphrases) => paraphrases.push(paraphrase.into()),
            None => {
                self.by_phrase.insert(phrase.into(), vec![paraphrase.into()]);
            }
        }
    }
}

/// Facts about each word of a vocabulary, and its paraphrases.
#[derive(Debug)]
pub(super) struct Lexicon {
    words: Vec<Word>,
    paraphrases: Paraphrases,
}

#[derive(Debug)]
struct Word {
    key: i32,
    stem: i32,
    is_function_word: bool,
    /// Sorted.
    synsets: Box<[u32]>,
}

impl Lexicon {
    /// Looks up the words of a vocabulary.
    pub(super) fn new(
        vocabulary: &WordIds,
        function_words: &HashSet<String>,
        synonyms: &Synonyms,
        paraphrases: Paraphrases,
    ) -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        let word = |word: &String| Word {
            key: java_hash(word),
            stem: java_hash(&stemmer.stem(word)),
            is_function_word: function_words.contains(word),
            synsets: synonyms.synsets(word),
        };
        Self {
            words: vocabulary.words.iter().map(word).collect(),
            paraphrases,
        }
    }

    fn word(&self, id: WordId) -> &Word {
        &self.words[id as usize]
    }

    /// Counts a word as a function word or a content word.
    pub(super) fn count(&self, id: WordId, counts: &mut WordCounts) {
        match self.word(id).is_function_word {
            true => counts.function += 1.0,
            false => counts.content += 1.0,
        }
    }

    /// Whether two words are the same.
    pub(super) fn is_same(&self, one: WordId, other: WordId) -> bool {
        self.word(one).key == self.word(other).key
    }

    /// Whether two different words have the same stem.
    pub(super) fn is_same_stem(&self, one: WordId, other: WordId) -> bool {
        self.word(one).stem == self.word(other).stem && !self.is_same(one, other)
    }

    /// Whether two different words have a synset in common.
    pub(super) fn is_synonym(&self, one: WordId, other: WordId) -> bool {
        let theirs = &self.word(other).synsets;
        let is_shared = |set: &u32| theirs.binary_search(set).is_ok();
        self.word(one).synsets.iter().any(is_shared) && !self.is_same(one, other)
    }

    /// The paraphrases of a phrase.
    pub(super) fn paraphrases(&self, phrase: &[WordId]) -> &[Phrase] {
        self.paraphrases.by_phrase.get(phrase).map_or(&[], Vec::as_slice)
    }

    /// The number of words of the longest phrase with a paraphrase.
    pub(super) fn longest_phrase(&self) -> usize {
        self.paraphrases.longest
    }
}

/// `String.hashCode` of Java. METEOR compares words by it, so that `an` equals `c0`.
fn java_hash(word: &str) -> i32 {
    let units = word.encode_utf16();
    units.fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}
