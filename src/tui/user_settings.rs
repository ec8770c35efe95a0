//! The user's settings: `cutline/config.toml` in the configuration directory.

use super::Keymap;
use super::keymap::{KeyChanges, KeymapError};
use crate::config::user_directory;
use serde::Deserialize;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserSettings {
    pub keys: KeyChanges,
}

#[derive(Debug, thiserror::Error)]
pub enum UserSettingsError {
    #[error("{}: {source}; check its permissions", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {message}; `cutline keys` prints a file to start from", path.display())]
    Form { path: PathBuf, message: String },
    #[error("{}: {source}", path.display())]
    Keys { path: PathBuf, source: KeymapError },
}

/// Path of the user's settings.
pub fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Some(user_directory(variable)?.join("config.toml"))
}

/// The key table with the changes in the file at `path`; the default keys without a file.
///
/// # Errors
/// If the file cannot be read, or a change is invalid.
pub fn keymap(path: &Path) -> Result<Keymap, UserSettingsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Keymap::default()),
        Err(source) => {
            return Err(UserSettingsError::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    let settings: UserSettings = toml::from_str(&text).map_err(|error| UserSettingsError::Form {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    Keymap::with(&settings.keys).map_err(|source| UserSettingsError::Keys {
        path: path.to_owned(),
        source,
    })
}
