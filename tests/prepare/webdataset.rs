//! Tar shards of a WebDataset, from files and from standard input.

use super::support::{Workspace, err, out, text};
use image::{ImageFormat, Rgb, RgbImage};
use std::fs;
use std::io::{Cursor, Write as _};
use std::process::Stdio;

fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes).unwrap();
}

/// A shard with these samples.
fn shard(samples: std::ops::Range<u8>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for number in samples {
        let mut png = Cursor::new(Vec::new());
        let image = RgbImage::from_pixel(16, 16, Rgb([number, 2, 3]));
        image.write_to(&mut png, ImageFormat::Png).unwrap();
        add(&mut tar, &format!("{number:06}.png"), png.get_ref());
        add(
            &mut tar,
            &format!("{number:06}.txt"),
            format!("a square of shade {number}").as_bytes(),
        );
    }
    tar.into_inner().unwrap()
}

#[test]
fn shards_are_unpacked_once_and_split_by_their_names() {
    let workspace = Workspace::new();
    let shards = workspace.file("shards");
    fs::create_dir(&shards).unwrap();
    for (name, samples) in [("train-0", 0..8), ("val-0", 8..10), ("test-0", 10..12)] {
        fs::write(shards.join(format!("{name}.tar")), shard(samples)).unwrap();
    }
    let prepare = ["prepare", text(&shards), "--name", "web", "--min-count", "1"];
    let output = workspace.run(&prepare);
    assert!(output.status.success(), "{}", err(&output));
    assert!(
        err(&output).contains("3 tar files: 12 images with captions"),
        "{}",
        err(&output)
    );
    for row in [
        "train       8         8",
        "dev         2         2",
        "test        2         2",
    ] {
        assert!(out(&output).contains(row), "{}", out(&output));
    }
    assert!(
        !err(&workspace.run(&prepare)).contains("tar files"),
        "unpacked again"
    );

    fs::write(shards.join("train-1.tar"), shard(20..22)).unwrap();
    let error = workspace.fails(&prepare);
    assert!(error.contains("--force"), "{error}");
    workspace.succeeds(&[&prepare[..], &["--force"]].concat());
    let images = fs::read_to_string(workspace.dataset("web").join("images.jsonl")).unwrap();
    assert_eq!(images.lines().count(), 14);
}

#[test]
fn dev_images_are_drawn_from_a_single_training_shard() {
    let workspace = Workspace::new();
    let file = workspace.file("train-000000.tar");
    fs::write(&file, shard(0..10)).unwrap();
    let printed = workspace.succeeds(&["prepare", text(&file), "--name", "web", "--min-count", "1"]);
    assert!(printed.contains("with random splits"), "{printed}");
    assert!(printed.contains("dev         1         1"), "{printed}");
}

#[test]
fn shards_are_read_from_standard_input() {
    let workspace = Workspace::new();
    let mut command = workspace.command(&["prepare", "-", "--name", "piped", "--min-count", "1"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&[shard(0..12), shard(12..20)].concat())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    assert!(
        err(&output).contains("standard input: 20 images with captions"),
        "{}",
        err(&output)
    );
    assert!(
        workspace
            .dataset("piped")
            .join("images/stdin/000019.png")
            .is_file()
    );
}
