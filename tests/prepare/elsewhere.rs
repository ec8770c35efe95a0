//! Features that another program made: stores, runs and captions from every form of file.

use super::{Workspace, err, text};
use cutline::data::{Dataset, PrepareReport, ProblemKind};
use cutline::jobs::{CheckpointKind, CheckpointRef};
use cutline::pack::CaptionMembers;
use cutline::search::{Search, cpu};
use cutline::training::RunEnsemble;
use cutline::vision::features::feature_file::FeatureShape;
use cutline::vision::features::store::FeatureStore;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const CHANNELS: usize = 5;
const IMAGES: usize = 20;
const SCENES: [&str; 6] = ["prepare", "scenes", "--num-images", "20", "--size", "32"];

/// An image's features: no two are alike.
fn features(image: usize, regions: usize) -> Vec<f32> {
    (0..regions * CHANNELS)
        .map(|n| ((image * 31 + n * 17) % 23) as f32 / 8.0 - 1.0)
        .collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A file with the features of these images, each with its name and regions.
fn write(path: &Path, images: &[(String, usize, usize)]) {
    let rows: Vec<Vec<u8>> = images
        .iter()
        .map(|(_, image, regions)| bytes(&features(*image, *regions)))
        .collect();
    let views = images.iter().zip(&rows).map(|((name, _, regions), row)| {
        let shape = vec![1, *regions, CHANNELS];
        (name.as_str(), TensorView::new(Dtype::F32, shape, row).unwrap())
    });
    let metadata: Option<HashMap<String, String>> = None;
    fs::write(
        path,
        safetensors::serialize(views.collect::<Vec<_>>(), metadata).unwrap(),
    )
    .unwrap();
}

/// The scenes' file names, each with its number and regions.
fn scenes(regions: impl Fn(usize) -> usize) -> Vec<(String, usize, usize)> {
    (1..=IMAGES)
        .map(|at| (format!("scene_{at:05}.png"), at, regions(at)))
        .collect()
}

/// The same as an array with a row for each image, and the list of names beside it.
fn write_matrix(path: &Path, images: &[(String, usize, usize)]) {
    let names: Vec<&str> = images.iter().map(|(name, ..)| name.as_str()).collect();
    let values: Vec<f32> = images
        .iter()
        .flat_map(|(_, image, regions)| features(*image, *regions))
        .collect();
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}, {CHANNELS}), }}\n",
        names.len(),
        images[0].2
    );
    let len = u16::try_from(header.len()).unwrap().to_le_bytes();
    let array = [b"\x93NUMPY\x01\x00", &len[..], header.as_bytes(), &bytes(&values)].concat();
    fs::write(path, array).unwrap();
    fs::write(path.with_extension("txt"), names.join("\n")).unwrap();
}

impl Workspace {
    fn prepare_from(&self, name: &str, features: &Path, more: &[&str]) -> String {
        let flags = ["--name", name, "--features-from", text(features)];
        self.succeeds(&[&SCENES[..], &flags, more].concat())
    }

    fn train_small(&self, dataset: &str, run: &str, decoder: &str) {
        let settings = [
            "training.epochs=1",
            "decoder.hidden_size=8",
            "decoder.embedding_size=8",
            "decoder.attention_size=8",
        ];
        let settings: Vec<&str> = settings
            .into_iter()
            .flat_map(|setting| ["--set", setting])
            .collect();
        self.succeeds(
            &[
                &["train", dataset, "--run", run, "--decoder", decoder][..],
                &settings,
            ]
            .concat(),
        );
    }

    fn store_files(&self, store: &str) -> [Vec<u8>; 2] {
        ["rows.bin", "index.jsonl"].map(|file| fs::read(self.dataset(store).join(file)).unwrap())
    }

    fn report(&self, dataset: &str) -> PrepareReport {
        let report = fs::read(self.dataset(dataset).join(PrepareReport::FILE)).unwrap();
        serde_json::from_slice(&report).unwrap()
    }
}

