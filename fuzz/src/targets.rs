//! What reads files from elsewhere, each as a function of a file's bytes that must neither panic nor take memory out of
//! proportion to its input, and small valid files to start from.
//!
//! `fuzz/fuzz_targets` runs them under libFuzzer, and `tests/fuzz_corpus.rs` on the seeds as an ordinary test.

use std::fmt::Display;
use std::fs;
use std::io::{Cursor, Write as _};
use std::ops::ControlFlow;
use std::panic;
use std::path::{Path, PathBuf};

use cutline::config::{self, AutoOr};
use cutline::data::webdataset::Shards;
use cutline::data::{self, DataSource, Dataset, Format, PrepareSettings};
use cutline::decoders::{DecoderKind, DecoderSettings};
use cutline::diagnosis::TrainingMonitor;
use cutline::evaluation::{
    CaptionRole, CaptionsFile, Comparison, CorpusScores, ExportFormat, RawCaption, SavedEvaluation,
    most_changed,
};
use cutline::fetch::{self, ArchiveKind, FetchObserver};
use cutline::files::ConfinedPath;
use cutline::jobs::{
    self, CheckpointKind, CheckpointSaved, ControlCommand, ControlDirectory, Event, EventLog, JobDirectory,
    JobStatus, LockState, Root,
};
use cutline::metrics::meteor::counts;
use cutline::metrics::{Example, Metric};
use cutline::model::{self, Checkpoint, EncoderSpec, Model, ModelSpec};
use cutline::nn::random_stream;
use cutline::pack::{CaptionMember, CaptionMembers, PackDtype, PackedFile, Packing};
use cutline::search::{DocumentFrequencies, SearchSettings, write_captions};
use cutline::text::{Cleaning, Vocabulary, display_safe};
use cutline::training::{DataRecord, RunConfig, RunSettings, Setting, TrainState, TrainedRun};
use cutline::vision::backbones::small_cnn::SmallCnnSettings;
use cutline::vision::features::feature_file::{FeatureFile, FeatureShape};
use cutline::vision::features::store::{
    FeatureDtype, FeatureSpec, FeatureStore, FeatureWriter, read_weights_path,
};
use cutline::vision::image_io::{ImageLimits, ImageLoader, JpegDecoder, MemoryBudget};
use cutline::vision::preprocess::Preprocessing;
use cutline::vision::weights::WeightFile;
use dfdx::prelude::{Cpu, NoneTape};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

/// A target and its seeds.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads a file with these bytes; whether it is valid.
    pub run: fn(&[u8]) -> bool,
    /// Small valid files.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
#[rustfmt::skip] // A row is a line.
pub const TARGETS: &[Target] = &[
    Target { name: "image", run: image, seeds: image_seeds },
    Target { name: "weights", run: weights, seeds: weights_seeds },
    Target { name: "captions", run: captions, seeds: captions_seeds },
    Target { name: "events", run: events, seeds: events_seeds },
    Target { name: "control", run: control, seeds: control_seeds },
    Target { name: "config", run: config, seeds: config_seeds },
    Target { name: "checkpoint", run: checkpoint, seeds: checkpoint_seeds },
    Target { name: "store", run: store, seeds: store_seeds },
    Target { name: "scores", run: scores, seeds: scores_seeds },
    Target { name: "coco", run: coco, seeds: coco_seeds },
    Target { name: "shards", run: shards, seeds: shards_seeds },
    Target { name: "meteor", run: meteor, seeds: meteor_seeds },
    Target { name: "features", run: features, seeds: features_seeds },
    Target { name: "archive", run: archive, seeds: archive_seeds },
    Target { name: "packed", run: packed, seeds: packed_seeds },
];

/// Separates the files of a target that reads several. It is in no UTF-8 text.
const SEPARATOR: u8 = 0xff;

/// Replaces libFuzzer's panic hook, which ends the process even for a panic that is caught: an image's decoder may
/// panic. libFuzzer still sees the others, as they leave the target.
pub fn start() {
    panic::set_hook(Box::new(|information| {
        if std::env::var_os("FUZZ_QUIET").is_none() {
            eprintln!("{information}");
        }
    }));
}

/// A directory of this thread, used again by the next input.
fn with_directory<T>(work: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static DIRECTORY: TempDir = tempfile::tempdir().unwrap();
    }
    DIRECTORY.with(|directory| work(directory.path()))
}

/// A path with this content.
fn written(path: PathBuf, content: &[u8]) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// The value that was read. An error's message is written, as the program would.
fn valid<T, E: Display>(read: Result<T, E>) -> Option<T> {
    read.map_err(|error| assert!(!error.to_string().is_empty())).ok()
}

/// Up to `N` files.
fn files<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |&byte| byte == SEPARATOR);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

