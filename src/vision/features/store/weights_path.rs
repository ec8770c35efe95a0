//! The path of the weights that extracted a store's features, for extracting those of new images.

use super::{At, MAX_JSON_BYTES, Result, read_if_there};
use crate::files::ConfinedPath;
use std::fs;
use std::path::{Path, PathBuf};

const FILE: &str = "weights";

/// Notes in the store in `dir` that its features were made with the weights in `weights`, as an absolute path.
///
/// # Errors
/// [`StoreError::Io`](super::StoreError::Io) where `weights` is not there or the note cannot be written.
pub fn record_weights_path(dir: impl Into<ConfinedPath>, weights: &Path) -> Result<()> {
    let absolute = fs::canonicalize(weights).at(&weights.into())?;
    let note = dir.into().join(FILE);
    note.write_atomically(|out| writeln!(out, "{}", absolute.display()))
        .at(&note)
}

/// The path that [`record_weights_path`] wrote into the store in `dir`, if any.
///
/// The file may have moved or changed since: compare its hash with
/// [`FeatureSpec::weights`](super::FeatureSpec::weights).
pub fn read_weights_path(dir: impl Into<ConfinedPath>) -> Option<PathBuf> {
    let note = read_if_there(&dir.into().join(FILE), MAX_JSON_BYTES).ok()??;
    let path = String::from_utf8(note).ok()?;
    Some(PathBuf::from(path.strip_suffix('\n')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_path_comes_back_absolute() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_weights_path(dir.path()), None);
        let weights = dir.path().join("with a space\nand a line end.pth");
        assert!(record_weights_path(dir.path(), &weights).is_err());
        fs::write(&weights, "").unwrap();
        record_weights_path(dir.path(), &dir.path().join("./with a space\nand a line end.pth")).unwrap();
        assert_eq!(
            read_weights_path(dir.path()),
            Some(fs::canonicalize(weights).unwrap())
        );
    }
}
