//! Tests of confined paths: files survive failures, and nothing outside the root is read, changed or removed.

use super::*;
use rustix::fs::{CWD, FileType, Mode as FileMode};
use std::fs;
use std::os::unix::fs::symlink;

const LIMIT: u64 = 1000;

fn root() -> (tempfile::TempDir, ConfinedPath) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("run");
    fs::create_dir(&root).unwrap();
    (directory, root.into())
}

fn write(path: &ConfinedPath, content: &str) -> io::Result<()> {
    path.write_atomically(|out| out.write_all(content.as_bytes()))
}

fn fifo(path: &Path) {
    let mode = FileMode::RUSR | FileMode::WUSR;
    rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn failed_write_leaves_the_old_content_and_nothing_else() {
    let (_directory, root) = root();
    let file = root.join("file");
    write(&file, "old").unwrap();
    let failed = file.write_atomically(|out| {
        out.write_all(b"half of the ne")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.read_to_string(LIMIT).unwrap(), "old");
    assert_eq!(root.entries().unwrap().len(), 1);
}

#[test]
fn leftovers_are_removed_and_no_other_file() {
    let (_directory, root) = root();
    for name in [".1-2.tmp", ".hidden", "x.tmp"] {
        write(&root.join(name), "").unwrap();
    }
    fs::create_dir(root.join(".directory.tmp")).unwrap();
    root.remove_leftovers().unwrap();
    let left: Vec<_> = root
        .entries()
        .unwrap()
        .into_iter()
        .map(|entry| entry.path)
        .collect();
    assert_eq!(
        left,
        [".directory.tmp", ".hidden", "x.tmp"].map(|name| root.join(name))
    );
}

#[test]
fn output_device_is_written_to_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let null = Path::new("/dev/null");
    write_atomically(null, |out| out.write_all(b"gone")).unwrap();
    assert!(null.metadata().unwrap().file_type().is_char_device());
}

#[test]
fn content_larger_than_a_buffer_replaces_the_old() {
    let (_directory, root) = root();
    let file = root.join("file");
    write(&file, "old").unwrap();
    write(&file, &"x".repeat(100_000)).unwrap();
    assert_eq!(file.read(100_000).unwrap().len(), 100_000);
    let error = file.read(99_999).unwrap_err().to_string();
    assert!(error.contains("longer than 99999 bytes"), "{error}");
}

#[test]
fn root_may_be_a_link() {
    let (directory, root) = root();
    let link = directory.path().join("link");
    symlink(root.as_path(), &link).unwrap();
    let linked = ConfinedPath::from(link);
    write(&linked.join("file"), "through the link").unwrap();
    assert_eq!(
        root.join("file").read_to_string(LIMIT).unwrap(),
        "through the link"
    );
    let file = directory.path().join("file-link");
    symlink(root.join("file"), &file).unwrap();
    assert_eq!(
        ConfinedPath::from(file).read_to_string(LIMIT).unwrap(),
        "through the link"
    );
}

/// Every operation on a link below the root, or on a path through one, fails and leaves the target as it was.
#[test]
fn links_below_the_root_are_not_followed() {
    let (directory, root) = root();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "precious").unwrap();
    symlink(&outside, root.join("directory")).unwrap();
    symlink(outside.join("precious"), root.join("file")).unwrap();
    symlink(outside.join("created"), root.join("dangling")).unwrap();
    for path in [
        root.join("file"),
        root.join("dangling"),
        root.join("directory/precious"),
        root.join("../outside/precious"),
    ] {
        assert!(path.open().is_err(), "{path}");
        assert!(path.append().is_err(), "{path}");
        assert!(path.open_in_place().is_err(), "{path}");
        assert!(!path.is_file() && !path.is_dir(), "{path}");
    }
    for directory in [root.join("directory"), root.join("../outside")] {
        let path = directory.join("precious");
        assert!(
            write(&path, "changed").is_err() && path.remove_file().is_err() && path.remove_tree().is_err()
        );
        assert!(path.rename_to("gone").is_err());
        assert!(directory.entries().is_err() && directory.subdirectories().is_err());
        assert!(directory.remove_leftovers().is_err() && directory.join("new").create_dir_all().is_err());
    }
    let error = root.join("file").open().unwrap_err().to_string();
    assert!(error.starts_with("it is a symbolic link"), "{error}");
    let error = root.join("directory/precious").open().unwrap_err().to_string();
    assert!(error.starts_with("it is a symbolic link"), "{error}");
    // A link itself may be replaced or removed.
    write(&root.join("file"), "of the run").unwrap();
    root.join("directory").remove_tree().unwrap();
    root.remove_tree().unwrap();
    let left: Vec<_> = fs::read_dir(&outside)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["precious"]);
    assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "precious");
}

/// Opening one of these must neither wait nor read without end.
#[test]
fn only_plain_files_are_opened() {
    let (_directory, root) = root();
    fifo(root.join("fifo").as_ref());
    fs::create_dir(root.join("directory")).unwrap();
    std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    for (name, kind) in [
        ("fifo", "a FIFO"),
        ("directory", "a directory"),
        ("socket", "a socket"),
    ] {
        let path = root.join(name);
        for opened in [path.open(), path.append(), path.open_in_place()] {
            let error = opened.unwrap_err().to_string();
            assert!(error.contains(kind), "{name}: {error}");
        }
    }
    let error = ConfinedPath::from(Path::new("/dev/zero"))
        .read(LIMIT)
        .unwrap_err()
        .to_string();
    assert!(error.contains("a device"), "{error}");
}

#[test]
fn file_with_two_names_is_not_changed_in_place() {
    let (directory, root) = root();
    let other = directory.path().join("other");
    fs::write(&other, "precious").unwrap();
    fs::hard_link(&other, root.join("events.jsonl")).unwrap();
    let path = root.join("events.jsonl");
    assert!(path.append().unwrap_err().to_string().contains("hard links"));
    assert_eq!(path.read_to_string(LIMIT).unwrap(), "precious");
    write(&path, "replaced").unwrap();
    assert_eq!(fs::read_to_string(other).unwrap(), "precious");
}

#[test]
fn rename_does_not_replace() {
    let (_directory, root) = root();
    write(&root.join("one"), "1").unwrap();
    write(&root.join("two"), "2").unwrap();
    let error = root.join("one").rename_to("two").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    root.join("one").rename_to("three").unwrap();
    assert!(!root.join("one").exists());
    assert_eq!(root.join("three").read_to_string(LIMIT).unwrap(), "1");
}

#[test]
fn removing_a_linked_root_removes_the_link() {
    let (directory, root) = root();
    write(&root.join("file"), "kept").unwrap();
    let link = directory.path().join("link");
    symlink(root.as_path(), &link).unwrap();
    ConfinedPath::from(&link).remove_root().unwrap();
    assert!(link.symlink_metadata().is_err());
    assert!(root.join("file").is_file());
    root.remove_root().unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
