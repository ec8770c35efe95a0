//! In how many training images each n-gram is written of: what a consensus weighs n-grams by, kept beside the vocabulary.
//!
//! The file is a tree. Its first line says of how many images and how many n-grams it is; each line after that is an
//! n-gram, given by its last token and how many images it is written of, and stands one space further in than the n-gram
//! without that token. `a dog runs` in 7 images is `  31 7`, below ` 12 40` of `a dog`, below `4 900` of `a`. N-grams of
//! a single image are left out: one that is nowhere to be found counts as such, so nothing is lost, and most are.

use super::Hypothesis;
use crate::files::write_atomically;
use crate::metrics::{CiderD, MAX_ORDER};
use crate::text::{TokenId, display_path};
use std::io;
use std::path::{Path, PathBuf};

/// The fewest images of an n-gram that is kept.
const FEWEST: u64 = 2;

/// Document frequencies of the n-grams of training captions, in token ids.
#[derive(Clone, Debug)]
pub struct NGramTable {
    cider: CiderD<TokenId>,
}

/// What two and two captions have in common: the CIDEr-D of each against each.
pub type Agreement = Vec<Vec<f64>>;

/// A file of n-grams that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum NGramTableError {
    /// The operating system refused.
    #[error("{}: {source}; check that it is there, its permissions and the space left", display_path(.file))]
    Io {
        /// The file.
        file: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("{}, line {line} {what}; copy the file again from where the run came from", display_path(.file))]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl NGramTable {
    /// Counts the n-grams of captions, image after image.
    pub fn of<'a>(images: impl IntoIterator<Item = &'a [Vec<TokenId>]>) -> Self {
        let all = CiderD::from_references(images);
        let shared = all.frequencies().filter(|&(_, frequency)| frequency >= FEWEST);
        let shared = shared.map(|(ngram, frequency)| (ngram.into(), frequency));
        Self {
            cider: CiderD::from_frequencies(all.images(), shared),
        }
    }

    /// The CIDEr-D that rests on these n-grams.
    pub fn cider(&self) -> &CiderD<TokenId> {
        &self.cider
    }

    /// How much hypotheses agree with each other.
    pub fn agreement(&self, hypotheses: &[Hypothesis]) -> Agreement {
        let captions: Vec<&[TokenId]> = hypotheses.iter().map(|one| one.tokens.as_slice()).collect();
        self.cider.pairwise(&captions)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn write(&self, file: &Path) -> Result<(), NGramTableError> {
        let mut ngrams: Vec<(&[TokenId], u64)> = self.cider.frequencies().collect();
        ngrams.sort_unstable();
        write_atomically(file, |out| {
            writeln!(out, "{} images, {} n-grams", self.cider.images(), ngrams.len())?;
            ngrams.iter().try_for_each(|(ngram, frequency)| {
                let (indent, last) = (ngram.len() - 1, ngram[ngram.len() - 1]);
                writeln!(out, "{:indent$}{last} {frequency}", "")
            })
        })
        .map_err(|source| NGramTableError::Io {
            file: file.to_owned(),
            source,
        })
    }

    /// Reads what [`write`](Self::write) wrote, for a vocabulary of so many tokens, markers included.
    ///
    /// # Errors
    /// Where the file cannot be read; names the line that is torn, out of place, or of no such token or frequency.
    pub fn read(file: &Path, vocabulary: usize) -> Result<Self, NGramTableError> {
        let text = std::fs::read_to_string(file).map_err(|source| NGramTableError::Io {
            file: file.to_owned(),
            source,
        })?;
        parse(&text, vocabulary).map_err(|(line, what)| NGramTableError::Line {
            file: file.to_owned(),
            line,
            what,
        })
    }
}