fn joined(files: &[&[u8]]) -> Vec<u8> {
    files.join(&SEPARATOR)
}

/// A file of the tests of this repository.
fn sample(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = [root.join("tests/data"), root.join("../tests/data")];
    let tests = tests.into_iter().find(|path| path.is_dir()).unwrap();
    fs::read(tests.join(path)).unwrap()
}

/// A file of captions by image, as `score` takes them, scored by the PTB tokenizer against itself.
pub fn coco(data: &[u8]) -> bool {
    let Some(file) = valid(CaptionsFile::parse(data, CaptionRole::Hypothesis)) else {
        return false;
    };
    let captions: Vec<RawCaption<'_>> = file
        .0
        .iter()
        .filter_map(|(image, captions)| {
            Some(RawCaption {
                image,
                caption: captions.first()?,
                references: captions.iter().map(String::as_str).collect(),
            })
        })
        .collect();
    let scored = CorpusScores::by_ptb(&captions, &mut |_, _| ControlFlow::Continue(()));
    let ControlFlow::Continue(CorpusScores { scores, .. }) = scored else {
        unreachable!("nothing breaks");
    };
    assert!(scores.iter().all(|(_, score)| score.is_finite()));
    let _ = valid(file.into_hypotheses());
    true
}

fn coco_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"a.jpg": ["A dog can't run.", "Two dogs (brown) run at 10:30am!"], "b.jpg": ["A cat ... sits"]}"#,
        r#"{"a.jpg": "A dog", "b.jpg": null}"#,
        r#"[{"image_id": 7, "caption": "It's $3.50, i.e. cheap"}, {"image_id": 8, "caption": "http://a.b/c"}]"#,
        r#"{"images": [{"id": 7}], "annotations": [{"image_id": 7, "caption": "A dog's &amp; a cat's"}]}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// A tar shard of a WebDataset.
pub fn shards(data: &[u8]) -> bool {
    with_directory(|directory| {
        let shard = written(directory.join("shard/0.tar"), data);
        let shards = valid(Shards::find(&shard)).flatten().unwrap();
        let out = directory.join("unpacked");
        fs::create_dir_all(&out).unwrap();
        let unpacked = valid(shards.unpack(&ConfinedPath::from(&out), &mut |_| ()));
        let names = fs::read_dir(directory.join("shard")).unwrap().count();
        assert_eq!(names, 1, "written outside");
        fs::remove_dir_all(&out).unwrap();
        unpacked.is_some()
    })
}

fn shards_seeds() -> Vec<Vec<u8>> {
    let long = format!("{}/c", "x".repeat(120));
    [["a", "b/c"], ["./a", &long]]
        .map(|keys| {
            let mut tar = tar::Builder::new(Vec::new());
            for key in keys {
                for (extension, content) in [
                    ("jpg", "J"),
                    ("txt", "a dog"),
                    ("json", "{\"caption\": \"a dog\"}"),
                ] {
                    let mut header = tar::Header::new_gnu();
                    header.set_size(content.len() as u64);
                    header.set_mode(0o644);
                    tar.append_data(&mut header, format!("{key}.{extension}"), content.as_bytes())
                        .unwrap();
                }
            }
            tar.into_inner().unwrap()
        })
        .into()
}

/// An image file; a JPEG for both decoders.
pub fn image(data: &[u8]) -> bool {
    let limits = ImageLimits {
        pixels: 1 << 20,
        side: 4096,
        file_bytes: 64 << 20,
    };
    let decoders: &[JpegDecoder] = match data.starts_with(b"\xff\xd8") {
        true => &[JpegDecoder::Turbo, JpegDecoder::Zune],
        false => &[JpegDecoder::Turbo],
    };
    with_directory(|directory| {
        let path = written(directory.join("image"), data);
        let decoded = decoders.iter().map(|&jpeg_decoder| {
            let memory = MemoryBudget::new(64 << 20);
            let loader = ImageLoader {
                limits,
                jpeg_decoder,
                memory,
            };
            let image = valid(loader.decode(&path));
            image.is_some_and(|image| {
                assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.pixels);
                true
            })
        });
        decoded.filter(|&decoded| decoded).count() > 0
    })
}

fn image_seeds() -> Vec<Vec<u8>> {
    let color = RgbImage::from_fn(23, 17, |x, y| Rgb([(x * 9) as u8, (y * 15) as u8, (x * y) as u8]));
    let color = DynamicImage::from(color);
    let images = [DynamicImage::from(color.to_luma8()), color];
    let formats = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::WebP,
    ];
    let mut seeds = Vec::new();
    for image in &images {
        for format in formats {
            let mut file = Cursor::new(Vec::new());
            // Not every format has gray images.
            if image.write_to(&mut file, format).is_ok() {
                seeds.push(file.into_inner());
            }
        }
    }
    for kind in [
        "baseline_420",
        "baseline_422",
        "baseline_444",
        "cmyk",
        "gray",
        "progressive_420",
        "progressive_cmyk",
        "restarts_420",
        "rgb",
    ] {
        seeds.push(sample(&format!("jpeg/{kind}.jpg")));
    }
    seeds
}

