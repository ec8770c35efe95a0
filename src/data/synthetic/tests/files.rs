//! What `write` leaves on disk.

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
fn images_lie_where_they_are_said_to_and_hold_the_scenes() {
    let dir = tempfile::tempdir().unwrap();
    let images = write(&FEW, dir.path(), |_| {}).unwrap();
    assert_eq!(images.len(), 20);
    for (index, image) in images.iter().enumerate() {
        let scene = Scene::new(3, index as u64);
        assert_eq!(image::open(&image.path).unwrap().into_rgb8(), scene.draw(32));
        let captions: Vec<&str> = image
            .captions
            .iter()
            .map(|caption| caption.raw.as_str())
            .collect();
        assert_eq!(captions, scene.captions());
    }
    assert_eq!(images[0].key, "scene_00001");
    let expected: Vec<String> = (1..=20).map(|number| format!("scene_{number:05}.png")).collect();
    assert_eq!(file_names(&dir.path().join("images")), expected);
}

#[test]
fn a_tenth_is_dev_and_a_tenth_is_test() {
    let dir = tempfile::tempdir().unwrap();
    let images = write(&FEW, dir.path(), |_| {}).unwrap();
    let count = |split| images.iter().filter(|image| image.split == Some(split)).count();
    assert_eq!(
        (count(Split::Train), count(Split::Dev), count(Split::Test)),
        (16, 2, 2)
    );
}

#[test]
fn drawing_more_leaves_the_first_ones_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let many = write(&FEW, dir.path(), |_| {}).unwrap();
    let few = write(&ScenesSettings { images: 10, ..FEW }, dir.path(), |_| {}).unwrap();
    assert_eq!(few, many[..10]);
}

#[test]
fn progress_counts_every_image_once() {
    let dir = tempfile::tempdir().unwrap();
    let told = Mutex::new(BTreeSet::new());
    write(&FEW, dir.path(), |done| {
        assert!(told.lock().unwrap().insert(done))
    })
    .unwrap();
    assert_eq!(told.into_inner().unwrap(), (1..=20).collect());
}

#[test]
fn what_cannot_be_written_is_named_and_leaves_nothing_half_done() {
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
}

#[test]
fn a_file_in_place_of_the_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(&FEW, &file, |_| {}).unwrap_err();
    assert!(matches!(error, ScenesError::Folder { .. }));
}

#[test]
fn settings_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for size in [0, 31, 1_025] {
        let error = write(&ScenesSettings { size, ..FEW }, dir.path(), |_| {}).unwrap_err();
        assert!(error.to_string().contains(&format!("size = {size} ")), "{error}");
    }
    let error = write(&ScenesSettings { images: 9, ..FEW }, dir.path(), |_| {}).unwrap_err();
    assert!(error.to_string().contains("images = 9 "), "{error}");
    assert!(file_names(dir.path()).is_empty());
}

#[test]
fn settings_have_defaults_and_refuse_unknown_keys() {
    let settings: ScenesSettings = toml::from_str("size = 96").unwrap();
    assert_eq!(
        settings,
        ScenesSettings {
            size: 96,
            ..Default::default()
        }
    );
    assert!(toml::from_str::<ScenesSettings>("image = 3").is_err());
}
