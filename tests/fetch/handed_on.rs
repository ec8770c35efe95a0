//! From an empty machine to a caption on another one: eight commands, and no path to any weights.

use super::{Machine, fs, sha256, zipped};
use crate::server::{Response, Server};
use crate::support::{err, out, text};
use std::path::{Path, PathBuf};

const WEIGHTS: &str = "mobilenet_v2-b0353104.pth";
const IMAGES: usize = 12;

/// Published files of Flickr8k, with the first images only.
fn archives(place: &Path) -> [(&'static str, Vec<u8>); 2] {
    let captions = fs::read_to_string(place.join("Flickr8k.token.txt")).unwrap();
    let mut images: Vec<&str> = captions
        .lines()
        .filter_map(|line| line.split('#').next())
        .collect();
    images.dedup();
    images.retain(|name| place.join("images").join(name).is_file());
    images.truncate(IMAGES);
    let kept = captions
        .lines()
        .filter(|line| images.iter().any(|name| line.starts_with(name)));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    let list = |images: &[&str]| images.iter().map(|name| format!("{name}\n")).collect::<String>();
    let (train, dev) = (list(&images[..IMAGES / 2]), list(&images[IMAGES / 2..]));
    let texts = zipped(&[
        ("Flickr8k.token.txt", kept.as_bytes()),
        ("Flickr_8k.trainImages.txt", train.as_bytes()),
        ("Flickr_8k.devImages.txt", dev.as_bytes()),
    ]);
    let pixels: Vec<(String, Vec<u8>)> = images
        .iter()
        .map(|name| {
            let bytes = fs::read(place.join("images").join(name)).unwrap();
            (format!("Flicker8k_Dataset/{name}"), bytes)
        })
        .collect();
    let pixels: Vec<(&str, &[u8])> = pixels
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    [
        ("Flickr8k_text.zip", texts),
        ("Flickr8k_Dataset.zip", zipped(&pixels)),
    ]
}

#[test]
fn eight_commands_lead_from_nothing_to_a_caption_elsewhere() {
    let variables = ["CUTLINE_FLICKR8K", "CUTLINE_WEIGHTS"].map(std::env::var_os);
    let [Some(data), Some(weights)] = variables.map(|place| place.map(PathBuf::from)) else {
        return println!("SKIPPED: CUTLINE_FLICKR8K or CUTLINE_WEIGHTS is not set");
    };
    let archives = archives(&data);
    let network = fs::read(weights.join(WEIGHTS)).unwrap();
    // The archives are shorter than the published ones, and have other checksums.
    let files: Vec<String> = archives
        .iter()
        .map(|(name, bytes)| {
            let hash = sha256(bytes);
            format!("{{ urls = [\"http://127.0.0.1:9/data/{name}\"], hash = \"sha256:{hash}\", unpack = \"zip\" }}")
        })
        .collect();
    let mirror = Server::start(move |request| {
        let file = archives.iter().find(|(name, _)| request.path.ends_with(name));
        match file {
            Some((_, bytes)) => Response::file(bytes, "\"data\"", request),
            None if request.path.ends_with(WEIGHTS) => Response::file(&network, "\"net\"", request),
            None => Response::status("404 Not Found", &[]),
        }
    });
    let machine = Machine(crate::Workspace::new());
    let table = machine.0.file("config/cutline/assets.toml");
    fs::create_dir_all(table.parent().unwrap()).unwrap();
    let head = "[flickr8k]\nkind = \"dataset\"\nabout = \"a part of Flickr8k\"\nlicense = \"research only\"\norigin = \"Hodosh et al.\"\n";
    fs::write(table, format!("{head}files = [{}]\n", files.join(", "))).unwrap();
    let runs = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        let output = command.env("CUTLINE_MIRROR", mirror.url("")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", err(&output));
        out(&output)
    };

    let photo = fs::read_dir(data.join("images"))
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let packed = machine.0.file("captioner.cutline");
    runs(&["fetch", "flickr8k", "mobilenet_v2", "--yes"]);
    runs(&[
        "prepare",
        "flickr8k",
        "--backbone",
        "mobilenet_v2",
        "--min-count",
        "1",
    ]);
    let train = [
        "train",
        "flickr8k",
        "--decoder",
        "merge",
        "--set",
        "training.epochs=1",
    ];
    runs(&train);
    runs(&["evaluate", "flickr8k-merge-001"]);
    let caption = runs(&["caption", "flickr8k-merge-001", text(&photo)]);
    runs(&["pack", "flickr8k-merge-001", "--out", text(&packed)]);
    let verified = runs(&["verify", text(&packed), "--data", "flickr8k"]);
    assert!(!verified.contains("differs"), "{verified}");

    let other = Machine(crate::Workspace::new());
    let copy = other.0.file("captioner.cutline");
    fs::copy(&packed, &copy).unwrap();
    fs::remove_dir_all(machine.0.path()).unwrap();
    let output = other.succeeds(&["caption", text(&copy), text(&photo)]);
    assert_eq!(out(&output), caption);
    let info = cutline::pack::PackedFile::open(&copy).unwrap().info().clone();
    let cnn = info.cnn.unwrap();
    assert_eq!(cnn.file, WEIGHTS);
    assert!(
        cnn.license.contains("BSD-3-Clause") && info.card.contains(&cnn.license),
        "{cnn:?}"
    );
    assert_eq!(info.scores.len(), 1);
}