/// A file of weights: both formats of PyTorch, safetensors, HDF5.
pub fn weights(data: &[u8]) -> bool {
    with_directory(|directory| {
        let path = written(directory.join("weights"), data);
        let Some(file) = valid(WeightFile::open(&path)) else {
            return false;
        };
        let _ = file.naming();
        for name in file.names() {
            let shape = file.shape(name).unwrap();
            if let Ok(values) = file.get(name, shape) {
                assert_eq!(values.len(), shape.iter().product::<usize>());
                assert!(values.len() <= 16 * data.len(), "more values than bytes");
            }
        }
        assert!(valid(file.get("no such tensor", &[])).is_none());
        true
    })
}

fn weights_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![safetensors_seed(), torch_zip_seed(), torch_legacy_seed()];
    seeds.extend(
        ["keras_1.h5", "saved_model.h5", "named.weights.h5"].map(|name| sample(&format!("keras/{name}"))),
    );
    seeds
}

fn safetensors_seed() -> Vec<u8> {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes: Vec<u8> = (0..48).collect();
    let view =
        |dtype, shape: &[usize], len: usize| TensorView::new(dtype, shape.to_vec(), &bytes[..len]).unwrap();
    let tensors = [
        ("conv/kernel", view(Dtype::F16, &[1, 2, 3], 12)),
        ("conv/bias", view(Dtype::F32, &[3], 12)),
        ("features.0.weight", view(Dtype::F64, &[2, 3], 48)),
        ("step", view(Dtype::I64, &[1], 8)),
    ];
    safetensors::serialize(tensors, None).unwrap()
}

/// A dict with a transposed tensor `w` of a storage of seven floats, and a counter `n`.
fn state_dict_pickle() -> Vec<u8> {
    [
        &b"\x80\x02ccollections\nOrderedDict\n)R("[..],
        b"X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((",
        b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x07tQ",
        b"K\x01K\x02K\x03\x86K\x01K\x02\x86\x89ccollections\nOrderedDict\n)RtR",
        b"X\x01\0\0\0nctorch._utils\n_rebuild_tensor_v2\n((",
        b"X\x07\0\0\0storagectorch\nLongStorage\nX\x01\0\0\x001X\x03\0\0\0cpuK\x01tQ",
        b"K\x00))\x89ccollections\nOrderedDict\n)RtRu.",
    ]
    .concat()
}

