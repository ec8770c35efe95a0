//! METEOR's data files: function words, abbreviations, WordNet's synonyms and the paraphrase table.
//!
//! They are in `meteor-1.5.jar`, which is a zip archive, or in a folder with its entries, and in
//! `data/paraphrase-en.gz`. Nobody vouches for the files: all reading is bounded.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use thiserror::Error;
use zip::ZipArchive;
use zip::result::ZipError;

use super::lexicon::{Paraphrases, WordId, WordIds};
use super::normalize::{Normalizer, PrefixKind, split};
use super::synonyms::Synonyms;

const JAR: &str = "meteor-1.5.jar";
const PARAPHRASES: &str = "data/paraphrase-en.gz";
const FUNCTION_WORDS: &str = "function/english.words";
const PREFIXES: &str = "nonbreaking/english.prefixes";
const SYNSETS: &str = "synonym/english.synsets";
const IRREGULAR_FORMS: &str = "synonym/english.exceptions";

/// Larger than any entry of the jar that is read.
const LARGEST_ENTRY: u64 = 64 << 20;
/// Larger than any paraphrase table, in bytes without compression.
const LARGEST_TABLE: u64 = 1 << 30;
/// Larger than any phrase, in bytes.
const LONGEST_LINE: u64 = 1 << 16;
/// The most words of paraphrases that are kept: those of the published table, which take about 1 GB.
const MOST_PARAPHRASE_WORDS: usize = 32 << 20;

/// Why METEOR is not computed.
#[derive(Debug, Error)]
pub enum MeteorError {
    /// The folder lacks a file.
    #[error(
        "{} has no {missing}; METEOR needs the folder `meteor` of the Python package pycocoevalcap, with {JAR} and {PARAPHRASES}",
        directory.display()
    )]
    Missing {
        /// The folder.
        directory: PathBuf,
        /// The file.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{} is damaged: {problem}; install pycocoevalcap again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Which part, and what is wrong.
        problem: String,
    },
    /// A caption is too long to be aligned.
    #[error("a caption has {words} words; METEOR aligns captions of at most {most}")]
    LongCaption {
        /// Its words.
        words: usize,
        /// The limit.
        most: usize,
    },
}

type Result<T> = std::result::Result<T, MeteorError>;

/// The folder with METEOR's data files.
#[derive(Debug)]
pub(super) struct DataFiles {
    resources: Resources,
    paraphrases: PathBuf,
}

#[derive(Debug)]
enum Resources {
    Jar(PathBuf, Box<ZipArchive<File>>),
    Folder(PathBuf),
}

impl DataFiles {
    /// Opens the files in a folder, or in its subfolder `meteor`.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let inner = directory.join("meteor");
        let directory = match inner.is_dir() {
            true => inner,
            false => directory.to_owned(),
        };
        let paraphrases = directory.join(PARAPHRASES);
        let jar = directory.join(JAR);
        let missing = |missing| MeteorError::Missing {
            directory: directory.clone(),
            missing,
        };
        let resources = if jar.is_file() {
            let archive =
                open(&jar).and_then(|file| ZipArchive::new(file).map_err(|error| zip_error(&jar, error)))?;
            Resources::Jar(jar, Box::new(archive))
        } else if directory.join(FUNCTION_WORDS).is_file() {
            Resources::Folder(directory.clone())
        } else {
            return Err(missing(JAR));
        };
        if !paraphrases.is_file() {
            return Err(missing(PARAPHRASES));
        }
        Ok(Self {
            resources,
            paraphrases,
        })
    }

    pub(super) fn normalizer(&mut self) -> Result<Normalizer> {
        let mut prefixes = HashMap::new();
        for line in self.resources.read(PREFIXES)?.lines() {
            let mut words = split(line);
            let Some(prefix) = words.next().filter(|prefix| !prefix.starts_with('#')) else {
                continue;
            };
            let kind = match words.next() {
                Some("#NUMERIC_ONLY#") => PrefixKind::BeforeNumbers,
                _ => PrefixKind::Always,
            };
            prefixes.insert(prefix.to_owned(), kind);
        }
        Ok(Normalizer { prefixes })
    }

    pub(super) fn function_words(&mut self) -> Result<HashSet<String>> {
        let words = self.resources.read(FUNCTION_WORDS)?;
        Ok(words.lines().map(str::to_owned).collect())
    }

    pub(super) fn synonyms(&mut self) -> Result<Synonyms> {
        let mut synonyms = Synonyms::default();
        for (word, numbers) in line_pairs(&self.resources.read(SYNSETS)?) {
            let synsets: std::result::Result<Vec<u32>, _> = split(numbers).map(str::parse).collect();
            let Ok(synsets) = synsets else {
                let problem = format!("{SYNSETS} has no numbers below {word:?}");
                return Err(self.resources.damaged(problem));
            };
            synonyms.synsets.insert(word.to_owned(), synsets);
        }
        for (base, forms) in line_pairs(&self.resources.read(IRREGULAR_FORMS)?) {
            for form in split(forms) {
                let bases: &mut Vec<String> = synonyms.bases.entry(form.to_owned()).or_default();
                bases.push(base.to_owned());
            }
        }
        Ok(synonyms)
    }

    /// The paraphrases whose words are all in a vocabulary.
    ///
    /// The table has three lines for each: a probability, which METEOR does not use, and both phrases.
    pub(super) fn paraphrases(&self, vocabulary: &WordIds) -> Result<Paraphrases> {
        let file = &self.paraphrases;
        let table = MultiGzDecoder::new(BufReader::new(open(file)?)).take(LARGEST_TABLE);
        let mut lines = Lines {
            reader: BufReader::with_capacity(1 << 18, table),
            file,
            number: 0,
            line: Vec::new(),
        };
        let mut paraphrases = Paraphrases::default();
        let (mut phrase, mut paraphrase, mut kept) = (Vec::new(), Vec::new(), 0);
        while lines.advance()? {
            let is_known = lines.next_phrase(vocabulary, &mut phrase)?;
            if !(lines.next_phrase(vocabulary, &mut paraphrase)? && is_known) {
                continue;
            }
            kept += phrase.len() + paraphrase.len();
            if kept > MOST_PARAPHRASE_WORDS {
                return Err(lines.damaged("it has too many paraphrases"));
            }
            paraphrases.add(&phrase, &paraphrase);
        }
        if lines.reader.get_ref().limit() == 0 {
            return Err(lines.damaged("it is larger than any paraphrase table"));
        }
        Ok(paraphrases)
    }
}

