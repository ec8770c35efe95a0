//! From what a user names on the command line to images with captions.

use super::error::DataSetError;
use super::flickr8k;
use super::format::{Format, files_in};
use super::gathering::Gathering;
use super::image::SourceImage;
use super::problems::Problems;
use super::split::{self, Split};
use std::fs;
use std::path::{Path, PathBuf};

/// Where captioned images are, and what the user says about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// A directory, a captions file, or `scenes`.
    pub place: PathBuf,
    /// The format, where it is not to be recognized.
    pub format: Option<Format>,
    /// The directory of the images, where it is not the usual one.
    pub images: Option<PathBuf>,
    /// The captions file, where it is not to be found in `place`.
    pub captions: Option<PathBuf>,
    /// Split lists; they replace the splits that the source brings.
    pub splits: Vec<PathBuf>,
}

/// What a source holds: images that are on disk, sorted by key, with every caption the source has for them.
#[derive(Clone, Debug)]
pub struct Reading {
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

impl Reading {
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

impl Source {
    /// A source of which only the place is given.
    pub fn at(place: impl Into<PathBuf>) -> Self {
        Self {
            place: place.into(),
            ..Self::default()
        }
    }

    /// Whether this is the built-in data set: the place is literally `scenes`, or the format says so.
    pub fn is_scenes(&self) -> bool {
        let by_name = self.format.is_none() && self.place == Path::new(Format::SCENES);
        by_name || self.format == Some(Format::Scenes)
    }

    /// Reads captions and splits, and finds the images.
    ///
    /// # Errors
    /// Where there is no such source, its form is not recognized, a file cannot be read or holds nothing
    /// usable, or not one image is there. Single bad lines are listed in [`Reading::problems`] instead.
    pub fn read(&self) -> Result<Reading, DataSetError> {
        if self.is_scenes() {
            return Err(DataSetError::ScenesAreDrawn);
        }
        self.check_place()?;
        let Located {
            format,
            captions,
            also_found,
        } = self.locate()?;
        let mut gathering = Gathering::default();
        format.read(&captions, &mut gathering)?;
        if !gathering.has_captions() {
            let first_problem = "it names no image with a caption".to_owned();
            return Err(DataSetError::NoUsableLine {
                file: captions[0].clone(),
                first_problem,
            });
        }
        let splits = self.read_splits(format, &captions, &mut gathering)?;
        let (images, problems) = gathering.find_images(&self.image_roots())?;
        let files = [captions, splits].concat();
        Ok(Reading {
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
    pub fn recognize(&self) -> Result<Format, DataSetError> {
        if self.is_scenes() {
            return Ok(Format::Scenes);
        }
        self.check_place()?;
        Ok(self.locate()?.format)
    }

    fn check_place(&self) -> Result<(), DataSetError> {
        match self.place.exists() {
            true => Ok(()),
            false => Err(DataSetError::NoSuchSource(self.place.clone())),
        }
    }

    fn directory(&self) -> &Path {
        if self.place.is_dir() {
            &self.place
        } else {
            self.place.parent().unwrap_or(Path::new(""))
        }
    }

    fn locate(&self) -> Result<Located, DataSetError> {
        let named = self
            .captions
            .as_ref()
            .or_else(|| self.place.is_file().then_some(&self.place));
        if let Some(file) = named {
            fs::metadata(file).map_err(DataSetError::reading(file))?;
            let format = self.format.map_or_else(|| Format::of_file(file), Ok)?;
            return Ok(Located {
                format,
                captions: vec![file.clone()],
                also_found: Vec::new(),
            });
        }
        let candidates = self.format.map_or(Format::ALL.to_vec(), |format| vec![format]);
        let mut found = Vec::new();
        for &format in &candidates {
            let captions = format.find(&self.place)?;
            if !captions.is_empty() {
                found.push((format, captions));
            }
        }
        let mut found = found.into_iter();
        let Some((format, captions)) = found.next() else {
            let read = candidates.iter().filter(|&&format| format != Format::Scenes);
            let looked_for: Vec<_> = read.map(|format| format.files()).collect();
            return Err(DataSetError::NotRecognized {
                place: self.place.clone(),
                looked_for: looked_for.join(", "),
            });
        };
        if captions.len() > 1 && !format.takes_several_files() {
            return Err(DataSetError::Ambiguous {
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
        gathering: &mut Gathering,
    ) -> Result<Vec<PathBuf>, DataSetError> {
        let lists = if !self.splits.is_empty() {
            gathering.forget_splits();
            named_split_lists(&self.splits)?
        } else if format == Format::Flickr8k {
            split_lists_beside(captions)?
        } else {
            Vec::new()
        };
        for (split, file) in &lists {
            flickr8k::read_split_list(file, *split, gathering)?;
        }
        Ok(lists.into_iter().map(|(_, file)| file).collect())
    }

    /// The directories that images are looked for in, the likeliest first.
    fn image_roots(&self) -> Vec<PathBuf> {
        const USUAL: [&str; 12] = [
            "images",
            "Images",
            "images",
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

fn named_split_lists(files: &[PathBuf]) -> Result<Vec<(Split, PathBuf)>, DataSetError> {
    files
        .iter()
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let split = split::named_in(&name).ok_or_else(|| DataSetError::UnnamedSplit(file.clone()))?;
            Ok((split, file.clone()))
        })
        .collect()
}

fn split_lists_beside(captions: &[PathBuf]) -> Result<Vec<(Split, PathBuf)>, DataSetError> {
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
