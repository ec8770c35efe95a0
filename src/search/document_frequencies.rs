//! Document frequencies of n-grams: the number of training images with a caption that has the n-gram. CIDEr-D weights
//! n-grams by them, in minimum Bayes risk too.
//!
//! The file is a table with tab-separated columns below a line of totals:
//!
//! ```text
//! # 400 images, 2 n-grams
//! 12     310
//! 12 40  7
//! ```
//!
//! Rows are sorted. The first column has the n-gram's tokens, the second its document frequency. N-grams of a single image
//! are left out: CIDEr-D counts unknown n-grams as such, and most are.

use super::Hypothesis;
use crate::files::ConfinedPath;
use crate::metrics::{CiderD, MAX_ORDER};
use crate::text::{TokenId, display_path};
use std::io::{self, Write};
use std::path::PathBuf;

/// Longer files are not read.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// N-grams of fewer images are left out.
const MIN_FREQUENCY: u64 = 2;

/// Document frequencies of the n-grams of training captions, in token ids.
#[derive(Clone, Debug)]
pub struct DocumentFrequencies {
    cider: CiderD<TokenId>,
}

/// The CIDEr-D of each hypothesis against each other one.
pub type PairwiseScores = Vec<Vec<f64>>;

/// An error of a file of document frequencies.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum DocumentFrequenciesError {
    #[error("{}: {source}; check that it exists, its permissions and the space left", display_path(.file))]
    Io { file: PathBuf, source: io::Error },
    #[error("{}, line {line}: {reason}; copy the file again from the original run", display_path(.file))]
    Line {
        file: PathBuf,
        line: usize,
        reason: &'static str,
    },
}

impl DocumentFrequencies {
    /// Counts the n-grams of captions, image after image.
    pub fn from_images<'a>(images: impl IntoIterator<Item = &'a [Vec<TokenId>]>) -> Self {
        let all = CiderD::from_references(images);
        let shared = all
            .frequencies()
            .filter(|&(_, frequency)| frequency >= MIN_FREQUENCY);
        let shared = shared.map(|(ngram, frequency)| (ngram.into(), frequency));
        Self {
            cider: CiderD::from_frequencies(all.images(), shared),
        }
    }

    /// The CIDEr-D scorer with these document frequencies.
    pub fn cider(&self) -> &CiderD<TokenId> {
        &self.cider
    }

    /// Scores each hypothesis against each other one.
    pub fn pairwise_scores(&self, hypotheses: &[Hypothesis]) -> PairwiseScores {
        let captions: Vec<&[TokenId]> = hypotheses.iter().map(|one| one.tokens.as_slice()).collect();
        self.cider.pairwise(&captions)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn write(&self, file: impl Into<ConfinedPath>) -> Result<(), DocumentFrequenciesError> {
        let file = file.into();
        file.write_atomically(|out| self.write_to(out))
            .map_err(|source| DocumentFrequenciesError::Io {
                file: file.into(),
                source,
            })
    }

    /// Writes what [`write`](Self::write) writes into a file.
    pub(crate) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut ngrams: Vec<(&[TokenId], u64)> = self.cider.frequencies().collect();
        ngrams.sort_unstable();
        writeln!(out, "# {} images, {} n-grams", self.cider.images(), ngrams.len())?;
        ngrams.iter().try_for_each(|(ngram, frequency)| {
            let tokens: Vec<String> = ngram.iter().map(TokenId::to_string).collect();
            writeln!(out, "{}\t{frequency}", tokens.join(" "))
        })
    }

    /// Reads the text of a file of [`write`](Self::write); an error has the number of the line and the reason.
    pub(crate) fn parse(text: &str, vocabulary: usize) -> Result<Self, Invalid> {
        parse(text, vocabulary)
    }

    /// Reads a file of [`write`](Self::write), for a vocabulary of `vocabulary` tokens, special tokens included.
    ///
    /// # Errors
    /// Fails if the file cannot be read or a line is invalid; the error names the line.
    pub fn read(file: impl Into<ConfinedPath>, vocabulary: usize) -> Result<Self, DocumentFrequenciesError> {
        let file = file.into();
        let text = file
            .read_to_string(MAX_FILE_BYTES)
            .map_err(|source| DocumentFrequenciesError::Io {
                file: (&file).into(),
                source,
            })?;
        parse(&text, vocabulary).map_err(|(line, reason)| DocumentFrequenciesError::Line {
            file: file.into(),
            line,
            reason,
        })
    }
}

