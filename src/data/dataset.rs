//! A dataset on disk: tokenized images in splits, a vocabulary, and their origin.

use super::build::PrepareSettings;
use super::error::DatasetError;
use super::formats::Format;
use super::image::Image;
use super::split::Split;
use crate::files::{ConfinedPath, roots_in};
use crate::text::Vocabulary;
use crate::text::statistics::LengthHistogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::iter;
use std::path::{Path, PathBuf};

/// The version of the files below.
const FORMAT_VERSION: u32 = 1;
/// Longer files are not read.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
const MAX_IMAGES_BYTES: u64 = 8 << 30;
const MANIFEST: &str = "dataset.toml";
const IMAGES: &str = "images.jsonl";
const VOCABULARY: &str = "vocabulary.txt";

/// Valid images with splits and tokenized captions, and the vocabulary of the training split.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Sorted by key.
    pub images: Vec<Image>,
    /// The vocabulary of the training split.
    pub vocabulary: Vocabulary,
    /// The origin of the dataset.
    pub manifest: DatasetManifest,
    /// BLAKE3 of keys, splits, tokens and vocabulary, in hexadecimal. It does not depend on the paths of images.
    pub hash: String,
}

/// The origin of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetManifest {
    /// The name of the dataset.
    pub name: String,
    /// The source.
    pub source: SourceRecord,
    /// The settings of `prepare`.
    pub settings: PrepareSettings,
}

impl DatasetManifest {
    /// How the captions were tokenized, in one word: `source` by the source, or as [`Cleaning::label`](crate::text::Cleaning::label) says.
    pub fn tokenizer(&self) -> String {
        match self.settings.use_source_tokens && self.source.format == Format::Karpathy {
            true => "source".into(),
            false => self.settings.cleaning.label(),
        }
    }
}

/// The source of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The absolute path; `scenes` for the built-in dataset.
    pub path: PathBuf,
    /// The format of the source.
    pub format: Format,
    /// The captions files and split lists that were read.
    pub files: Vec<PathBuf>,
}

/// `dataset.toml`
#[derive(Serialize, Deserialize)]
struct ManifestFile {
    format_version: u32,
    name: String,
    hash: String,
    /// The absolute path of the dataset when it was prepared, by which images beside it are found that moved with it; none
    /// if all images are below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<PathBuf>,
    words: usize,
    images: BTreeMap<Split, usize>,
    source: SourceRecord,
    settings: PrepareSettings,
}

impl Dataset {
    /// The captions of all images by length in tokens.
    pub fn caption_lengths(&self) -> LengthHistogram {
        let captions = self.images.iter().flat_map(|image| &image.captions);
        captions.map(|caption| caption.tokens.len()).collect()
    }

    /// Sorts the images by key and computes the hash.
    pub(super) fn new(mut images: Vec<Image>, vocabulary: Vocabulary, manifest: DatasetManifest) -> Self {
        images.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let hash = hash(&images, &vocabulary);
        Self {
            images,
            vocabulary,
            manifest,
            hash,
        }
    }

    /// The images of a split, sorted by key.
    pub fn images(&self, split: Split) -> impl Iterator<Item = &Image> + '_ {
        self.images.iter().filter(move |image| image.split == split)
    }

    /// Writes `images.jsonl`, `vocabulary.txt` and, last, `dataset.toml` into a directory, each atomically. Paths of
    /// images below the directory are relative, so that it can be moved.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, directory: impl Into<ConfinedPath>) -> Result<(), DatasetError> {
        let directory = directory.into();
        directory
            .create_dir_all()
            .map_err(DatasetError::writing(&directory))?;
        let home = directory
            .canonicalize()
            .map_err(DatasetError::reading(&directory))?;
        let file = directory.join(IMAGES);
        file.write_atomically(|out| {
            self.images
                .iter()
                .try_for_each(|image| write_image(out, image, &home))
        })
        .map_err(DatasetError::writing(&file))?;
        self.vocabulary.write(directory.join(VOCABULARY))?;
        let is_beside = |image: &Image| !image.path.starts_with(&home);
        let home = self.images.iter().any(is_beside).then_some(home.clone());
        self.save_manifest(&directory.join(MANIFEST), home)
    }

    fn save_manifest(&self, file: &ConfinedPath, home: Option<PathBuf>) -> Result<(), DatasetError> {
        let DatasetManifest {
            name,
            source,
            settings,
        } = self.manifest.clone();
        let manifest = ManifestFile {
            format_version: FORMAT_VERSION,
            name,
            hash: self.hash.clone(),
            home,
            words: self.vocabulary.words().count(),
            images: Split::ALL.map(|split| (split, self.images(split).count())).into(),
            source,
            settings,
        };
        let text = toml::to_string_pretty(&manifest)
            .map_err(io::Error::other)
            .map_err(DatasetError::writing(file))?;
        file.write_atomically(|out| out.write_all(text.as_bytes()))
            .map_err(DatasetError::writing(file))
    }

    /// Reads a dataset that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If there is no dataset in the directory, a file is truncated, or the files do not belong together.
    pub fn load(directory: impl Into<ConfinedPath>) -> Result<Self, DatasetError> {
        let directory = directory.into();
        let ManifestFile {
            name,
            hash,
            home,
            source,
            settings,
            ..
        } = load_manifest(&directory)?;
        let images = load_images(&directory, home.as_deref())?;
        let vocabulary = Vocabulary::read(directory.join(VOCABULARY))?;
        let loaded = Self::new(
            images,
            vocabulary,
            DatasetManifest {
                name,
                source,
                settings,
            },
        );
        if loaded.hash == hash {
            Ok(loaded)
        } else {
            Err(DatasetError::HashDiffers(directory.into()))
        }
    }
}

