//! Tests of the files that `write` makes.

use std::fs;
use std::path::Path;

use super::*;
use std::sync::Mutex;

const FEW: ScenesSettings = ScenesSettings {
    images: 20,
    size: 32,
    seed: 3,
};

fn file_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn images_and_captions_are_those_of_the_scenes() {
    let dir = tempfile::tempdir().unwrap();
    let images = write(&FEW, dir.path(), |_| {}).unwrap();
    assert_eq!(images.len(), 20);
    for (index, image) in images.iter().enumerate() {
        let scene = Scene::new(3, index as u64);
        assert_eq!(image::open(&image.path).unwrap().into_rgb8(), scene.draw(32));
        assert_eq!(image.captions, scene.captions().map(SourceCaption::new));
    }
    assert_eq!(images[0].key, "scene_00001");
    let expected: Vec<String> = (1..=20).map(|number| format!("scene_{number:05}.png")).collect();
    assert_eq!(file_names(&dir.path().join("images")), expected);
}

#[test]
fn a_tenth_each_is_dev_and_test() {
    let count = |split| (0..20).filter(|&index| split_of(index) == split).count();
    assert_eq!(Split::ALL.map(count), [16, 2, 2]);
}

#[test]
fn more_images_leave_the_first_ones_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let many = write(&FEW, dir.path(), |_| {}).unwrap();
    let few = write(&ScenesSettings { images: 10, ..FEW }, dir.path(), |_| {}).unwrap();
    assert_eq!(few, many[..10]);
}

#[test]
fn progress_counts_every_image_once() {
    let dir = tempfile::tempdir().unwrap();
    let counts = Mutex::new(BTreeSet::new());
    write(&FEW, dir.path(), |done| {
        assert!(counts.lock().unwrap().insert(done))
    })
    .unwrap();
    assert_eq!(counts.into_inner().unwrap(), (1..=20).collect());
}

#[test]
fn write_errors_name_the_file_and_leave_no_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("images/scene_00007.png");
    fs::create_dir_all(blocked.join("in the way")).unwrap();
    let error = write(&FEW, dir.path(), |_| {}).unwrap_err();
    assert!(
        matches!(&error, ScenesError::Write { path, .. } if *path == blocked),
        "{error}"
    );
    assert!(error.to_string().contains("scene_00007.png"));
    let names = file_names(&dir.path().join("images"));
    assert!(names.iter().all(|name| name.ends_with(".png")), "{names:?}");

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(&FEW, &file, |_| {}).unwrap_err();
    assert!(
        matches!(&error, ScenesError::Write { path, .. } if *path == file.join("images")),
        "{error}"
    );
}

#[test]
fn settings_out_of_range_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = |settings: ScenesSettings, fault: &str| {
        let error = write(&settings, dir.path(), |_| {}).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    };
    for size in [0, 31, 1_025] {
        rejected(ScenesSettings { size, ..FEW }, &format!("size = {size} "));
    }
    rejected(ScenesSettings { images: 9, ..FEW }, "images = 9 ");
    assert!(file_names(dir.path()).is_empty());
}

#[test]
fn settings_have_defaults_and_reject_unknown_keys() {
    let settings: ScenesSettings = toml::from_str("size = 96").unwrap();
    let expected = ScenesSettings {
        size: 96,
        ..Default::default()
    };
    assert_eq!(settings, expected);
    assert!(toml::from_str::<ScenesSettings>("image = 3").is_err());
}
