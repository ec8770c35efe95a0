//! Output files of `--out`.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::terminal::display_path;
use crate::files::write_atomically;

/// Checks before the work that an output file can be written.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let is_named_as_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    ensure!(
        !path.is_dir() && !is_named_as_directory,
        "cannot write {}: it is a directory; give the path of a file in it",
        display_path(path)
    );
    // A device or a pipe is written to; a file is replaced, which changes its directory.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let changed = match target.parent() {
        _ if target.metadata().is_ok_and(|found| !found.is_file()) => target.as_path(),
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    ensure!(
        changed.is_dir() || changed == target,
        "cannot write {}: there is no directory {}; create it, or give another path",
        display_path(path),
        display_path(changed)
    );
    #[cfg(unix)]
    rustix::fs::access(changed, rustix::fs::Access::WRITE_OK).with_context(|| {
        format!(
            "cannot write {}: {} cannot be written to; check its permissions, or give another path",
            display_path(path),
            display_path(changed)
        )
    })?;
    Ok(())
}

/// Writes a file atomically.
pub(super) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write_atomically(path, |out| out.write_all(content)).with_context(|| {
        format!(
            "cannot write {}; check the path and the space left",
            display_path(path)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_cannot_be_written_is_rejected_before_the_work() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("report.json");
        std::fs::write(&file, "").unwrap();
        for (path, fault) in [
            (directory.path().to_owned(), "it is a directory"),
            (directory.path().join("new/"), "it is a directory"),
            (directory.path().join("none/report.json"), "there is no directory"),
            (file.join("report.json"), "there is no directory"),
        ] {
            let error = check(&path).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
        for path in [file, directory.path().join("new.json"), "/dev/null".into()] {
            check(&path).unwrap();
        }
    }
}