fn torch_zip_seed() -> Vec<u8> {
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [
        ("w/data.pkl", state_dict_pickle()),
        ("w/byteorder", b"little".to_vec()),
        ("w/data/0", vec![1; 28]),
        ("w/data/1", vec![2; 8]),
    ] {
        archive.start_file(name, stored).unwrap();
        archive.write_all(&content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn torch_legacy_seed() -> Vec<u8> {
    [
        &b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."[..],
        b"\x80\x02}X\x0d\0\0\0little_endian\x88s.",
        &state_dict_pickle(),
        b"\x80\x02](X\x01\0\0\x001X\x01\0\0\x000e.",
        &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0],
        &[7, 0, 0, 0, 0, 0, 0, 0],
        &[3; 28],
    ]
    .concat()
}

/// The forms of captions, and the name of a file of each.
const CAPTIONS: [(Format, &str); 6] = [
    (Format::Karpathy, "dataset_x.json"),
    (Format::Flickr8k, "x.token.txt"),
    (Format::Coco, "captions_val2014.json"),
    (Format::Folder, "captions.csv"),
    (Format::Folder, "captions.jsonl"),
    (Format::Kaggle, "captions.txt"),
];

/// A number of a form, a file of captions, and a split list.
pub fn captions(data: &[u8]) -> bool {
    let [form, data @ ..] = data else {
        return false;
    };
    let (format, name) = CAPTIONS[usize::from(*form) % CAPTIONS.len()];
    let [captions, split] = files(data);
    with_directory(|directory| {
        let images = directory.join("images");
        for image in ["a.jpg", "b.jpg", "val2014/c.jpg"] {
            written(images.join(image), b"");
        }
        let source = DataSource {
            path: written(directory.join(name), captions),
            images: Some(images),
            splits: vec![written(directory.join("train.txt"), split)],
            ..DataSource::default()
        };
        let _ = source.recognize();
        let settings = PrepareSettings {
            minimum_count: 1,
            ..PrepareSettings::default()
        };
        [(Some(format), source.splits.clone()), (None, Vec::new())].map(|(format, splits)| {
            let source = DataSource {
                format,
                splits,
                ..source.clone()
            };
            let raw = valid(source.read())?;
            for problem in raw.problems.of_kind(data::ProblemKind::MalformedLine) {
                assert!(!display_safe(&problem.to_string()).contains('\u{1b}'));
            }
            valid(data::build(&settings, &source, raw, "x", &|_| Ok(()), &|_| {}))
        })[0]
            .is_some()
    })
}

fn captions_seeds() -> Vec<Vec<u8>> {
    let contents = [
        r#"{"dataset": "coco", "images": [
            {"filepath": "val2014", "filename": "c.jpg", "split": "restval", "imgid": 0,
             "sentences": [{"raw": "A cat.", "tokens": ["a", "cat"], "sentid": 1}]},
            {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A dog."}]}]}"#,
        "a.jpg#0\tA dog .\na.jpg#1\tA brown dog .\r\nb.jpg#0\tA cat .\nno tab\n",
        r#"{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
            "annotations": [{"image_id": 1, "id": 9, "caption": "A dog."}, {"image_id": 3, "id": 8, "caption": "x"}]}"#,
        "image,caption,split\r\na.jpg,\"A dog , \"\"Rex\"\" .\",train\nb.jpg,one,two\n",
        "{\"image\": \"a.jpg\", \"caption\": \"A dog.\", \"split\": \"train\"}\n{\"image\": \"b.jpg\", \"captions\": [\"A cat.\"]}\n",
        "image,caption\r\na.jpg,\"A dog , \"\"Rex\"\" .\"\r\nb.jpg,\"open\r\nb.jpg,A cat\r\n",
    ];
    let seed =
        |(form, content): (u8, &str)| [vec![form], joined(&[content.as_bytes(), b"a.jpg\r\nb\n"])].concat();
    (0..).zip(contents).map(seed).collect()
}

/// An event log, and the note in a lock.
pub fn events(data: &[u8]) -> bool {
    let [log, lock] = files(data);
    with_directory(|directory| {
        let job = JobDirectory::new(directory);
        written(directory.join("events.jsonl"), log);
        written(directory.join("lock"), lock);
        let _ = LockState::read(&job.lock());
        let batch = jobs::read_events(&job.events()).unwrap();
        let mut monitor = TrainingMonitor::default();
        for record in &batch.records {
            monitor.add(record);
        }
        for symptom in monitor.symptoms() {
            let _ = (symptom.to_string(), symptom.advice());
        }
        let status = JobStatus::read(&job);
        let _ = (
            status.summary.fraction_done(),
            status.summary.seconds_left(),
            status.summary.median_step_seconds(),
        );
        let mut log = EventLog::open(&job.events()).unwrap();
        let appended = log.append(Event::message("fuzzed")).unwrap();
        drop(log);
        let after = jobs::read_events(&job.events()).unwrap();
        assert_eq!(
            after.records.last(),
            Some(&appended),
            "an appended event can be read"
        );
        !batch.records.is_empty()
    })
}

fn events_seeds() -> Vec<Vec<u8>> {
    let log = sample("workbench/checkpoints/demo-003/events.jsonl");
    let mut lines = log.split_inclusive(|&byte| byte == b'\n');
    let first: Vec<u8> = lines.by_ref().take(12).flatten().copied().collect();
    let last: Vec<u8> = lines
        .rev()
        .take(8)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .flatten()
        .copied()
        .collect();
    let evaluated = sample("workbench/checkpoints/demo-001/evaluations/dev-best/events.jsonl");
    let directory = tempfile::tempdir().unwrap();
    let job = JobDirectory::new(directory.path());
    let mut log = EventLog::open(&job.events()).unwrap();
    let name = "latest".to_owned();
    let saved = Event::Checkpoint(CheckpointSaved { name, step: 7 });
    for event in [Event::message("hello"), Event::warning("\u{1b}[31m"), saved] {
        log.append(event).unwrap();
    }
    let written = fs::read(job.events().as_path()).unwrap();
    let lock = br#"{"pid":1,"host":"elsewhere"}"#;
    [first, last, evaluated, written]
        .map(|log| joined(&[&log, lock]))
        .into()
}

/// A control file.
pub fn control(data: &[u8]) -> bool {
    with_directory(|directory| {
        let job = JobDirectory::new(directory);
        let path = written(directory.join("control/1.json"), data);
        let mut control_directory = ControlDirectory::open(&job).unwrap();
        let taken = control_directory.take().unwrap();
        assert_eq!(taken.len(), 1, "every file is answered");
        assert!(!path.exists(), "and taken once");
        if let Ok(ControlCommand::Set { settings }) = &taken[0].command {
            for (key, value) in settings {
                valid(format!("{key}={value}").parse::<config::Assignment>());
                if let Some(setting) = Setting::find(key) {
                    valid(setting.parse(value));
                }
            }
        }
        taken[0].command.is_ok()
    })
}

fn control_seeds() -> Vec<Vec<u8>> {
    let settings = [("training.learning_rate", "1e-4"), ("search.beam_size", "5")];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let commands = [
        ControlCommand::Pause,
        ControlCommand::Resume,
        ControlCommand::Stop,
        ControlCommand::Checkpoint,
        ControlCommand::Evaluate,
        ControlCommand::Predict,
        ControlCommand::Set {
            settings: settings.into(),
        },
    ];
    commands
        .iter()
        .map(|command| serde_json::to_vec(command).unwrap())
        .collect()
}

/// A run's `config.toml`, a file of settings or a dataset's manifest; the images and the vocabulary of a dataset.
pub fn config(data: &[u8]) -> bool {
    let [toml, images, vocabulary] = files(data);
    with_directory(|directory| {
        let dataset = directory.join("dataset");
        let path = written(dataset.join("dataset.toml"), toml);
        written(dataset.join("images.jsonl"), images);
        let words = written(dataset.join("vocabulary.txt"), vocabulary);
        let record = valid(RunConfig::load(&path));
        if let Some(record) = &record {
            valid(record.settings.check());
            let again = ConfinedPath::from(directory.join("again.toml"));
            record.save(&again).unwrap();
            assert!(RunConfig::load(&again).is_ok(), "what was written can be read");
        }
        let settings = valid(config::apply(&RunSettings::default(), Some(&path), &[]));
        if let Some(settings) = &settings {
            valid(settings.check());
        }
        if let Some(vocabulary) = valid(Vocabulary::read(words)) {
            let _ = vocabulary.decode(&[0, 7, u32::MAX as _]);
        }
        let dataset = valid(Dataset::load(&dataset));
        // No settings at all are valid.
        record.is_some() || (settings.is_some() && !data.is_empty()) || dataset.is_some()
    })
}

fn config_seeds() -> Vec<Vec<u8>> {
    let dataset = |name: &str| sample(&format!("workbench/datasets/scenes/{name}"));
    let images = dataset("images.jsonl");
    let words = dataset("vocabulary.txt");
    let settings = RunSettings::default().to_commented_toml().into_bytes();
    let record = sample("workbench/checkpoints/demo-001/config.toml");
    [settings, record, dataset("dataset.toml")]
        .map(|toml| joined(&[&toml, &images, &words]))
        .into()
}

/// A checkpoint; a small model writes a caption.
pub fn checkpoint(data: &[u8]) -> bool {
    /// Networks of a millisecond.
    const MAX_INPUTS: usize = 1 << 12;
    with_directory(|directory| {
        let path = written(directory.join("best.safetensors"), data);
        let Some(checkpoint) = valid(Checkpoint::open(&path)) else {
            return false;
        };
        let _ = serde_json::from_value::<TrainState>(checkpoint.training().clone());
        let Some(model) = valid(checkpoint.model(&Cpu::default())) else {
            return false;
        };
        let inputs = model.spec().encoder.input_len();
        if inputs > MAX_INPUTS {
            return true;
        }
        let regions = model.regions::<NoneTape>(vec![0.5; inputs]).unwrap();
        let search = SearchSettings {
            beam_size: 2,
            max_length: AutoOr::Set(3),
            ..SearchSettings::default()
        };
        write_captions(model.decoder.as_ref(), regions, &search).unwrap();
        true
    })
}

fn small_model(encoder: EncoderSpec, kind: DecoderKind, vocabulary: usize) -> Model<Cpu> {
    let spec = ModelSpec {
        encoder,
        decoder: DecoderSettings {
            kind,
            hidden_size: 3,
            embedding_size: 2,
            attention_size: 2,
            ..DecoderSettings::default()
        },
        vocabulary,
    };
    Model::new(&Cpu::default(), spec, &mut random_stream(1, "weights", 0)).unwrap()
}

fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let features = |regions| FeatureSpec {
        regions,
        ..feature_spec()
    };
    let fine_tuned = serde_json::json!({
        "kind": "fine_tuned",
        "features": features(4),
        "layers": {
            "input": {"height": 2, "width": 2, "channels": 5},
            "output": {"height": 1, "width": 1, "channels": 3},
            "layers": [
                {"convolution": {"kernel": [5, 3], "convolution": {
                    "window": {"kernel": [1, 1], "stride": 1, "padding": {"top": 0, "left": 0, "bottom": 0, "right": 0}},
                    "activation": "none"}}},
                "global_avg_pool",
            ],
        },
    });
    let small_cnn = SmallCnnSettings {
        size: 8.try_into().unwrap(),
        widths: vec![2.try_into().unwrap(), 3.try_into().unwrap()],
    };
    let encoders = [
        EncoderSpec::Features(features(1)),
        EncoderSpec::Features(features(4)),
        serde_json::from_value(fine_tuned).unwrap(),
        EncoderSpec::SmallCnn(small_cnn),
    ];
    let directory = tempfile::tempdir().unwrap();
    let mut seeds = Vec::new();
    for (encoder, kind) in encoders.into_iter().zip(DecoderKind::ALL) {
        let model = small_model(encoder, kind, 6);
        let state = serde_json::to_value(TrainState::default()).unwrap();
        let path = directory.path().join("seed.safetensors");
        model::save(&path, &model, Vec::new(), state).unwrap();
        seeds.push(fs::read(&path).unwrap());
    }
    seeds
}

fn feature_spec() -> FeatureSpec {
    FeatureSpec {
        backbone: "vgg16".into(),
        layer: "fc2".into(),
        weights: "0123".into(),
        preprocessing: Some(Preprocessing::caffe(224)),
        regions: 1,
        variable_regions: false,
        channels: 5,
        dtype: FeatureDtype::F16,
    }
}

/// The files of a feature store.
pub fn store(data: &[u8]) -> bool {
    /// Rows that are worth writing.
    const MAX_ROW: usize = 1 << 16;
    let [manifest, index, complete, weights, rows] = files(data);
    with_directory(|directory| {
        let directory = directory.join("store");
        for (name, content) in [
            ("store.json", manifest),
            ("index.jsonl", index),
            ("complete.json", complete),
            ("weights", weights),
            ("rows.bin", rows),
        ] {
            written(directory.join(name), content);
        }
        let _ = read_weights_path(&directory);
        let store = valid(FeatureStore::open(&directory));
        if let Some(store) = &store {
            for key in store.keys() {
                let features = store.get(key).unwrap();
                assert!(features.len() <= rows.len(), "no more numbers than bytes");
            }
        }
        if let Some(spec) = valid(FeatureSpec::read(&directory)).flatten() {
            let row = spec.row_len();
            let writer = valid(FeatureWriter::open_or_resume(&directory, spec));
            if let Some(mut writer) = writer.filter(|_| row <= MAX_ROW) {
                valid(writer.append("one more", &vec![0.5; row]));
                let rows = writer.finish().unwrap();
                assert_eq!(FeatureStore::open(&directory).unwrap().rows(), rows);
            }
        }
        store.is_some()
    })
}

fn store_seeds() -> Vec<Vec<u8>> {
    let specs = [
        feature_spec(),
        FeatureSpec {
            regions: 2,
            channels: 3,
            dtype: FeatureDtype::F32,
            preprocessing: Some(Preprocessing::torchvision(224)),
            ..feature_spec()
        },
    ];
    let seed = |spec: FeatureSpec| {
        let directory = tempfile::tempdir().unwrap();
        let row = vec![0.25; spec.row_len()];
        let mut writer = FeatureWriter::open_or_resume(directory.path(), spec).unwrap();
        for key in ["a.jpg", "b \u{1f415}.jpg"] {
            writer.append(key, &row).unwrap();
        }
        writer.finish().unwrap();
        let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
        let [manifest, index, complete, rows] =
            ["store.json", "index.jsonl", "complete.json", "rows.bin"].map(read);
        joined(&[&manifest, &index, &complete, b"/weights/vgg16.h5\n", &rows])
    };
    specs.map(seed).into()
}

/// Two reports of evaluations, compared.
pub fn scores(data: &[u8]) -> bool {
    let reports = files::<2>(data);
    with_directory(|directory| {
        let read = |(name, report): (&str, &[u8])| {
            let path = written(directory.join(name), report).into();
            let evaluation = SavedEvaluation {
                run: None,
                name: name.to_owned(),
                path,
            };
            valid(evaluation.read())
        };
        let reports: Vec<_> = ["a.json", "b.json"]
            .into_iter()
            .zip(reports)
            .filter_map(read)
            .collect();
        let Some(baseline) = reports.first() else {
            return false;
        };
        let comparison = Comparison::new(baseline, &reports);
        let _ = (
            comparison.subjects(),
            comparison.meaning_of_mark(),
            comparison.unpaired(),
        );
        for format in ExportFormat::ALL {
            let _ = comparison.export(format);
        }
        for report in &reports {
            let _ = most_changed(report, baseline, Metric::BLEU_4, 3);
            let _ = report.report.histogram(Metric::BLEU_4, 5.try_into().unwrap());
            let _ = report.report.best_images(Metric::BLEU_4, 3);
            for image in &report.report.captions {
                let _ = Cleaning::default().tokens(&image.caption);
            }
        }
        true
    })
}

fn scores_seeds() -> Vec<Vec<u8>> {
    let report = |run: &str| {
        let path = format!("workbench/checkpoints/{run}/evaluations/dev-best/report.json");
        let mut report: serde_json::Value = serde_json::from_slice(&sample(&path)).unwrap();
        report["captions"].as_array_mut().unwrap().truncate(3);
        serde_json::to_vec(&report).unwrap()
    };
    let [one, other] = ["demo-001", "demo-002"].map(report);
    vec![joined(&[&one, &other]), one]
}

/// METEOR's data files, the paraphrases without compression, and captions to align: a hypothesis, then a reference. Valid if
/// they match.
pub fn meteor(data: &[u8]) -> bool {
    let [
        function_words,
        prefixes,
        synsets,
        irregular_forms,
        paraphrases,
        captions,
    ] = files(data);
    let mut table = GzEncoder::new(Vec::new(), Compression::fast());
    table.write_all(paraphrases).unwrap();
    let captions = String::from_utf8_lossy(captions);
    let (hypothesis, reference) = captions.split_once('\n').unwrap_or((&captions, ""));
    let tokens = |caption: &str| caption.split(' ').map(str::to_owned).collect::<Vec<_>>();
    with_directory(|directory| {
        let directory = directory.join("meteor");
        for (name, content) in [
            ("function/english.words", function_words),
            ("nonbreaking/english.prefixes", prefixes),
            ("synonym/english.synsets", synsets),
            ("synonym/english.exceptions", irregular_forms),
            ("data/paraphrase-en.gz", &table.finish().unwrap()),
        ] {
            written(directory.join(name), content);
        }
        let example = Example {
            hypothesis: &tokens(hypothesis),
            references: &[tokens(reference)],
        };
        let counts = valid(counts(&directory, &[example]));
        let score = counts.map_or(0.0, |counts| counts[0].score());
        assert!((0.0..=1.0).contains(&score));
        score > 0.0
    })
}

fn meteor_seeds() -> Vec<Vec<u8>> {
    let files = [
        "a\nthe\n",
        "# Titles\nmr\nno #NUMERIC_ONLY#\n",
        "dog\n1 2\nhound\n2\nmouse\n3\n",
        "mouse\nmice\n",
        "0.5\nin front of\nbefore\n0.5\na group of\nseveral\n",
        "several dogs sit before the well-dressed mr. x...\na group of hounds sits in front of mice no. 7",
    ];
    vec![joined(&files.map(str::as_bytes))]
}

/// A list of images and a file of features made elsewhere.
pub fn features(data: &[u8]) -> bool {
    let [names, features] = files(data);
    with_directory(|directory| {
        let list = directory.join("names.txt");
        let list = (!names.is_empty()).then(|| written(list, names));
        let file = written(directory.join("features"), features);
        let Some(file) = valid(FeatureFile::open(&file, list.as_deref())) else {
            return false;
        };
        let is_read = |image| {
            valid(file.read(image)).is_some_and(|(shape, values)| {
                assert_eq!(values.len(), shape.regions * shape.channels);
                true
            })
        };
        (0..file.names().len()).all(is_read)
    })
}

fn features_seeds() -> Vec<Vec<u8>> {
    let npy = |shape: &str, numbers: u8| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let header = format!("{header:<117}\n");
        let values = (0..numbers).flat_map(|number| f32::from(number).to_le_bytes());
        let magic = b"\x93NUMPY\x01\x00\x76\x00".iter().copied();
        magic.chain(header.bytes()).chain(values).collect::<Vec<u8>>()
    };
    let mut npz = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["a.npy", "b.npy"] {
        npz.start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        npz.write_all(&npy("(2, 3)", 6)).unwrap();
    }
    let npz = npz.finish().unwrap().into_inner();
    vec![joined(&[b"a\nb\n", &npy("(2, 3)", 6)]), joined(&[b"", &npz])]
}

