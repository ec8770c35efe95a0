//! The directory that a data set is written to, and what may be replaced there.

use std::io;

use anyhow::{Context as _, anyhow};

use crate::cli::failure::WithHint;
use crate::data::synthetic::ScenesSettings;
use crate::data::{Dataset, PrepareReport};
use crate::files::ConfinedPath;

/// What the images of `scenes` in the directory were drawn with.
const SCENES: &str = "scenes.toml";
/// Longer files are not read.
const MAX_SCENES_BYTES: u64 = 64 << 10;
const FEATURES: &str = "features";
const IMAGES: &str = "images";

const REPLACE_HINT: &str = "choose another --name, or replace it with --force";

/// What to do with a data set of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replace {
    /// Go on with one of the same content, refuse another.
    Same,
    /// Replace another.
    Other,
}

/// Where a data set goes; features and drawn images go there too.
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

    /// Makes room for the images of `scenes`: those drawn with other settings have the same names.
    pub(super) fn admit_scenes(&self, settings: &ScenesSettings) -> anyhow::Result<()> {
        if self.holds_scenes(settings)? {
            return Ok(());
        }
        let file = self.directory.join(SCENES);
        let drawn = read_if_there(&file)?;
        let wanted = toml::to_string(settings)?;
        if drawn.is_some() || self.existing().is_some() {
            self.refuse_unless_forced()?;
            self.remove_features()?;
        }
        if drawn.is_some() {
            remove_directory(&self.directory.join(IMAGES))?;
        }
        self.directory
            .create_dir_all()
            .with_context(|| cannot("make", &self.directory))?;
        file.write_atomically(|out| out.write_all(wanted.as_bytes()))
            .with_context(|| cannot("write", &file))
    }

    /// Whether the images there, if any, are scenes drawn with these settings; perhaps not all of them.
    pub(super) fn holds_scenes(&self, settings: &ScenesSettings) -> anyhow::Result<bool> {
        let drawn = read_if_there(&self.directory.join(SCENES))?;
        Ok(drawn == Some(toml::to_string(settings)?))
    }

    /// Writes the data set and its report, unless that replaces another.
    pub(super) fn save(&self, data_set: &Dataset, report: &PrepareReport) -> anyhow::Result<()> {
        if let Some(existing) = self.existing()
            && existing.hash != data_set.hash
        {
            self.refuse_unless_forced()?;
            if !same_images(&existing, data_set) {
                self.remove_features()?;
            }
        }
        for written in [self.directory.clone(), self.directory.join(IMAGES)] {
            if written.is_dir() {
                written
                    .remove_leftovers()
                    .with_context(|| cannot("clean up", &written))?;
            }
        }
        data_set.save(&self.directory)?;
        report.save(&self.directory)?;
        Ok(())
    }

    /// The data set that is there. One that an interruption left unreadable counts as none: preparing it
    /// again is what mends it.
    pub(super) fn existing(&self) -> Option<Dataset> {
        Dataset::load(&self.directory).ok()
    }

    fn refuse_unless_forced(&self) -> anyhow::Result<()> {
        match self.replace {
            Replace::Other => Ok(()),
            Replace::Same => Err(anyhow!(
                "{} is a data set already, with other images, captions or settings",
                self.directory
            ))
            .hint(REPLACE_HINT),
        }
    }

    fn remove_features(&self) -> anyhow::Result<()> {
        remove_directory(&self.directory.join(FEATURES))
    }
}

/// Whether features of the one belong to the images of the other: no name stands for another file.
fn same_images(one: &Dataset, other: &Dataset) -> bool {
    other.images.iter().all(|image| {
        let known = one.images.binary_search_by(|other| other.key.cmp(&image.key));
        known.map_or(true, |place| one.images[place].path == image.path)
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
