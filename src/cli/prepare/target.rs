//! The directory that a dataset is saved to, and the replacement of an existing dataset.

use std::io;

use anyhow::{Context as _, anyhow};

use crate::cli::exit_code::WithHint;
use crate::data::synthetic::ScenesSettings;
use crate::data::webdataset::Shards;
use crate::data::{Dataset, PrepareReport};
use crate::files::ConfinedPath;

/// Longer notes are not read.
const MAX_ORIGIN_BYTES: u64 = 16 << 20;
const FEATURES: &str = "features";
const IMAGES: &str = "images";

const REPLACE_HINT: &str = "choose another --name, or replace it with --force";

/// What to do with an existing dataset of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replace {
    /// Continue with it if its content is the same, otherwise reject.
    Same,
    /// Replace it.
    Other,
}

/// The origin of images that `prepare` writes into the dataset's directory, and the file that notes it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageOrigin {
    file: &'static str,
    text: String,
}

impl ImageOrigin {
    /// Scenes drawn with these settings.
    ///
    /// # Errors
    /// If the settings are not possible.
    pub(super) fn scenes(settings: &ScenesSettings) -> anyhow::Result<Self> {
        settings.check()?;
        Ok(Self {
            file: "scenes.toml",
            text: toml::to_string(settings)?,
        })
    }

    /// Images unpacked from these shards.
    pub(super) fn shards(shards: &Shards) -> Self {
        Self {
            file: "shards.json",
            text: shards.origin().to_string(),
        }
    }
}

/// The directory of a dataset, including its features and the images of `scenes`.
#[derive(Debug)]
pub(super) struct Target {
    directory: ConfinedPath,
    replace: Replace,
}

impl Target {
    pub(super) fn new(directory: ConfinedPath, replace: Replace) -> Self {
        Self { directory, replace }
    }

    pub(super) fn directory(&self) -> &ConfinedPath {
        &self.directory
    }

    pub(super) fn replace(&self) -> Replace {
        self.replace
    }

    /// Removes images of another origin, which may have the same names.
    pub(super) fn admit(&self, origin: &ImageOrigin) -> anyhow::Result<()> {
        if self.holds(origin)? {
            return Ok(());
        }
        let file = self.directory.join(origin.file);
        let other = read_if_there(&file)?;
        if other.is_some() || self.existing().is_some() {
            self.reject_unless_forced()?;
            self.remove_features()?;
        }
        if other.is_some() {
            remove_directory(&self.directory.join(IMAGES))?;
        }
        self.directory
            .create_dir_all()
            .with_context(|| cannot("make", &self.directory))?;
        file.write_atomically(|out| out.write_all(origin.text.as_bytes()))
            .with_context(|| cannot("write", &file))
    }

    /// Whether the directory has images of this origin, possibly not all of them.
    pub(super) fn holds(&self, origin: &ImageOrigin) -> anyhow::Result<bool> {
        Ok(read_if_there(&self.directory.join(origin.file))?.as_ref() == Some(&origin.text))
    }

    /// Saves the dataset and its report, unless they would replace another dataset.
    pub(super) fn save(&self, dataset: &Dataset, report: &PrepareReport) -> anyhow::Result<()> {
        if let Some(existing) = self.existing()
            && existing.hash != dataset.hash
        {
            self.reject_unless_forced()?;
            if !same_images(&existing, dataset) {
                self.remove_features()?;
            }
        }
        for directory in [self.directory.clone(), self.directory.join(IMAGES)] {
            if directory.is_dir() {
                directory
                    .remove_leftovers()
                    .with_context(|| cannot("clean up", &directory))?;
            }
        }
        dataset.save(&self.directory)?;
        report.save(&self.directory)?;
        Ok(())
    }

    /// The dataset on disk. An unreadable one, after an interruption, counts as none: preparing again repairs it.
    pub(super) fn existing(&self) -> Option<Dataset> {
        Dataset::load(&self.directory).ok()
    }

    fn reject_unless_forced(&self) -> anyhow::Result<()> {
        match self.replace {
            Replace::Other => Ok(()),
            Replace::Same => Err(anyhow!(
                "{} is a dataset already, with other images, captions or settings",
                self.directory
            ))
            .hint(REPLACE_HINT),
        }
    }

    fn remove_features(&self) -> anyhow::Result<()> {
        remove_directory(&self.directory.join(FEATURES))
    }
}

/// Whether features of `one` fit the images of `other`: the same key means the same file.
fn same_images(one: &Dataset, other: &Dataset) -> bool {
    other.images.iter().all(|image| {
        let known = one.images.binary_search_by(|other| other.key.cmp(&image.key));
        known.map_or(true, |i| one.images[i].path == image.path)
    })
}

fn read_if_there(file: &ConfinedPath) -> anyhow::Result<Option<String>> {
    match file.read_to_string(MAX_ORIGIN_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some).with_context(|| cannot("read", file)),
    }
}

fn remove_directory(directory: &ConfinedPath) -> anyhow::Result<()> {
    directory
        .remove_tree()
        .with_context(|| cannot("remove", directory))
}

fn cannot(what: &str, path: &ConfinedPath) -> String {
    format!("cannot {what} {path}")
}
