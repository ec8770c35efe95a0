//! Synonyms: words that share a synset of WordNet.

use std::collections::HashMap;

/// The synsets of WordNet by word, and its irregular forms.
#[derive(Debug, Default)]
pub(super) struct Synonyms {
    pub(super) synsets: HashMap<String, Vec<u32>>,
    /// The base forms of irregular forms: `mice` has `mouse`.
    pub(super) bases: HashMap<String, Vec<String>>,
}

/// WordNet's endings, in the order of its function `morphy`, and how the base form ends instead.
const ENDINGS: [(&str, &str); 20] = [
    // Nouns.
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
    // Verbs.
    ("s", ""),
    ("ies", "y"),
    ("es", "e"),
    ("es", ""),
    ("ed", "e"),
    ("ed", ""),
    ("ing", "e"),
    ("ing", ""),
    // Adjectives.
    ("er", ""),
    ("est", ""),
    ("er", "e"),
    ("est", "e"),
];

impl Synonyms {
    /// The synsets of a word and of its base forms, sorted.
    pub(super) fn synsets(&self, word: &str) -> Box<[u32]> {
        let bases = match self.bases.get(word) {
            Some(bases) => bases.clone(),
            None => self.regular_base(word).into_iter().collect(),
        };
        let words = std::iter::once(word).chain(bases.iter().map(String::as_str));
        let mut synsets: Vec<u32> = words
            .filter_map(|word| self.synsets.get(word))
            .flatten()
            .copied()
            .collect();
        synsets.sort_unstable();
        synsets.dedup();
        synsets.into()
    }

    /// The first base form that WordNet has.
    fn regular_base(&self, word: &str) -> Option<String> {
        if word.ends_with("ss") || word.encode_utf16().count() <= 2 {
            return None;
        }
        ENDINGS.iter().find_map(|(ending, replacement)| {
            let base = word.strip_suffix(ending)?.to_owned() + replacement;
            self.synsets.contains_key(&base).then_some(base)
        })
    }
}