#[test]
fn features_made_elsewhere_give_equal_stores_runs_and_captions_in_any_form() {
    let workspace = Workspace::new();
    let images = scenes(|_| 4);
    let (one, other) = (
        workspace.file("clip.safetensors"),
        workspace.file("clip matrix.npy"),
    );
    write(&one, &images);
    write_matrix(&other, &images);
    let printed = workspace.prepare_from("one", &one, &[]);
    assert!(printed.contains("20 images of 4x5 numbers"), "{printed}");
    workspace.prepare_from("other", &other, &[]);
    let stored = workspace.store_files("one/features/clip");
    assert_eq!(stored, workspace.store_files("other/features/clip-matrix"));
    let store = FeatureStore::open(workspace.dataset("one/features/clip")).unwrap();
    assert_eq!(store.get("scene_00007").unwrap(), features(7, 4));
    assert!(store.spec().is_made_elsewhere());

    for dataset in ["one", "other"] {
        workspace.train_small(dataset, dataset, "soft-attention");
    }
    let captions = |run: &str, file: &Path, more: &[&str]| {
        workspace.succeeds(&[&["caption", run, "--features-from", text(file)][..], more].concat())
    };
    let lines = captions("one", &one, &[]);
    assert_eq!(lines.lines().count(), IMAGES);
    assert_eq!(
        lines,
        captions("other", &other, &[]),
        "the same weights and captions"
    );
    let some = captions("one", &other, &["photos/SCENE_00007.jpg"]);
    let caption = lines
        .lines()
        .find_map(|line| line.strip_prefix("scene_00007.png"));
    assert_eq!(
        some.trim_end(),
        format!("photos/SCENE_00007.jpg{}", caption.unwrap())
    );
    // The workbench reads the store.
    let member = CheckpointRef::parse("one", CheckpointKind::Best);
    let runs = RunEnsemble::open(&member, &[], &workspace.root(), &cpu()).unwrap();
    let search = Search::by_probability(runs.first.record.settings.search.clone());
    let captioner = CaptionMembers::from(runs).feature_captioner().unwrap();
    let dataset = Dataset::load(workspace.dataset("one")).unwrap();
    let (image, directory) = (&dataset.images[6], workspace.dataset("one").into());
    let stored = captioner.stored_input(&directory, image, (32, 32)).unwrap();
    let shape = FeatureShape {
        regions: 4,
        channels: CHANNELS,
    };
    let given = captioner.feature_input("image", shape, &features(7, 4)).unwrap();
    assert_eq!(image.key, "scene_00007");
    let captions = captioner.captions(&[stored, given], &search).unwrap();
    assert_eq!(captions[0], captions[1]);
    // Evaluating reads the store, and captioning the file.
    workspace.succeeds(&["evaluate", "one"]);
    let dataset = Dataset::load(workspace.dataset("one")).unwrap();
    let image: PathBuf = dataset.images[0].path.clone();
    let error = workspace.fails(&["caption", "one", text(&image)]);
    assert!(
        error.contains("--features-from") && error.contains("clip.safetensors"),
        "{error}"
    );
    let wider = workspace.file("wider.safetensors");
    write(&wider, &scenes(|_| 6));
    let error = workspace.fails(&["caption", "one", "--features-from", text(&wider)]);
    assert!(error.contains("6x5 numbers, and this model reads 4x5"), "{error}");
}

