//! Output files of `--out`.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::terminal::display_path;
use crate::files::write_atomically;

/// Checks that the directory of an output file exists and can be written to, before the work.
pub(super) fn check_directory(path: &Path) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    ensure!(
        directory.is_dir(),
        "cannot write {}: there is no directory {}; create it, or give another path",
        display_path(path),
        display_path(directory)
    );
    #[cfg(unix)]
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).with_context(|| {
        format!(
            "cannot write into {}; check its permissions, or give another path",
            display_path(directory)
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