/// The number of a line and what is wrong with it.
type Wrong = (usize, &'static str);

fn parse(text: &str, vocabulary: usize) -> Result<NGramTable, Wrong> {
    let mut lines = (1..).zip(text.split_inclusive('\n'));
    let (_, head) = lines.next().unwrap_or((1, ""));
    let (images, count) =
        parse_head(head).ok_or((1, "does not say how many images and n-grams there are"))?;
    let mut tree = Tree::new(images, vocabulary);
    let mut ngrams = Vec::new();
    for (number, line) in lines {
        ngrams.push(tree.read(line).map_err(|what| (number, what))?);
    }
    if ngrams.len() != count {
        return Err((1, "says of more or fewer n-grams than there are"));
    }
    Ok(NGramTable {
        cider: CiderD::from_frequencies(images, ngrams),
    })
}

fn parse_head(line: &str) -> Option<(u64, usize)> {
    let (images, ngrams) = line.strip_suffix(" n-grams\n")?.split_once(" images, ")?;
    Some((images.parse().ok()?, ngrams.parse().ok()?))
}

/// The n-gram read last and, for each of its beginnings, how many images that is written of.
struct Tree {
    tokens: Vec<TokenId>,
    frequencies: Vec<u64>,
    images: u64,
    vocabulary: usize,
}

impl Tree {
    fn new(images: u64, vocabulary: usize) -> Self {
        Self {
            tokens: Vec::new(),
            frequencies: Vec::new(),
            images,
            vocabulary,
        }
    }

    /// The n-gram of the next line.
    fn read(&mut self, line: &str) -> Result<(Box<[TokenId]>, u64), &'static str> {
        let line = line.strip_suffix('\n').ok_or("is torn")?;
        let entry = line.trim_start_matches(' ');
        let depth = line.len() - entry.len();
        let (token, frequency) = parse_entry(entry).ok_or("is not a token and a number of images")?;
        if depth >= MAX_ORDER || depth > self.tokens.len() {
            return Err("is too far in for what stands above it");
        }
        if token as usize >= self.vocabulary {
            return Err("is of a token that the vocabulary does not have");
        }
        if self.tokens.get(depth).is_some_and(|&before| before >= token) {
            return Err("is out of order");
        }
        let most = match depth {
            0 => self.images,
            _ => self.frequencies[depth - 1],
        };
        if !(FEWEST..=most).contains(&frequency) {
            return Err("is of fewer than two images, or of more than what stands above it");
        }
        self.tokens.truncate(depth);
        self.frequencies.truncate(depth);
        self.tokens.push(token);
        self.frequencies.push(frequency);
        Ok((self.tokens.as_slice().into(), frequency))
    }
}

fn parse_entry(entry: &str) -> Option<(TokenId, u64)> {
    let (token, frequency) = entry.split_once(' ')?;
    Some((token.parse().ok()?, frequency.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const VOCABULARY: usize = 9;

    fn frequencies(table: &NGramTable) -> (u64, BTreeMap<&[TokenId], u64>) {
        (table.cider.images(), table.cider.frequencies().collect())
    }

    fn written(table: &NGramTable) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ngrams.txt");
        table.write(&file).unwrap();
        std::fs::read_to_string(file).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<NGramTable, NGramTableError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ngrams.txt");
        std::fs::write(&file, bytes).unwrap();
        NGramTable::read(&file, VOCABULARY)
    }

    #[test]
    fn the_file_is_a_tree_of_what_images_share() {
        let images = [
            vec![vec![4, 5, 6]],
            vec![vec![4, 5], vec![5, 6]],
            vec![vec![4, 7]],
        ];
        let table = NGramTable::of(images.iter().map(Vec::as_slice));
        assert_eq!(
            written(&table),
            "3 images, 5 n-grams\n4 3\n 5 2\n5 2\n 6 2\n6 2\n"
        );
    }

    #[test]
    fn the_line_at_fault_is_named() {
        for (text, line, what) in [
            ("", 1, "does not say"),
            ("3 images, 1 n-grams", 1, "does not say"),
            ("3 images, 2 n-grams\n4 3\n", 1, "says of more"),
            ("3 images, 1 n-grams\n4 3", 2, "is torn"),
            ("3 images, 1 n-grams\n4\n", 2, "is not a token"),
            ("3 images, 1 n-grams\n 4 3\n", 2, "is too far in"),
            (
                "3 images, 5 n-grams\n4 3\n 4 3\n  4 3\n   4 3\n    4 3\n",
                6,
                "is too far in",
            ),
            ("3 images, 1 n-grams\n9 3\n", 2, "is of a token"),
            ("3 images, 2 n-grams\n4 3\n4 3\n", 3, "is out of order"),
            ("3 images, 1 n-grams\n4 4\n", 2, "is of fewer"),
            ("3 images, 1 n-grams\n4 1\n", 2, "is of fewer"),
            ("3 images, 2 n-grams\n4 2\n 5 3\n", 3, "is of fewer"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(
                error.contains(&format!("ngrams.txt, line {line} {what}")),
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
        fn a_table_survives_its_file_and_scores_as_the_captions_do(images in captions()) {
            let captions = || images.iter().map(Vec::as_slice);
            let table = NGramTable::of(captions());
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
        fn no_bytes_make_the_reader_fail(
            images in captions(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            prop_assert!(read(&bytes).is_err());
            let mut text = written(&NGramTable::of(images.iter().map(Vec::as_slice))).into_bytes();
            for (at, byte) in changes {
                let at = at.index(text.len());
                text[at] = byte;
            }
            if let Ok(table) = read(&text) {
                let (images, ngrams) = frequencies(&table);
                prop_assert!(ngrams.values().all(|&frequency| (FEWEST..=images).contains(&frequency)));
            }
        }
    }
}
