//! An image, and a run of random weights to caption it with.

use crate::features::network::layer;
use crate::features::random_weights;
use crate::support::Failure;
use cutline::config::AutoOr;
use cutline::decoders::{DecoderKind, DecoderSettings};
use cutline::jobs::{Root, RunDirectory};
use cutline::model::{EncoderSpec, Model, ModelSpec, save};
use cutline::nn::random_stream;
use cutline::search::SearchSettings;
use cutline::text::Vocabulary;
use cutline::training::{DataRecord, RunConfig, RunSettings};
use cutline::vision::backbones::{BackboneKind, FeatureKind};
use cutline::vision::features::extractor::FeatureExtractor;
use cutline::vision::features::store::{FeatureDtype, FeatureSpec};
use cutline::vision::weights::WeightFile;
use dfdx::prelude::Cpu;
use image::{ImageFormat, Rgb, RgbImage};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) const BACKBONE: BackboneKind = BackboneKind::MobileNetV2;
pub(crate) const HIDDEN: usize = 512;
/// With the special tokens.
pub(crate) const VOCABULARY: usize = 2533;
const SPECIAL_TOKENS: usize = 4;
/// Of every caption.
pub(crate) const WORDS: usize = 20;
pub(crate) const BEAM: usize = 3;

const RUN: &str = "bench-001";
/// As Flickr8k's images are.
const IMAGE: (u32, u32) = (500, 375);

/// A working directory with a run of random weights and an image.
pub(crate) struct BenchRun {
    directory: TempDir,
    run: RunDirectory,
    pub(crate) weights: PathBuf,
}

impl BenchRun {
    pub(crate) fn new() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let run = Root::new(directory.path()).create_run(&RUN.parse()?)?;
        let weights = random_weights(BACKBONE, &layer(BACKBONE)?)?;
        let bench = Self {
            directory,
            run,
            weights,
        };
        image().save_with_format(bench.image(), ImageFormat::Jpeg)?;
        bench.write_run()?;
        Ok(bench)
    }

    /// What `CUTLINE_ROOT` names.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn run(&self) -> &RunDirectory {
        &self.run
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.root().join("image.jpg")
    }

    fn write_run(&self) -> Result<(), Failure> {
        let spec = ModelSpec {
            encoder: EncoderSpec::Features(self.features()?),
            decoder: DecoderSettings {
                kind: DecoderKind::Merge,
                hidden_size: HIDDEN,
                embedding_size: HIDDEN,
                ..DecoderSettings::default()
            },
            vocabulary: VOCABULARY,
        };
        let model = Model::new(&Cpu::default(), spec, &mut random_stream(1, "bench", 0))?;
        save(self.run.best(), &model, Vec::new(), serde_json::Value::Null)?;
        vocabulary().write(self.run.vocabulary())?;
        Ok(self.record().save(&self.run.config())?)
    }

    fn features(&self) -> Result<FeatureSpec, Failure> {
        let (file, layer) = (WeightFile::open(&self.weights)?, layer(BACKBONE)?);
        let form = FeatureKind::Pooled;
        let encoder = FeatureExtractor::load(BACKBONE, &file, Some(&layer), form, &Cpu::default())?;
        Ok(encoder.spec(FeatureDtype::F16))
    }

    fn record(&self) -> RunConfig {
        RunConfig {
            version: env!("CARGO_PKG_VERSION").into(),
            data: DataRecord {
                name: "bench".into(),
                directory: self.root().join("datasets/bench"),
                hash: String::new(),
                weights: Some(self.weights.clone()),
            },
            settings: RunSettings {
                search: search(),
                ..RunSettings::default()
            },
        }
    }
}

/// Captions of [`WORDS`] words, neither fewer nor more.
pub(crate) fn search() -> SearchSettings {
    SearchSettings {
        beam_size: BEAM,
        min_length: WORDS,
        max_length: AutoOr::Set(WORDS),
        ..SearchSettings::default()
    }
}

fn vocabulary() -> Vocabulary {
    let words: Vec<String> = (SPECIAL_TOKENS..VOCABULARY)
        .map(|word| format!("word{word}"))
        .collect();
    Vocabulary::build([words.as_slice()], 1)
}

/// A red sun over a wavy sea: smooth parts and edges, as images have them.
fn image() -> RgbImage {
    let (width, height) = IMAGE;
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
        let sun = (x - 0.7).hypot(y - 0.25) < 0.12;
        let wave = 0.6 + 0.02 * (40.0 * x).sin();
        let part = |share: f32| (255.0 * share.clamp(0.0, 1.0)) as u8;
        Rgb(match (sun, y > wave) {
            (true, _) => [230, 60, 40],
            (_, true) => [
                20,
                part(0.3 + 0.2 * (90.0 * y + 9.0 * x).sin()),
                part(0.8 - 0.4 * y),
            ],
            (_, false) => [part(0.5 * y), part(0.4 + 0.5 * y), part(0.95 - 0.3 * x)],
        })
    })
}
