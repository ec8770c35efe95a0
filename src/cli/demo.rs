//! `cutline demo`: the whole way walked on the built-in data set.

use clap::Args;

use super::{Context, train};
use crate::dataset::scenes::{self, ScenesSettings};
use crate::dataset::{PrepareSettings, Reading, Source, prepare_reading};
use crate::decoder::{DecoderKind, DecoderSettings};
use crate::runs::{Name, TrainingRun};
use crate::training::{BatchBy, EncoderKind, EncoderSettings, RunSettings, Schedule, TrainingSettings};
use crate::vision::photo;

/// Walk the whole way on the built-in data set: draw, train, caption, score
///
/// The photos are drawn by the program from a seed, five captions each; a small CNN and a decoder are trained
/// on them from scratch. Takes at most three minutes on two cores, and two runs print the same numbers.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline demo
  cutline demo --headless > demo.txt")]
pub(super) struct Demo {
    /// Print text only: no photos, whatever the terminal can draw
    #[arg(long)]
    headless: bool,
}

impl Demo {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let data_set = Name::fitting("scenes");
        let directory = context.root.dataset_dir(&data_set);
        std::fs::create_dir_all(&directory)?;
        let photos = scenes::write(
            &ScenesSettings {
                photos: 4000,
                ..Default::default()
            },
            &directory,
            |_| (),
        )?;
        let decode = |path: &std::path::Path| photo::decode(path).map(|_| ()).map_err(|e| e.to_string());
        prepare_reading(
            &PrepareSettings {
                minimum_count: 1,
                ..Default::default()
            },
            &Source::at("scenes"),
            Reading::drawn(photos),
            &directory,
            &decode,
            &|_| (),
        )?;
        let run = TrainingRun::start(&directory, settings(), || {
            context.root.create_new_run(&Name::fitting("demo"))
        })?;
        train::follow(&run, context)
    }
}

/// Settings under which two cores learn the scenes in less than two minutes.
fn settings() -> RunSettings {
    RunSettings {
        encoder: EncoderSettings {
            kind: EncoderKind::SmallCnn,
            ..Default::default()
        },
        decoder: DecoderSettings {
            kind: DecoderKind::Merge,
            hidden: 128,
            embedding: 64,
            dropout: 0.0,
        },
        training: TrainingSettings {
            epochs: 10,
            batch_size: 80,
            batch_by: BatchBy::Photo,
            learning_rate: 1.5e-3,
            schedule: Schedule {
                warmup_steps: 50,
                ..Default::default()
            },
            label_smoothing: 0.0,
            ..Default::default()
        },
        ..Default::default()
    }
}