impl Resources {
    fn read(&mut self, name: &'static str) -> Result<String> {
        let mut bytes = Vec::new();
        let (file, read) = match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let read = open(&path)?.take(LARGEST_ENTRY + 1).read_to_end(&mut bytes);
                (path, read)
            }
            Self::Jar(jar, archive) => {
                let entry = archive.by_name(name).map_err(|error| match error {
                    ZipError::FileNotFound => damaged(jar, format!("it has no {name}")),
                    error => zip_error(jar, error),
                })?;
                (jar.clone(), entry.take(LARGEST_ENTRY + 1).read_to_end(&mut bytes))
            }
        };
        read.map_err(|source| MeteorError::Read {
            file: file.clone(),
            source,
        })?;
        if bytes.len() as u64 > LARGEST_ENTRY {
            return Err(damaged(&file, format!("{name} is far too large")));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn damaged(&self, problem: String) -> MeteorError {
        let (Self::Jar(file, _) | Self::Folder(file)) = self;
        damaged(file, problem)
    }
}

/// The lines of the paraphrase table, one at a time.
struct Lines<'a, R> {
    reader: R,
    file: &'a Path,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<'_, R> {
    /// Reads the next line, if there is one.
    fn advance(&mut self) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut self.line);
        let length = read.map_err(|source| match source.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                damaged(self.file, format!("line {}: {source}", self.number))
            }
            _ => MeteorError::Read {
                file: self.file.to_owned(),
                source,
            },
        })?;
        if length as u64 == LONGEST_LINE {
            return Err(self.damaged("the line is too long"));
        }
        Ok(length > 0)
    }

    /// Reads the words of the next line; false if one of them is not in the vocabulary.
    fn next_phrase(&mut self, vocabulary: &WordIds, phrase: &mut Vec<WordId>) -> Result<bool> {
        if !self.advance()? {
            return Err(self.damaged("a phrase is missing"));
        }
        phrase.clear();
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c');
        let mut words = self.line.split(is_blank).filter(|word| !word.is_empty());
        let is_known = words.all(|word| {
            let id = std::str::from_utf8(word)
                .ok()
                .and_then(|word| vocabulary.get(word));
            phrase.extend(id);
            id.is_some()
        });
        Ok(is_known && !phrase.is_empty())
    }

    fn damaged(&self, problem: &str) -> MeteorError {
        damaged(self.file, format!("line {}: {problem}", self.number))
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| MeteorError::Read {
        file: path.to_owned(),
        source,
    })
}

/// Each odd line with the line below it.
fn line_pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut lines = text.lines();
    std::iter::from_fn(move || Some((lines.next()?, lines.next().unwrap_or_default())))
}

fn damaged(file: &Path, problem: String) -> MeteorError {
    MeteorError::Damaged {
        file: file.to_owned(),
        problem,
    }
}

fn zip_error(jar: &Path, error: ZipError) -> MeteorError {
    match error {
        ZipError::Io(source) => MeteorError::Read {
            file: jar.to_owned(),
            source,
        },
        error => damaged(jar, error.to_string()),
    }
}
