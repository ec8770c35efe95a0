//! Preparing under a name that is taken: the same goes on, another is refused unless forced.

use super::Place;
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
fn scenes_become_a_data_set_that_loads() {
    let place = Place::new();
    let printed = place.prints(&SCENES);
    assert!(
        printed.starts_with("mine: read as scenes, with the source's splits\n"),
        "{printed}"
    );
    let data_set = Dataset::load(&place.data_set("mine")).unwrap();
    let images = Split::ALL.map(|split| data_set.images(split).count());
    assert_eq!(images, [16, 2, 2]);
    assert!(data_set.vocabulary.contains("a"));
    for image in &data_set.images {
        assert_eq!(image::image_dimensions(&image.path).unwrap(), (32, 32));
    }
}

#[test]
fn the_same_goes_on_and_other_scenes_are_refused() {
    let place = Place::new();
    place.prints(&SCENES);
    let image = place.data_set("mine/images").join("scene_00001.png");
    let drawn = fs::read(&image).unwrap();
    place.prints(&SCENES);

    // Size alone changes no caption, but every image.
    for other in [["--seed", "9"], ["--size", "48"], ["--num-images", "30"]] {
        let arguments: Vec<&str> = match other[0] {
            "--seed" => with(&other),
            flag => {
                let mut arguments = SCENES.to_vec();
                let place = arguments.iter().position(|argument| *argument == flag).unwrap();
                arguments[place + 1] = other[1];
                arguments
            }
        };
        let error = place.fails(&arguments);
        assert!(error.contains("is a data set already"), "{error}");
        assert!(error.contains("--force"), "{error}");
    }
    assert_eq!(fs::read(&image).unwrap(), drawn);

    let features = place.data_set("mine/features/of-the-old-images");
    fs::create_dir_all(&features).unwrap();
    place.prints(&with(&["--seed", "9", "--force"]));
    assert_ne!(fs::read(&image).unwrap(), drawn);
    assert!(!features.exists(), "features of other images are gone");
}

#[test]
fn features_outlive_another_vocabulary_of_the_same_images() {
    let place = Place::new();
    let directory = place.source(12).write();
    let command = ["prepare", &directory, "--name", "mine", "--min-count"];
    place.prints(&[&command[..], &["1"]].concat());
    let before = Dataset::load(&place.data_set("mine")).unwrap().hash;
    let features = place.data_set("mine/features/of-the-same-images");
    fs::create_dir_all(&features).unwrap();

    let error = place.fails(&[&command[..], &["1000"]].concat());
    assert!(error.contains("is a data set already"), "{error}");
    assert_eq!(Dataset::load(&place.data_set("mine")).unwrap().hash, before);
    place.prints(&[&command[..], &["1000", "--force"]].concat());
    assert_ne!(Dataset::load(&place.data_set("mine")).unwrap().hash, before);
    assert!(features.exists());
}

#[test]
fn flags_of_scenes_mean_nothing_elsewhere() {
    let place = Place::new();
    let directory = place.source(12).write();
    let error = place.fails(&["prepare", &directory, "--name", "mine", "--num-images", "20"]);
    assert!(
        error.contains("--num-images and --size are for the built-in data set"),
        "{error}"
    );
}
