//! From what a user names on the command line to images with captions.

use super::error::DatasetError;
use super::formats::flickr8k;
use super::formats::{Format, files_in};
use super::image::SourceImage;
use super::index::CaptionIndex;
use super::problems::Problems;
use super::split::{self, Split};
use std::fs;
use std::path::{Path, PathBuf};

/// Where captioned images are, and what the user says about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSource {
    /// A directory, a captions file, or `scenes`.
    pub path: PathBuf,
    /// The format, where it is not to be recognized.
    pub format: Option<Format>,
    /// The directory of the images, where it is not the usual one.
    pub images: Option<PathBuf>,
    /// The captions file, where it is not to be found in `path`.
    pub captions: Option<PathBuf>,
    /// Split lists; they replace the splits that the source brings.
    pub splits: Vec<PathBuf>,
}

/// What a source holds: images that are on disk, sorted by key, with every caption the source has for them.
#[derive(Clone, Debug)]
pub struct RawDataset {
    /// The images; one without captions is among them.
    pub images: Vec<SourceImage>,
    /// The form in which they were read.
    pub format: Format,
    /// The captions files and split lists that were read.
    pub files: Vec<PathBuf>,
    /// Other formats that the directory holds too, which `--format` would choose.
    pub also_found: Vec<Format>,
    /// What was wrong so far.
    pub problems: Problems,
}

impl RawDataset {
    /// Images that the program drew itself.
    pub fn drawn(mut images: Vec<SourceImage>) -> Self {
        for image in &mut images {
            if let Ok(path) = fs::canonicalize(&image.path) {
                image.path = path;
            }
        }
        Self {
            images,
            format: Format::Scenes,
            files: Vec::new(),
            also_found: Vec::new(),
            problems: Problems::default(),
        }
    }
}

/// The files to read.
struct Located {
    format: Format,
    captions: Vec<PathBuf>,
    also_found: Vec<Format>,
}

impl DataSource {
    /// A source of which only the path is known.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }

    /// Whether this is the built-in data set: the path is literally `scenes`, or the format says so.
    pub fn is_scenes(&self) -> bool {
        let by_name = self.format.is_none() && self.path == Path::new(Format::SCENES);
        by_name || self.format == Some(Format::Scenes)
    }

    /// Reads captions and splits, and finds the images.
    ///
    /// # Errors
    /// Where there is no such source, its form is not recognized, a file cannot be read or holds nothing
    /// usable, or not one image is there. Single bad lines are listed in [`RawDataset::problems`] instead.
    pub fn read(&self) -> Result<RawDataset, DatasetError> {
        if self.is_scenes() {
            return Err(DatasetError::ScenesAreDrawn);
        }
        self.check_path()?;
        let Located {
            format,
            captions,
            also_found,
        } = self.locate()?;
        let mut index = CaptionIndex::default();
        format.read(&captions, &mut index)?;
        if !index.has_captions() {
            let first_problem = "it names no image with a caption".to_owned();
            return Err(DatasetError::NoUsableLine {
                file: captions[0].clone(),
                first_problem,
            });
        }
        let splits = self.read_splits(format, &captions, &mut index)?;
        let (images, problems) = index.find_images(&self.image_roots())?;
        let files = [captions, splits].concat();
        Ok(RawDataset {
            images,
            format,
            files,
            also_found,
            problems,
        })
    }

    /// The form in which it would be read.
    ///
    /// # Errors
    /// Where there is no such source, or its form is not recognized.
    pub fn recognize(&self) -> Result<Format, DatasetError> {
        if self.is_scenes() {
            return Ok(Format::Scenes);
        }
        self.check_path()?;
        Ok(self.locate()?.format)
    }

    fn check_path(&self) -> Result<(), DatasetError> {
        match self.path.exists() {
            true => Ok(()),
            false => Err(DatasetError::NoSuchSource(self.path.clone())),
        }
    }

    fn directory(&self) -> &Path {
        if self.path.is_dir() {
            &self.path
        } else {
            self.path.parent().unwrap_or(Path::new(""))
        }
    }

    fn locate(&self) -> Result<Located, DatasetError> {
        let named = self
            .captions
            .as_ref()
            .or_else(|| self.path.is_file().then_some(&self.path));
        if let Some(file) = named {
            fs::metadata(file).map_err(DatasetError::reading(file))?;
            let format = self.format.map_or_else(|| Format::of_file(file), Ok)?;
            return Ok(Located {
                format,
                captions: vec![file.clone()],
                also_found: Vec::new(),
            });
        }
        let candidates = self.format.map_or(Format::from_files(), |format| vec![format]);
        let mut found = Vec::new();
        for &format in &candidates {
            let captions = format.find(&self.path)?;
            if !captions.is_empty() {
                found.push((format, captions));
            }
        }
        let mut found = found.into_iter();
        let Some((format, captions)) = found.next() else {
            let looked_for: Vec<_> = candidates.iter().map(|format| format.files()).collect();
            return Err(DatasetError::NotRecognized {
                path: self.path.clone(),
                looked_for: looked_for.join(", "),
            });
        };
        if captions.len() > 1 && !format.has_several_files() {
            return Err(DatasetError::Ambiguous {
                format,
                files: captions,
            });
        }
        Ok(Located {
            format,
            captions,
            also_found: found.map(|(format, _)| format).collect(),
        })
    }

    /// Reads the split lists the user names or, for Flickr8k, those beside the captions; returns the files.
    fn read_splits(
        &self,
        format: Format,
        captions: &[PathBuf],
        index: &mut CaptionIndex,
    ) -> Result<Vec<PathBuf>, DatasetError> {
        let lists = if !self.splits.is_empty() {
            index.forget_splits();
            named_split_lists(&self.splits)?
        } else if format == Format::Flickr8k {
            split_lists_beside(captions)?
        } else {
            Vec::new()
        };
        for (split, file) in &lists {
            flickr8k::read_split_list(file, *split, index)?;
        }
        Ok(lists.into_iter().map(|(_, file)| file).collect())
    }

    /// The directories that images are looked for in, the likeliest first.
    fn image_roots(&self) -> Vec<PathBuf> {
        const USUAL: [&str; 12] = [
            "images",
            "Images",
            "photos",
            "Flicker8k_Dataset",
            "Flickr8k_Dataset",
            "flickr30k_images",
            "flickr30k-images",
            "train2014",
            "val2014",
            "train2017",
            "val2017",
            "",
        ];
        match &self.images {
            Some(directory) => vec![directory.clone()],
            None => {
                let roots = USUAL.iter().map(|name| self.directory().join(name));
                roots.filter(|root| root.is_dir()).collect()
            }
        }
    }
}

fn named_split_lists(files: &[PathBuf]) -> Result<Vec<(Split, PathBuf)>, DatasetError> {
    files
        .iter()
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let split = split::named_in(&name).ok_or_else(|| DatasetError::UnnamedSplit(file.clone()))?;
            Ok((split, file.clone()))
        })
        .collect()
}

fn split_lists_beside(captions: &[PathBuf]) -> Result<Vec<(Split, PathBuf)>, DatasetError> {
    let Some(first) = captions.first() else {
        return Ok(Vec::new());
    };
    let lists = files_in(directory_of(first))?.into_iter().filter_map(|file| {
        let split = flickr8k::split_list_named(&file.file_name()?.to_string_lossy())?;
        Some((split, file))
    });
    Ok(lists.collect())
}

/// The directory a file is in; a bare name's is the working directory.
fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
