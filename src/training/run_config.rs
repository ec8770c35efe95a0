//! The configuration of a run: `config.toml` in its directory.

use super::settings::RunSettings;
use crate::files::ConfinedPath;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// Longer files are not read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The configuration of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The version of the program.
    pub version: String,
    /// The dataset.
    pub data: DataRecord,
    /// The settings at the start.
    pub settings: RunSettings,
}

/// The dataset of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// Its name.
    pub name: String,
    /// Its directory: relative to the working directory that the run is in, or absolute if it is elsewhere.
    pub directory: PathBuf,
    /// Its hash; a run can only be resumed on the same data.
    pub hash: String,
    /// The weights file that its features were extracted with, which captioning a new image requires.
    pub weights: Option<PathBuf>,
}

/// A `config.toml` that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}; it is written when a run starts and should not be changed by hand", path.display())]
pub struct RecordError {
    path: PathBuf,
    why: String,
}

impl RunConfig {
    /// Reads a run's `config.toml`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(path: impl Into<ConfinedPath>) -> Result<Self, RecordError> {
        let path = path.into();
        let failed = |why: String| RecordError {
            path: (&path).into(),
            why,
        };
        let text = path
            .read_to_string(MAX_FILE_BYTES)
            .map_err(|error| failed(error.to_string()))?;
        toml::from_str(&text).map_err(|error| failed(error.to_string()))
    }

    /// Writes a run's `config.toml`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, path: &ConfinedPath) -> Result<(), RecordError> {
        let failed = |error: io::Error| RecordError {
            path: path.into(),
            why: error.to_string(),
        };
        let text = toml::to_string_pretty(self).map_err(|error| failed(io::Error::other(error)))?;
        path.write_atomically(|out| out.write_all(text.as_bytes()))
            .map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn load_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..500), deep in 0..5000_usize) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("config.toml");
            for bytes in [bytes, "a=[".repeat(deep).into_bytes(), "[a.".repeat(deep).into_bytes()] {
                std::fs::write(&path, bytes).unwrap();
                prop_assert!(RunConfig::load(&path).is_err());
            }
        }
    }
}