/// The number of an invalid line, and the reason.
pub(crate) type Invalid = (usize, &'static str);

fn parse(text: &str, vocabulary: usize) -> Result<DocumentFrequencies, Invalid> {
    let mut lines = (1..).zip(text.split_inclusive('\n'));
    let (_, totals) = lines.next().unwrap_or((1, ""));
    let (images, count) = parse_totals(totals).ok_or((1, "expected `# N images, N n-grams`"))?;
    let mut ngrams: Vec<(Box<[TokenId]>, u64)> = Vec::new();
    for (number, line) in lines {
        let row = parse_row(line, vocabulary, images).map_err(|reason| (number, reason))?;
        if ngrams.last().is_some_and(|(before, _)| *before >= row.0) {
            return Err((number, "not in order"));
        }
        ngrams.push(row);
    }
    // A file cut at the end of a line is found by its total.
    if ngrams.len() != count {
        return Err((1, "another number of n-grams follows"));
    }
    Ok(DocumentFrequencies {
        cider: CiderD::from_frequencies(images, ngrams),
    })
}

fn parse_totals(line: &str) -> Option<(u64, usize)> {
    let totals = line.strip_prefix("# ")?.strip_suffix(" n-grams\n")?;
    let (images, ngrams) = totals.split_once(" images, ")?;
    Some((images.parse().ok()?, ngrams.parse().ok()?))
}

fn parse_row(line: &str, vocabulary: usize, images: u64) -> Result<(Box<[TokenId]>, u64), &'static str> {
    let row = line.strip_suffix('\n').ok_or("incomplete")?;
    let (tokens, frequency) = row
        .split_once('\t')
        .ok_or("expected an n-gram, a tab and a frequency")?;
    let tokens: Result<Box<[TokenId]>, _> = tokens.split(' ').map(str::parse).collect();
    let (Ok(tokens), Ok(frequency)) = (tokens, frequency.parse()) else {
        return Err("expected numbers");
    };
    if tokens.len() > MAX_ORDER {
        return Err("too many tokens");
    }
    if tokens.iter().any(|&token| token as usize >= vocabulary) {
        return Err("a token is not in the vocabulary");
    }
    match (MIN_FREQUENCY..=images).contains(&frequency) {
        true => Ok((tokens, frequency)),
        false => Err("the frequency is below two or above the number of images"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const VOCABULARY: usize = 9;

    fn frequencies(table: &DocumentFrequencies) -> (u64, BTreeMap<&[TokenId], u64>) {
        (table.cider.images(), table.cider.frequencies().collect())
    }

    fn written(table: &DocumentFrequencies) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ngrams.tsv");
        table.write(&file).unwrap();
        std::fs::read_to_string(file).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<DocumentFrequencies, DocumentFrequenciesError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ngrams.tsv");
        std::fs::write(&file, bytes).unwrap();
        DocumentFrequencies::read(&file, VOCABULARY)
    }

    #[test]
    fn file_has_one_row_for_each_shared_ngram() {
        let images = [
            vec![vec![4, 5, 6]],
            vec![vec![4, 5], vec![5, 6]],
            vec![vec![4, 7]],
        ];
        let table = DocumentFrequencies::from_images(images.iter().map(Vec::as_slice));
        assert_eq!(
            written(&table),
            "# 3 images, 5 n-grams\n4\t3\n4 5\t2\n5\t2\n5 6\t2\n6\t2\n"
        );
    }

    #[test]
    fn errors_name_the_invalid_line() {
        for (text, line, reason) in [
            ("", 1, "expected `#"),
            ("# 3 images, 1 n-grams", 1, "expected `#"),
            ("# 3 images, 2 n-grams\n4\t3\n", 1, "another number"),
            ("# 3 images, 1 n-grams\n4\t3", 2, "incomplete"),
            ("# 3 images, 1 n-grams\n4\n", 2, "expected an n-gram"),
            ("# 3 images, 1 n-grams\n4  5\t3\n", 2, "expected numbers"),
            ("# 3 images, 1 n-grams\n4 4 4 4 4\t3\n", 2, "too many tokens"),
            ("# 3 images, 1 n-grams\n9\t3\n", 2, "a token is not"),
            ("# 3 images, 2 n-grams\n4\t3\n4\t3\n", 3, "not in order"),
            ("# 3 images, 1 n-grams\n4\t4\n", 2, "the frequency is"),
            ("# 3 images, 1 n-grams\n4\t1\n", 2, "the frequency is"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.contains(&format!("ngrams.tsv, line {line}: {reason}")),
                "{error}"
            );
        }
    }

    fn captions() -> impl Strategy<Value = Vec<Vec<Vec<TokenId>>>> {
        let caption = prop::collection::vec(3..VOCABULARY as TokenId, 0..8);
        prop::collection::vec(prop::collection::vec(caption, 1..3), 0..12)
    }

    proptest! {
        #[test]
        fn file_round_trip_keeps_frequencies_and_scores(images in captions()) {
            let captions = || images.iter().map(Vec::as_slice);
            let table = DocumentFrequencies::from_images(captions());
            let text = written(&table);
            let back = read(text.as_bytes()).unwrap();
            prop_assert_eq!(frequencies(&back), frequencies(&table));
            let all = CiderD::from_references(captions());
            for image in &images {
                prop_assert_eq!(back.cider().score(&image[0], image), all.score(&image[0], image));
            }
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            for cut in 0..lines.len() {
                prop_assert!(read(lines[..cut].concat().as_bytes()).is_err(), "cut after {} lines", cut);
            }
        }

        #[test]
        fn reader_does_not_panic_on_damaged_files(
            images in captions(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            prop_assert!(read(&bytes).is_err());
            let mut text = written(&DocumentFrequencies::from_images(images.iter().map(Vec::as_slice))).into_bytes();
            for (at, byte) in changes {
                let at = at.index(text.len());
                text[at] = byte;
            }
            if let Ok(table) = read(&text) {
                let (images, ngrams) = frequencies(&table);
                prop_assert!(ngrams.values().all(|&frequency| (MIN_FREQUENCY..=images).contains(&frequency)));
            }
        }
    }
}
