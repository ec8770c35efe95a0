//! Sources with problems: what is listed, rejected and printed.

use super::{Workspace, err};
use cutline::data::{Dataset, PrepareReport, ProblemKind};
use std::fs;

/// Every problem of a kind, by image.
fn listed(workspace: &Workspace, kind: ProblemKind) -> Vec<(String, String)> {
    let report = PrepareReport::load(workspace.dataset("mine")).unwrap();
    let problems = report.problems.of_kind(kind).iter();
    problems
        .map(|problem| (problem.location.clone(), problem.detail.clone()))
        .collect()
}

#[test]
fn undecodable_image_is_listed_and_left_out() {
    let workspace = Workspace::new();
    let mut source = workspace.source(12);
    fs::write(source.image("a-text.jpg"), "no image, just words\n").unwrap();
    fs::write(source.image("b-empty.jpg"), "").unwrap();
    let whole = source.image("c-cut.jpg");
    image::RgbImage::from_fn(200, 150, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]))
        .save(&whole)
        .unwrap();
    let bytes = fs::read(&whole).unwrap();
    fs::write(&whole, &bytes[..bytes.len() / 2]).unwrap();
    for name in ["a-text.jpg", "b-empty.jpg", "c-cut.jpg"] {
        source.caption(name, "a cat sleeps");
    }
    let printed = workspace.succeeds(&["prepare", &source.write(), "--name", "mine", "--min-count", "1"]);

    assert!(
        printed.contains("mine: read as kaggle, with random splits"),
        "{printed}"
    );
    assert!(
        printed.contains("3 images that do not decode (left out)"),
        "{printed}"
    );
    assert!(printed.contains("all problems are listed in "), "{printed}");
    let undecodable = listed(&workspace, ProblemKind::UndecodableImage);
    let reasons = [
        ("a-text.jpg", "is not an image"),
        ("b-empty.jpg", "is empty (0 bytes)"),
        ("c-cut.jpg", "download"),
    ];
    assert_eq!(undecodable.len(), reasons.len());
    for ((image, detail), (expected, reason)) in undecodable.iter().zip(reasons) {
        assert_eq!(image, expected);
        assert!(detail.contains(reason), "{image}: {detail}");
    }
    assert_eq!(Dataset::load(workspace.dataset("mine")).unwrap().images.len(), 12);
}

#[test]
fn dev_images_alone_are_split_on_request() {
    let workspace = Workspace::new();
    let source = workspace.source(10);
    let images: Vec<String> = (0..10)
        .map(|image| {
            format!("{{\"id\":{image},\"file_name\":\"image-{image}.png\",\"domain\":\"near-domain\"}}")
        })
        .collect();
    let annotations: Vec<String> = (0..20)
        .map(|caption| {
            format!(
                "{{\"id\":{caption},\"image_id\":{},\"caption\":\"a dog {caption}\"}}",
                caption / 2
            )
        })
        .collect();
    let file = source.directory.join("nocaps_val_4500_captions.json");
    let (images, annotations) = (images.join(","), annotations.join(","));
    fs::write(
        &file,
        format!("{{\"images\":[{images}],\"annotations\":[{annotations}]}}"),
    )
    .unwrap();
    let command = [
        "prepare",
        file.to_str().unwrap(),
        "--name",
        "mine",
        "--min-count",
        "1",
    ];
    let error = workspace.fails(&command);
    for part in [
        "10 of them good, in the dev or test split",
        "--random-splits",
        "cutline score",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let printed = workspace.succeeds(&[&command[..], &["--random-splits"]].concat());
    assert!(printed.contains("train       8        16"), "{printed}");
}

#[test]
fn truncated_captions_file_is_rejected_unless_allowed() {
    let workspace = Workspace::new();
    let mut source = workspace.source(12);
    source.captions += "image-3.pn";
    let directory = source.write();
    let command = ["prepare", &directory, "--name", "mine"];

    let error = workspace.fails(&command);
    assert!(error.contains("captions.txt, line 14: "), "{error}");
    assert!(error.contains("download the file again"), "{error}");
    assert!(error.contains("--allow-truncated"), "{error}");
    assert!(!workspace.dataset("mine").exists());

    workspace.succeeds(&[&command[..], &["--allow-truncated"]].concat());
    assert_eq!(listed(&workspace, ProblemKind::TruncatedLine).len(), 1);
    assert_eq!(Dataset::load(workspace.dataset("mine")).unwrap().images.len(), 12);
}

#[test]
fn check_reports_problems_and_writes_nothing() {
    let workspace = Workspace::new();
    let mut source = workspace.source(12);
    source.caption("missing.png", "a boat on the sea");
    source.captions += "image-3.pn";
    let directory = source.write();

    let output = workspace.run(&["prepare", &directory, "--name", "mine", "--check"]);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "a torn file is a failure here too");
    assert!(printed.contains("1 caption without an image (left out)\n    missing.png: a boat on the sea"));
    assert!(printed.contains("1 truncated last line (left out)"), "{printed}");
    let printed = workspace.succeeds(&[
        "prepare",
        "scenes",
        "--name",
        "mine",
        "--num-images",
        "10",
        "--check",
    ]);
    assert!(printed.contains("mine: read as scenes"), "{printed}");
    assert!(!workspace.file("datasets").exists());
}

#[cfg(unix)]
#[test]
fn captions_and_file_names_have_no_control_characters() {
    let workspace = Workspace::new();
    let mut source = workspace.source(12);
    let steering = "a \u{1b}[2J\u{9b}31mdog\u{7} \u{202e}runs";
    source.caption("image-1.png", steering);
    source.caption("image-1.png", steering);
    source.caption("gone\u{1b}]0;title\u{7}.png", steering);
    let name = "bad\u{1b}[31m.png";
    fs::write(source.image(name), "no image").unwrap();
    source.caption(name, steering);
    let keep = ["--keep-symbols", "--keep-punctuation", "--min-count", "1"];
    let directory = source.write();
    let whole = [&["prepare", &directory, "--name", "mine"], &keep[..]].concat();
    source.captions += "torn\u{1b}[2J";
    let sound = workspace.run(&whole);
    assert_eq!(sound.status.code(), Some(0), "{}", err(&sound));
    source.write();
    let torn = workspace.run(&whole);
    assert_eq!(torn.status.code(), Some(1), "{}", err(&torn));

    let shown = String::from_utf8(sound.stdout.clone()).unwrap();
    assert!(shown.contains("gone\u{fffd}]0;title\u{fffd}.png"), "{shown}");
    assert!(shown.contains("bad\u{fffd}[31m.png"), "{shown}");
    for stream in [sound.stdout, sound.stderr, torn.stdout, torn.stderr] {
        let shown = String::from_utf8(stream).unwrap();
        let steering = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(steering), "{shown:?}");
    }
}