fn write_image(out: &mut dyn Write, image: &Image, home: &Path) -> io::Result<()> {
    let mut image = image.clone();
    if let Ok(inside) = image.path.strip_prefix(home) {
        image.path = inside.to_owned();
    }
    serde_json::to_writer(&mut *out, &image)?;
    out.write_all(b"\n")
}

fn load_manifest(directory: &ConfinedPath) -> Result<ManifestFile, DatasetError> {
    let file = directory.join(MANIFEST);
    let text = match file.read_to_string(MAX_MANIFEST_BYTES) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            let (directory, others) = (directory.into(), names_beside(directory));
            return Err(DatasetError::NoSuchDataset { directory, others });
        }
        Err(error) => return Err(DatasetError::reading(&file)(error)),
    };
    let unreadable = |detail| DatasetError::Unreadable {
        file: (&file).into(),
        detail,
    };
    let manifest: ManifestFile =
        toml::from_str(&text).map_err(|error| unreadable(error.message().to_owned()))?;
    if manifest.format_version != FORMAT_VERSION {
        let version = manifest.format_version;
        return Err(unreadable(format!(
            "written in version {version}, this program reads {FORMAT_VERSION}"
        )));
    }
    Ok(manifest)
}

/// The images, those of a dataset that moved together with its images at their new places.
fn load_images(directory: &ConfinedPath, former_home: Option<&Path>) -> Result<Vec<Image>, DatasetError> {
    let home = directory
        .canonicalize()
        .map_err(DatasetError::reading(directory))?;
    let file = directory.join(IMAGES);
    let text = file
        .read_to_string(MAX_IMAGES_BYTES)
        .map_err(DatasetError::reading(&file))?;
    let images = iter::zip(text.lines(), 1..)
        .map(|(text, line)| {
            let mut image: Image = serde_json::from_str(text).map_err(|error| DatasetError::InvalidLine {
                file: (&file).into(),
                line,
                detail: error.to_string(),
            })?;
            image.path = home.join(image.path);
            Ok(image)
        })
        .collect::<Result<Vec<_>, DatasetError>>();
    let mut images = images?;
    let Some(former_home) = former_home.filter(|former| *former != home) else {
        return Ok(images);
    };
    let has_moved = |image: &Image| {
        let moved = moved(&image.path, former_home, &home);
        moved.is_some_and(|moved| !image.path.exists() && moved.exists())
    };
    if images.first().is_some_and(has_moved) {
        for image in &mut images {
            image.path = moved(&image.path, former_home, &home).unwrap_or_default();
        }
    }
    Ok(images)
}

/// The place of a file beside a directory that moved together with it.
fn moved(file: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let mut ancestors = iter::zip(from.ancestors(), to.ancestors());
    ancestors.find_map(|(from, to)| Some(to.join(file.strip_prefix(from).ok()?)))
}

/// The names of the datasets in the parent directory.
fn names_beside(directory: &ConfinedPath) -> Vec<String> {
    let parent = directory.as_path().parent().unwrap_or(Path::new("."));
    let beside = roots_in(parent)
        .unwrap_or_default()
        .into_iter()
        .map(ConfinedPath::from);
    beside
        .filter(|directory| directory.join(MANIFEST).is_file())
        .map(|directory| directory.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Texts and lists are hashed after their lengths, so that different datasets never give the same bytes.
fn hash(images: &[Image], vocabulary: &Vocabulary) -> String {
    fn number(hasher: &mut blake3::Hasher, number: usize) {
        hasher.update(&(number as u64).to_le_bytes());
    }
    fn text(hasher: &mut blake3::Hasher, text: &str) {
        number(hasher, text.len());
        hasher.update(text.as_bytes());
    }
    let mut hasher = blake3::Hasher::new();
    number(&mut hasher, images.len());
    for image in images {
        text(&mut hasher, &image.key);
        text(&mut hasher, &image.split.to_string());
        number(&mut hasher, image.captions.len());
        for caption in &image.captions {
            number(&mut hasher, caption.tokens.len());
            caption.tokens.iter().for_each(|token| text(&mut hasher, token));
        }
    }
    number(&mut hasher, vocabulary.len());
    vocabulary.words().for_each(|word| text(&mut hasher, word));
    hasher.finalize().to_hex().to_string()
}
