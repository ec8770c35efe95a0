//! What a user has settled once and for all, in `cutline/config.toml` below the directory for settings.

use super::keymap::{Changes, Keymap, KeymapError};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// The user's settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserSettings {
    /// Other keys than the usual ones.
    pub keys: Changes,
}

/// Why the user's settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum UserSettingsError {
    /// The file cannot be read.
    #[error("{}: {source}; check its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {message}; `cutline keys` prints a file to start from", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A change of keys makes no sense.
    #[error("{}: {source}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Which.
        source: KeymapError,
    },
}

/// Where the user's settings are looked for: below `XDG_CONFIG_HOME`, or else `~/.config`.
pub fn path(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let given = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = given("XDG_CONFIG_HOME").or_else(|| Some(given("HOME")?.join(".config")))?;
    Some(home.join("cutline").join("config.toml"))
}

/// The keys as the file at `path` changes them; the usual ones where there is no such file.
///
/// # Errors
/// Where the file cannot be read, or asks for what makes no sense.
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