/// An archive as publishers have them, zip or a gzipped tar.
pub fn archive(data: &[u8]) -> bool {
    struct Silent;
    impl FetchObserver for Silent {
        fn begin(&mut self, _: &str, _: u64, _: Option<u64>) {}
        fn update(&mut self, _: u64) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn notice(&mut self, _: &str) {}
    }
    let kind = match data.starts_with(b"\x1f\x8b") {
        true => ArchiveKind::TarGz,
        false => ArchiveKind::Zip,
    };
    with_directory(|directory| {
        let archive = written(directory.join("archive/0"), data);
        let out = directory.join("unpacked");
        fs::create_dir_all(&out).unwrap();
        let unpacked = valid(fetch::unpack(
            &archive,
            kind,
            &ConfinedPath::from(&out),
            &mut Silent,
        ));
        let names = fs::read_dir(directory.join("archive")).unwrap().count();
        assert_eq!(names, 1, "written outside");
        fs::remove_dir_all(&out).unwrap();
        unpacked.is_some()
    })
}

fn archive_seeds() -> Vec<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.add_directory("data", options).unwrap();
    for name in ["data/captions.txt", "data/images/a.jpg"] {
        zip.start_file(name, options).unwrap();
        zip.write_all(b"image,caption\na.jpg,a dog\n").unwrap();
    }
    let mut seeds = vec![zip.finish().unwrap().into_inner()];
    for shard in shards_seeds() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&shard).unwrap();
        seeds.push(gzip.finish().unwrap());
    }
    seeds
}

