//! The directory that a dataset is saved to, and the replacement of an existing dataset.

use std::io;

use anyhow::{Context as _, anyhow};

use crate::cli::exit_code::WithHint;
use crate::data::synthetic::ScenesSettings;
use crate::data::{Dataset, PrepareReport};
use crate::files::ConfinedPath;

/// The settings of the images of `scenes` in the directory.
const SCENES: &str = "scenes.toml";
/// Longer files are not read.
const MAX_SCENES_BYTES: u64 = 64 << 10;
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

    /// Removes images of `scenes` drawn with other settings, which have the same names.
    pub(super) fn admit_scenes(&self, settings: &ScenesSettings) -> anyhow::Result<()> {
        // Before anything is written: what is left would reject the right command.
        settings.check()?;
        if self.holds_scenes(settings)? {
            return Ok(());
        }
        let file = self.directory.join(SCENES);
        let drawn = read_if_there(&file)?;
        let text = toml::to_string(settings)?;
        if drawn.is_some() || self.existing().is_some() {
            self.reject_unless_forced()?;
            self.remove_features()?;
        }
        if drawn.is_some() {
            remove_directory(&self.directory.join(IMAGES))?;
        }
        self.directory
            .create_dir_all()
            .with_context(|| cannot("make", &self.directory))?;
        file.write_atomically(|out| out.write_all(text.as_bytes()))
            .with_context(|| cannot("write", &file))
    }

    /// Whether the directory has images of `scenes` with these settings, possibly not all of them.
    pub(super) fn holds_scenes(&self, settings: &ScenesSettings) -> anyhow::Result<bool> {
        let drawn = read_if_there(&self.directory.join(SCENES))?;
        Ok(drawn == Some(toml::to_string(settings)?))
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
    match file.read_to_string(MAX_SCENES_BYTES) {
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
