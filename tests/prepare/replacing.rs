//! Preparing under an existing name: the same content is reused, another is rejected without --force.

use super::Workspace;
use cutline::data::{Dataset, Split};
use std::fs;

const SCENES: [&str; 8] = [
    "prepare",
    "scenes",
    "--name",
    "mine",
    "--num-images",
    "20",
    "--size",
    "32",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SCENES[..], more].concat()
}

#[test]
fn prepared_scenes_load() {
    let workspace = Workspace::new();
    let printed = workspace.succeeds(&SCENES);
    assert!(
        printed.starts_with("mine: read as scenes, with the source's splits\n"),
        "{printed}"
    );
    let dataset = Dataset::load(workspace.dataset("mine")).unwrap();
    let images = Split::ALL.map(|split| dataset.images(split).count());
    assert_eq!(images, [16, 2, 2]);
    assert!(dataset.vocabulary.contains("a"));
    for image in &dataset.images {
        assert_eq!(image::image_dimensions(&image.path).unwrap(), (32, 32));
    }
}

#[test]
fn same_scenes_are_reused_and_others_rejected() {
    let workspace = Workspace::new();
    workspace.succeeds(&SCENES);
    let image = workspace.dataset("mine/images").join("scene_00001.png");
    let drawn = fs::read(&image).unwrap();
    workspace.succeeds(&SCENES);

    // The size changes every image but no caption.
    for other in [["--seed", "9"], ["--size", "48"], ["--num-images", "30"]] {
        let arguments: Vec<&str> = match other[0] {
            "--seed" => with(&other),
            flag => {
                let mut arguments = SCENES.to_vec();
                let index = arguments.iter().position(|argument| *argument == flag).unwrap();
                arguments[index + 1] = other[1];
                arguments
            }
        };
        let error = workspace.fails(&arguments);
        assert!(error.contains("is a dataset already"), "{error}");
        assert!(error.contains("--force"), "{error}");
    }
    assert_eq!(fs::read(&image).unwrap(), drawn);

    let features = workspace.dataset("mine/features/of-the-old-images");
    fs::create_dir_all(&features).unwrap();
    workspace.succeeds(&with(&["--seed", "9", "--force"]));
    assert_ne!(fs::read(&image).unwrap(), drawn);
    assert!(!features.exists(), "features of other images are gone");
}

#[test]
fn features_are_kept_with_a_new_vocabulary() {
    let workspace = Workspace::new();
    let mut source = workspace.source(12);
    // Of each split, so that the training split has a word of its own.
    for image in 0..12 {
        let rare = ["bird", "cat", "fish", "horse"][image % 4].repeat(image + 1);
        source.caption(&format!("image-{image}.png"), &rare);
    }
    let directory = source.write();
    let command = ["prepare", &directory, "--name", "mine", "--min-count"];
    workspace.succeeds(&[&command[..], &["1"]].concat());
    let before = Dataset::load(workspace.dataset("mine")).unwrap().hash;
    let features = workspace.dataset("mine/features/of-the-same-images");
    fs::create_dir_all(&features).unwrap();

    let error = workspace.fails(&[&command[..], &["5"]].concat());
    assert!(error.contains("is a dataset already"), "{error}");
    assert_eq!(Dataset::load(workspace.dataset("mine")).unwrap().hash, before);
    workspace.succeeds(&[&command[..], &["5", "--force"]].concat());
    assert_ne!(Dataset::load(workspace.dataset("mine")).unwrap().hash, before);
    assert!(features.exists());
}

#[test]
fn scenes_flags_are_rejected_for_other_sources() {
    let workspace = Workspace::new();
    let directory = workspace.source(12).write();
    let error = workspace.fails(&["prepare", &directory, "--name", "mine", "--num-images", "20"]);
    assert!(
        error.contains("--num-images and --size are for the built-in dataset"),
        "{error}"
    );
}