/// A packed file. Valid if a small image or features can be captioned with it.
pub fn packed(data: &[u8]) -> bool {
    /// Networks of a millisecond.
    const MAX_INPUTS: usize = 1 << 12;
    with_directory(|directory| {
        let path = written(directory.join("captioner.cutline"), data);
        let Some(file) = valid(PackedFile::open(&path)) else {
            return false;
        };
        let encoder = file.spec().encoder.clone();
        if encoder.input_len() > MAX_INPUTS {
            return true;
        }
        let settings = SearchSettings {
            beam_size: 2,
            max_length: AutoOr::Set(3),
            mbr_weight: file.info().settings.search.mbr_weight,
            ..SearchSettings::default()
        };
        let (Some(search), Some(model)) = (valid(file.search(settings)), valid(file.model(&Cpu::default())))
        else {
            return false;
        };
        let members = CaptionMembers {
            first: CaptionMember::Packed(Box::new(file), model),
            others: Vec::new(),
        };
        let captioner = match &encoder {
            EncoderSpec::Features(spec) if spec.is_made_elsewhere() => valid(members.feature_captioner()),
            _ => valid(members.captioner(&[])),
        };
        let Some(captioner) = captioner else { return false };
        let input = match &encoder {
            EncoderSpec::Features(spec) if spec.is_made_elsewhere() => {
                let (regions, channels) = (spec.regions, spec.channels);
                let shape = FeatureShape { regions, channels };
                captioner
                    .feature_input("image", shape, &vec![0.5; regions * channels])
                    .unwrap()
            }
            _ => captioner
                .preprocessor()
                .apply(&RgbImage::from_pixel(9, 7, Rgb([200, 90, 10]))),
        };
        assert_eq!(captioner.captions(&[input], &search).unwrap().len(), 1);
        true
    })
}

