//! A working directory with the runs of `tests/data/workbench`; the images are drawn again.

use std::fs;
use std::path::Path;

use super::Workspace;

/// The runs of [`Workspace::with_demo`] with their states.
pub(crate) const RUNS: [(&str, &str); 3] = [
    ("demo-001", "complete"),
    ("demo-002", "complete"),
    ("demo-003", "stopped"),
];
/// The command that draws the images.
const PREPARE: [&str; 6] = ["prepare", "scenes", "--name", "scenes", "--num-images", "240"];

impl Workspace {
    /// With three runs on the dataset `scenes`, without their weights; see `tests/data/workbench/README.md`.
    pub(crate) fn with_demo() -> Self {
        let workspace = Self::new();
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/workbench");
        for part in ["datasets", "checkpoints"] {
            copy(&kept.join(part), &workspace.path().join(part));
        }
        draw_images(&workspace);
        workspace
    }
}

/// Draws the images in another directory, because the dataset exists and must not change.
fn draw_images(workspace: &Workspace) {
    let drawn = Workspace::new();
    drawn.succeeds(&PREPARE);
    let [from, to] = [&drawn, workspace].map(|workspace| workspace.path().join("datasets/scenes"));
    let [manifest, kept] = [&from, &to].map(|data| fs::read_to_string(data.join("dataset.toml")).unwrap());
    assert_eq!(manifest, kept, "make tests/data/workbench anew");
    fs::rename(from.join("images"), to.join("images")).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).unwrap()),
        }
    }
}
