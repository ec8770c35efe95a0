//! Names of datasets and runs, which are also the names of their directories.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longer names make paths that some file systems reject.
const MAX_NAME_BYTES: usize = 100;

/// The name of a dataset or a run: ASCII letters, digits, `.`, `_` and `-`, starting with a letter or a digit.
///
/// As a directory name it contains no separator, is not hidden, and cannot be mistaken for a flag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

/// Why a text is not a [`Name`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a name; use up to {MAX_NAME_BYTES} letters (a-z), digits, `.`, `_` and `-`, starting with a letter or a digit"
)]
pub struct NameError(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A valid name for any text: other characters become `-`.
    pub fn sanitized(text: &str) -> Self {
        let fits = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            }
        };
        let name: String = text.chars().map(fits).take(MAX_NAME_BYTES).collect();
        match name.trim_start_matches(['.', '_', '-']) {
            "" => Self("unnamed".to_owned()),
            name => Self(name.to_owned()),
        }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = text.len() <= MAX_NAME_BYTES
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sanitized_names_are_valid() {
        for (text, name) in [("a b/ç", "a-b--"), ("../x", "x"), ("", "unnamed"), ("8k", "8k")] {
            assert_eq!(Name::sanitized(text).as_str(), name);
            assert!(Name::sanitized(text).as_str().parse::<Name>().is_ok());
        }
    }

    #[test]
    fn names_cannot_leave_their_directory() {
        for text in ["flickr8k", "a", "8k", "run-001", "a.b_c-D"] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
        for text in [
            "",
            ".",
            "..",
            ".hidden",
            "-flag",
            "a/b",
            "a\\b",
            "a b",
            "é",
            "a\n",
            "_x",
            &"a".repeat(101),
        ] {
            assert_eq!(text.parse::<Name>(), Err(NameError(text.to_owned())));
        }
    }
}
