//! Draws the built-in dataset and trains a captioner on it, in a directory of its own.
//!
//! ```text
//! cargo run --release --example train_scenes -- /tmp/scenes
//! ```

use cutline::data::synthetic::{self, ScenesSettings};
use cutline::data::{DataSource, PrepareSettings, RawDataset, build_and_save};
use cutline::jobs::{Event, Name, Root};
use cutline::nn::device::Opened;
use cutline::training::RunSettings;
use cutline::training::TrainingRun;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Root::new(std::env::args().nth(1).ok_or("usage: train_scenes DIRECTORY")?);
    let name: Name = "scenes".parse()?;
    let directory = root.dataset_dir(&name);

    let scenes = ScenesSettings {
        images: 1000,
        ..Default::default()
    };
    let images = RawDataset::drawn(synthetic::write(&scenes, &directory, |_| {})?);
    let source = DataSource::new(&directory);
    let settings = PrepareSettings::default();
    let (dataset, _) = build_and_save(&settings, &source, images, &directory, &|_| Ok(()), &|_| {})?;
    println!("{} images", dataset.images.len());

    let mut settings = RunSettings::default();
    settings.training.epochs = 2;
    let run = TrainingRun::start(&directory, settings, || root.create_run(&name))?;
    // Set by a signal handler, for example, this saves a checkpoint and stops.
    let stop = cutline::jobs::StopFlag::new();
    let outcome = run.train(
        &Opened::cpu(),
        &mut |record| {
            if let Event::Evaluation(evaluation) = &record.event {
                println!(
                    "epoch {}: dev loss {:.3}",
                    evaluation.epoch + 1,
                    evaluation.dev_loss
                );
            }
        },
        &stop,
    )?;
    println!("{outcome:?}");
    Ok(())
}
