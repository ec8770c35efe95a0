//! METEOR 1.5 for English, equal to the scores of `meteor-1.5.jar -l en -norm` as coco-caption runs it.
//!
//! Denkowski and Lavie 2014, "Meteor Universal: Language Specific Translation Evaluation for Any Target Language".
//! Captions are aligned word by word: equal words, equal stems, synonyms of WordNet and paraphrases. The data files are
//! not part of Cutline: they are read from where the user has them.

mod align;
mod data;
mod lexicon;
mod normalize;
mod score;
mod synonyms;
#[cfg(test)]
mod tests;

use std::path::Path;

use rayon::prelude::*;

use super::Example;
use data::DataFiles;
pub use data::MeteorError;
use lexicon::{Lexicon, WordId, WordIds};
use normalize::Normalizer;
pub use score::MeteorCounts;

/// Longer captions would take minutes each.
const MOST_WORDS: usize = 1_000;

/// The counts of each example: those of the reference with the highest score, the first of equals.
///
/// The tokens are those of coco-caption's tokenizer; METEOR splits them further. The data files are read from a folder,
/// for the words of these captions only. Without references the score is 0.
///
/// # Errors
/// If a data file is missing or damaged, or a caption has more than 1,000 words.
pub fn counts(directory: &Path, examples: &[Example<'_>]) -> Result<Vec<MeteorCounts>, MeteorError> {
    let mut files = DataFiles::open(directory)?;
    let mut vocabulary = WordIds::default();
    let normalizer = files.normalizer()?;
    let pairs: Vec<Pair> = examples
        .iter()
        .map(|example| Pair::new(example, &normalizer, &mut vocabulary))
        .collect::<Result<_, _>>()?;
    let lexicon = Lexicon::new(
        &vocabulary,
        &files.function_words()?,
        &files.synonyms()?,
        files.paraphrases(&vocabulary)?,
    );
    Ok(pairs.par_iter().map(|pair| pair.counts(&lexicon)).collect())
}

/// The words of a hypothesis and its references.
struct Pair {
    hypothesis: Vec<WordId>,
    references: Vec<Vec<WordId>>,
}

impl Pair {
    fn new(
        example: &Example<'_>,
        normalizer: &Normalizer,
        vocabulary: &mut WordIds,
    ) -> Result<Self, MeteorError> {
        let mut words = |caption: &str| {
            let words = normalizer.words(caption).into_iter();
            let ids: Vec<WordId> = words.map(|word| vocabulary.add(word)).collect();
            match ids.len() {
                0..=MOST_WORDS => Ok(ids),
                words => Err(MeteorError::LongCaption {
                    words,
                    most: MOST_WORDS,
                }),
            }
        };
        // coco-caption passes all captions in one line, with `|||` between them.
        let hypothesis = words(&example.hypothesis.join(" ").replace("|||", ""))?;
        let references = example.references.iter().map(|reference| reference.join(" "));
        let references = references.flat_map(|reference| {
            let parts = reference.split("|||").map(str::to_owned);
            parts.collect::<Vec<_>>()
        });
        Ok(Self {
            hypothesis,
            references: references
                .map(|reference| words(&reference))
                .collect::<Result<_, _>>()?,
        })
    }

    fn counts(&self, lexicon: &Lexicon) -> MeteorCounts {
        let align = |reference: &[WordId]| align::align(lexicon, &self.hypothesis, reference);
        let counts = self.references.iter().map(|reference| align(reference));
        let best = counts.reduce(|best, next| match next.score() > best.score() {
            true => next,
            false => best,
        });
        best.unwrap_or_else(|| align(&[]))
    }
}
