//! Tests of reading and preparing sources on disk.

mod preparing;
mod reading;

use super::{ProblemKind, Problems};
use std::fs;
use tempfile::TempDir;

/// A directory with these files; the content of an image is its name.
fn directory(files: &[(&str, &str)], images: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    files.iter().for_each(|(name, content)| write(name, content));
    images.iter().for_each(|name| write(name, name));
    directory
}

fn locations(problems: &Problems, kind: ProblemKind) -> Vec<&str> {
    let problems = problems.of_kind(kind).iter();
    problems.map(|problem| problem.location.as_str()).collect()
}

const TOKENS: &str =
    "a.jpg#0\tA dog .\na.jpg#1\tA brown dog .\nb.jpg#0\tA cat .\n2258277193.jpg.1#0\tLost .\n";