#[test]
fn different_numbers_of_regions_train_and_caption() {
    let workspace = Workspace::new();
    let file = workspace.file("regions.safetensors");
    write(&file, &scenes(|image| 1 + image % 6));
    let printed = workspace.prepare_from("mine", &file, &["--dtype", "f16"]);
    assert!(printed.contains("20 images of up to 6x5 numbers"), "{printed}");
    let store = FeatureStore::open(workspace.dataset("mine/features/regions")).unwrap();
    let row = store.get("scene_00007").unwrap();
    assert_eq!(row.len(), 31);
    assert_eq!(store.spec().real_regions(&row), features(7, 2));
    for decoder in ["merge", "top-down"] {
        workspace.train_small("mine", decoder, decoder);
        workspace.succeeds(&["evaluate", decoder]);
        let caption = ["caption", decoder, "--features-from", text(&file)];
        let lines = workspace.succeeds(&caption);
        // Padding depends on the other images of a batch, and captions must not.
        let alone = workspace.succeeds(&[&caption[..], &["scene_00007"]].concat());
        let caption = |line: &str| line.split('\t').next_back().unwrap().trim_end().to_owned();
        let line = lines
            .lines()
            .find(|line| line.starts_with("scene_00007"))
            .unwrap();
        assert_eq!(caption(&alone), caption(line));
    }
    let attention = [
        "caption",
        "top-down",
        "--features-from",
        text(&file),
        "--attention",
    ];
    let error = workspace.fails(&attention);
    assert!(error.contains("no grid"), "{error}");
}

#[test]
fn interrupted_copies_resume_to_the_same_bytes() {
    let workspace = Workspace::new();
    let file = workspace.file("clip.safetensors");
    write(&file, &scenes(|_| 2));
    workspace.prepare_from("mine", &file, &[]);
    let whole = workspace.store_files("mine/features/clip");
    let store = workspace.dataset("mine/features/clip");
    fs::remove_file(store.join("complete.json")).unwrap();
    fs::write(store.join("rows.bin"), &whole[0][..333]).unwrap();
    workspace.prepare_from("mine", &file, &[]);
    assert_eq!(workspace.store_files("mine/features/clip"), whole);
}

#[test]
fn images_without_features_are_left_out_and_listed() {
    let workspace = Workspace::new();
    let file = workspace.file("half.safetensors");
    let mut images = scenes(|_| 1);
    images.remove(2);
    write(&file, &images);
    workspace.prepare_from("mine", &file, &[]);
    let dataset = Dataset::load(workspace.dataset("mine")).unwrap();
    assert_eq!(dataset.images.len(), IMAGES - 1);
    let report = workspace.report("mine");
    let [missing] = report.problems.of_kind(ProblemKind::ImageWithoutFeatures) else {
        panic!("{:?}", report.problems)
    };
    assert_eq!(missing.location, "scene_00003");
    // The same dataset must not silently become another one.
    let whole = workspace.file("whole.safetensors");
    write(&whole, &scenes(|_| 1));
    let flags = ["--name", "mine", "--features-from", text(&whole)];
    let error = workspace.fails(&[&SCENES[..], &flags].concat());
    assert!(error.contains("--force"), "{error}");
}

#[test]
fn features_of_other_images_or_shapes_are_rejected_before_writing() {
    let workspace = Workspace::new();
    let file = workspace.file("features.safetensors");
    let rejected = |images: &[(String, usize, usize)]| {
        write(&file, images);
        let flags = ["--name", "mine", "--features-from", text(&file)];
        let error = workspace.fails(&[&SCENES[..], &flags].concat());
        assert!(!workspace.dataset("mine").join("dataset.toml").exists());
        error
    };
    let error = rejected(&[("photo.jpg".into(), 1, 1)]);
    assert!(
        error.contains("no image has features") && error.contains("photo.jpg"),
        "{error}"
    );
    let mut images = scenes(|_| 1);
    images[3].2 = 3000;
    let error = rejected(&images);
    assert!(
        error.contains("3000 regions") && error.contains("at most 2048"),
        "{error}"
    );
    let flags = [
        "--name",
        "mine",
        "--features-from",
        text(&file),
        "--features",
        "grid",
    ];
    let output = workspace.run(&[&SCENES[..], &flags].concat());
    assert!(err(&output).contains("cannot be used with"), "{}", err(&output));
}