fn packed_seeds() -> Vec<Vec<u8>> {
    let made_elsewhere = FeatureSpec {
        backbone: "clip.npz".into(),
        layer: String::new(),
        preprocessing: None,
        regions: 4,
        ..feature_spec()
    };
    let small_cnn = SmallCnnSettings {
        size: 8.try_into().unwrap(),
        widths: vec![2.try_into().unwrap(), 3.try_into().unwrap()],
    };
    let encoders = [
        EncoderSpec::SmallCnn(small_cnn),
        EncoderSpec::Features(made_elsewhere),
    ];
    let decoders = [DecoderKind::Merge, DecoderKind::SoftAttention];
    let directory = tempfile::tempdir().unwrap();
    let mut seeds = Vec::new();
    for ((encoder, kind), dtype) in encoders
        .into_iter()
        .zip(decoders)
        .zip([PackDtype::F16, PackDtype::F32])
    {
        let run = Root::new(directory.path())
            .create_run(&kind.to_string().parse().unwrap())
            .unwrap();
        let captions = [["a", "dog"].map(str::to_owned), ["a", "cat"].map(str::to_owned)];
        let vocabulary = Vocabulary::build(captions.iter().map(<[String; 2]>::as_slice), 1);
        vocabulary.write(run.vocabulary()).unwrap();
        let images = captions.map(|caption| vec![vocabulary.encode(&caption)]);
        DocumentFrequencies::from_images(images.iter().map(Vec::as_slice))
            .write(run.ngrams())
            .unwrap();
        let model = small_model(encoder, kind, vocabulary.len());
        model::save(run.best(), &model, Vec::new(), serde_json::Value::Null).unwrap();
        let mut record = RunConfig {
            version: "1".into(),
            data: DataRecord {
                name: "pets".into(),
                directory: "datasets/pets".into(),
                hash: "0123".into(),
                weights: None,
            },
            settings: RunSettings::default(),
        };
        record.settings.search.mbr_weight = 0.5;
        record.save(&run.config()).unwrap();
        let run = TrainedRun::open(&run, &run.best(), &Cpu::default()).unwrap();
        let terms = |_: &Path| unreachable!("there are no published weights");
        let packing = Packing::new(run, CheckpointKind::Best, dtype, None, terms).unwrap();
        let path = directory.path().join("seed.cutline");
        packing.write(&path).unwrap();
        seeds.push(fs::read(&path).unwrap());
    }
    seeds
}
