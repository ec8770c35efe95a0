//! Tests of training on synthetic data: it learns, repeats itself, and resumes.

use super::*;
use crate::config::AutoOr;
use crate::data::{Caption, Image, Split};
use crate::decoders::{DecoderKind, DecoderSettings};
use crate::jobs::{CheckpointSaved, ControlCommand, DevEvaluation, Event, SessionError, Trigger};
use crate::metrics::{Metric, Scores};
use crate::model::{Checkpoint, CheckpointError, EncoderSpec, ImageInputs, Model, ModelSpec};
use crate::nn::device::DeviceError;
use crate::nn::{Backend, random_stream};
use crate::text::Vocabulary;
use crate::vision::features::store::{FeatureDtype, FeatureSpec};
use crate::vision::preprocess::Preprocessing;
use dfdx::prelude::Cpu;
use rand::RngExt;
use std::collections::VecDeque;
use std::path::Path;

const CHANNELS: usize = 6;

/// Images with random features and captions that name them.
struct World {
    vocabulary: Vocabulary,
    train: EncodedSplit,
    dev: DevSplit,
}

impl World {
    fn new(images: usize) -> Self {
        let things = ["dog", "cat", "bird", "fish", "horse", "sheep", "cow", "frog"];
        let doings = ["runs", "sleeps", "eats"];
        let image = |at: usize| {
            let (thing, doing) = (things[at % 8], doings[at / 8 % 3]);
            let tokens = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
            let captions = [
                format!("a {thing} {doing}"),
                format!("there a {thing} {doing} here now"),
            ];
            Image {
                key: format!("{at}"),
                path: "unused".into(),
                split: Split::Train,
                captions: captions
                    .map(|raw| Caption {
                        tokens: tokens(raw.clone()),
                        raw,
                    })
                    .into(),
            }
        };
        let images: Vec<Image> = (0..images).map(image).collect();
        let images: Vec<&Image> = images.iter().collect();
        let tokens = images
            .iter()
            .flat_map(|image| &image.captions)
            .map(|caption| caption.tokens.as_slice());
        let vocabulary = Vocabulary::build(tokens, 1);
        let mut rng = random_stream(1, "features", 0);
        let values: Vec<f32> = (0..images.len() * CHANNELS)
            .map(|_| rng.random::<f32>() * 2.0 - 1.0)
            .collect();
        let inputs = || ImageInputs::in_memory(values.clone(), CHANNELS);
        Self {
            train: EncodedSplit::new(inputs(), &images, &vocabulary, 30),
            dev: DevSplit::new(inputs(), &images, &vocabulary, 30),
            vocabulary,
        }
    }

    fn model<D: Backend>(&self, settings: &RunSettings, device: &D) -> Model<D> {
        let encoder = EncoderSpec::Features(FeatureSpec {
            backbone: "none".into(),
            layer: "none".into(),
            weights: String::new(),
            preprocessing: Some(Preprocessing::symmetric(8)),
            regions: 1,
            variable_regions: false,
            channels: CHANNELS,
            dtype: FeatureDtype::F32,
        });
        let spec = ModelSpec {
            encoder,
            decoder: settings.decoder,
            vocabulary: self.vocabulary.len(),
        };
        let mut first_weights = random_stream(settings.seed, "first weights", 0);
        let mut model = Model::new(device, spec, &mut first_weights).unwrap();
        model.normalize(&self.train.inputs, self.train.images()).unwrap();
        model
    }

    fn trainer<'a>(&'a self, settings: &'a RunSettings, directory: &Path) -> Trainer<'a, Cpu> {
        self.trainer_on(&Cpu::default(), settings, directory)
    }

    /// A trainer resumed from `latest` in `directory`.
    fn resumed<'a>(&'a self, settings: &'a RunSettings, directory: &Path) -> Trainer<'a, Cpu> {
        let mut trainer = self.trainer(settings, directory);
        trainer.resume(directory.join("latest.safetensors")).unwrap();
        trainer
    }

    fn trainer_on<'a, D: Backend>(
        &'a self,
        device: &D,
        settings: &'a RunSettings,
        directory: &Path,
    ) -> Trainer<'a, D> {
        let checkpoints = Checkpoints {
            latest: directory.join("latest.safetensors").into(),
            best: directory.join("best.safetensors").into(),
        };
        let model = self.model(settings, device);
        Trainer::new(
            settings,
            &self.vocabulary,
            &self.train,
            &self.dev,
            checkpoints,
            model,
        )
        .unwrap()
    }
}

fn settings(kind: DecoderKind) -> RunSettings {
    RunSettings {
        seed: 5,
        decoder: DecoderSettings {
            kind,
            hidden_size: 24,
            embedding_size: 16,
            dropout: 0.1,
            ..DecoderSettings::default()
        },
        training: TrainingSettings {
            epochs: 4,
            batch_size: 8,
            learning_rate: 2e-2,
            lr_schedule: LrSchedule {
                warmup_steps: AutoOr::Set(3),
                ..Default::default()
            },
            label_smoothing: 0.0,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Records events, and issues commands at given steps.
#[derive(Default)]
struct Recorder {
    steps: Vec<(u32, u32)>,
    rewards: Vec<f32>,
    evaluations: Vec<DevEvaluation>,
    saved: Vec<CheckpointSaved>,
    messages: Vec<String>,
    /// Commands, each with the number of steps before it.
    commands: VecDeque<(u64, ControlCommand)>,
}

impl Callback for Recorder {
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Step(step) => {
                self.steps.push((step.loss.to_bits(), step.grad_norm.to_bits()));
                self.rewards.extend(step.reward);
            }
            Event::Evaluation(evaluation) => self.evaluations.push(*evaluation),
            Event::Checkpoint(saved) => self.saved.push(saved),
            Event::Message(message) => self.messages.push(message.text),
            _ => {}
        }
    }

    fn poll_command(&mut self, state: &TrainState, _: &RunSettings) -> Option<ControlCommand> {
        let is_due = self.commands.front().is_some_and(|(step, _)| *step <= state.step);
        is_due
            .then(|| self.commands.pop_front())
            .flatten()
            .map(|(_, order)| order)
    }

    fn should_abort(&self) -> bool {
        false
    }

    fn before_checkpoint(&mut self) -> Result<(), SessionError> {
        Ok(())
    }

    fn on_disk_full(&mut self, _: &CheckpointError) -> Retry {
        Retry::Never
    }
}

/// The bits of every step's loss and norm, and the ending.
fn run<D: Backend>(trainer: &mut Trainer<'_, D>, stop_after: Option<u64>) -> (Vec<(u32, u32)>, Outcome) {
    let mut recorder = Recorder::default();
    recorder
        .commands
        .extend(stop_after.map(|step| (step, ControlCommand::Stop)));
    let ending = trainer.run(&mut recorder).unwrap();
    (recorder.steps, ending)
}

#[test]
fn every_decoder_learns_captions() {
    let world = World::new(16);
    for kind in DecoderKind::ALL {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(kind);
        settings.training.epochs = 40;
        settings.training.early_stopping_patience = 0;
        let mut trainer = world.trainer(&settings, directory.path());
        let mut recorder = Recorder::default();
        assert_eq!(trainer.run(&mut recorder).unwrap(), Outcome::Complete);
        let scores = recorder.evaluations.pop().unwrap().scores;
        assert!(scores.score(Metric::BLEU_1) > 0.95, "{kind}: {scores:?}");
        let best = Checkpoint::open(directory.path().join("best.safetensors")).unwrap();
        assert_eq!(best.spec(), trainer.model.spec());
        best.model(&Cpu::default()).unwrap();
    }
}

#[test]
fn message_on_a_tie_says_the_tolerance() {
    let message = |score| {
        Monitor::Metric(Metric::CIDER_D).tie_message(&DevEvaluation {
            epoch: 1,
            step: 9,
            train_loss: 3.5,
            dev_loss: 3.25,
            scores: Scores::from_iter([(Metric::CIDER_D, score)]),
            best: true,
            trigger: Trigger::EpochEnd,
        })
    };
    assert!(message(0.0032).starts_with("the dev CIDEr-D is 0.0032, which counts as 0 as all below 0.01, "));
    assert!(message(0.25).starts_with("the dev CIDEr-D is 0.2500, exactly as in the best epoch so far: "));
}

#[test]
fn losses_repeat_for_a_seed_and_differ_between_seeds() {
    let world = World::new(12);
    let run_with = |seed| {
        let directory = tempfile::tempdir().unwrap();
        let settings = RunSettings {
            seed,
            ..settings(DecoderKind::Merge)
        };
        run(&mut world.trainer(&settings, directory.path()), None).0
    };
    assert_eq!(run_with(5), run_with(5));
    assert_ne!(run_with(5), run_with(6));
}

#[test]
fn resumed_training_repeats_uninterrupted_one() {
    let world = World::new(20);
    let settings = settings(DecoderKind::Inject);
    let whole = tempfile::tempdir().unwrap();
    let (expected, _) = run(&mut world.trainer(&settings, whole.path()), None);
    assert_eq!(expected.len(), 20);
    for stop_after in [1, 5, 7, 19] {
        let directory = tempfile::tempdir().unwrap();
        let (mut steps, ending) = run(&mut world.trainer(&settings, directory.path()), Some(stop_after));
        assert_eq!(ending, Outcome::Interrupted);
        let mut resumed = world.resumed(&settings, directory.path());
        steps.extend(run(&mut resumed, None).0);
        assert_eq!(steps, expected, "stopped after {stop_after}");
        // Weights, moments and position: the same bytes.
        let latest = |directory: &Path| std::fs::read(directory.join("latest.safetensors")).unwrap();
        assert!(latest(directory.path()) == latest(whole.path()));
    }
}

#[test]
fn bits_are_independent_of_the_number_of_threads() {
    let world = World::new(20);
    for kind in [DecoderKind::Merge, DecoderKind::SoftAttention] {
        let mut settings = settings(kind);
        // Large enough that products are divided.
        settings.decoder.hidden_size = 96;
        settings.decoder.attention_size = 64;
        settings.training.batch_size = 64;
        settings.training.epochs = 2;
        settings.training.scst.epochs = 1;
        let run_on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let directory = tempfile::tempdir().unwrap();
            let steps = pool.install(|| run(&mut world.trainer(&settings, directory.path()), None).0);
            (
                steps,
                std::fs::read(directory.path().join("latest.safetensors")).unwrap(),
            )
        };
        let expected = run_on(1);
        for threads in [2, 3, 5] {
            assert!(run_on(threads) == expected, "{kind}, {threads} threads");
        }
    }
}

/// As on a GPU, which lags behind the host.
#[test]
fn events_are_independent_of_steps_in_flight() {
    let world = World::new(20);
    let mut settings = settings(DecoderKind::Merge);
    settings.training.checkpoint_steps = 3;
    let run_with = |steps_in_flight: usize, stop_after: Option<u64>| {
        let directory = tempfile::tempdir().unwrap();
        let mut trainer = world.trainer(&settings, directory.path());
        trainer.steps_in_flight = steps_in_flight;
        let mut recorder = Recorder::default();
        recorder
            .commands
            .extend(stop_after.map(|step| (step, ControlCommand::Stop)));
        trainer.run(&mut recorder).unwrap();
        let latest = std::fs::read(directory.path().join("latest.safetensors")).unwrap();
        (recorder.steps, recorder.evaluations, recorder.saved, latest)
    };
    for stop_after in [None, Some(7)] {
        let one_by_one = run_with(1, stop_after);
        for together in [4, 1000] {
            assert!(
                run_with(together, stop_after) == one_by_one,
                "{together}, {stop_after:?}"
            );
        }
    }
}

/// Starts on one device, continues on another, and returns: the losses are those of one device alone.
fn assert_moves<A: Backend, B: Backend>(one: &A, other: &B, tolerance: f32) {
    let world = World::new(20);
    for kind in [DecoderKind::Merge, DecoderKind::TopDown] {
        let mut settings = settings(kind);
        settings.training.ema_decay = 0.9;
        let whole = tempfile::tempdir().unwrap();
        let (expected, _) = run(&mut world.trainer_on(one, &settings, whole.path()), None);

        let directory = tempfile::tempdir().unwrap();
        let latest = directory.path().join("latest.safetensors");
        let (mut steps, _) = run(&mut world.trainer_on(one, &settings, directory.path()), Some(6));
        let mut there = world.trainer_on(other, &settings, directory.path());
        there.resume(&latest).unwrap();
        steps.extend(run(&mut there, Some(13)).0);
        let mut back = world.trainer_on(one, &settings, directory.path());
        back.resume(&latest).unwrap();
        steps.extend(run(&mut back, None).0);

        assert_eq!(steps.len(), expected.len());
        for (at, ((loss, _), (expected, _))) in steps.iter().zip(&expected).enumerate() {
            let (loss, expected) = (f32::from_bits(*loss), f32::from_bits(*expected));
            assert!(
                (loss - expected).abs() <= tolerance,
                "{kind}, step {at}: {loss} {expected}"
            );
        }
    }
}

#[test]
fn training_moves_between_devices() {
    assert_moves(&Cpu::default(), &Cpu::default(), 0.0);
    #[cfg(feature = "cuda")]
    match crate::nn::device::ChosenDevice::open(crate::nn::device::DeviceChoice::Cuda(0)) {
        Ok(crate::nn::device::ChosenDevice::Cuda(gpu)) => {
            assert_moves(&Cpu::default(), &gpu.device, 1e-2);
            assert_moves(&gpu.device, &Cpu::default(), 1e-2);
        }
        without => eprintln!("left out, for lack of a GPU: {:?}", without.err()),
    }
}

#[test]
fn out_of_memory_error_suggests_half_the_batch_size() {
    let message = |batch_size| {
        let no_room = DeviceError::new("Driver(DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"))");
        TrainingError::from(no_room)
            .with_batch_size(batch_size)
            .to_string()
    };
    assert!(
        message(64).ends_with("--set training.batch_size=32"),
        "{}",
        message(64)
    );
    assert!(
        message(1).contains("a smaller decoder.hidden_size"),
        "{}",
        message(1)
    );
    let gone = TrainingError::device("CUDA_ERROR_ILLEGAL_ADDRESS")
        .with_batch_size(64)
        .to_string();
    assert!(
        gone.starts_with("the device failed (CUDA_ERROR_ILLEGAL_ADDRESS)"),
        "{gone}"
    );
}

fn with_scst(settings: &RunSettings) -> RunSettings {
    let mut settings = settings.clone();
    settings.training.scst = ScstSettings {
        epochs: 3,
        learning_rate: 5e-3,
        reward: RewardSettings {
            bleu_4: 0.5,
            ..RewardSettings::default()
        },
        ..ScstSettings::default()
    };
    settings
}

#[test]
fn scst_resumed_repeats_uninterrupted() {
    let world = World::new(20);
    let mut settings = with_scst(&settings(DecoderKind::TopDown));
    settings.training.ema_decay = 0.9;
    let whole = tempfile::tempdir().unwrap();
    let (expected, _) = run(&mut world.trainer(&settings, whole.path()), None);
    for stop_after in [19, 20, 21, 27] {
        let directory = tempfile::tempdir().unwrap();
        let (mut steps, _) = run(&mut world.trainer(&settings, directory.path()), Some(stop_after));
        let mut resumed = world.resumed(&settings, directory.path());
        steps.extend(run(&mut resumed, None).0);
        assert_eq!(steps, expected, "stopped after {stop_after}");
    }
}

#[test]
fn completed_training_resumes_with_more_scst_epochs() {
    let world = World::new(20);
    let mut settings = with_scst(&settings(DecoderKind::SoftAttention));
    settings.training.lr_schedule.kind = LrScheduleKind::Constant;
    settings.training.early_stopping_patience = 0;
    let whole = tempfile::tempdir().unwrap();
    let (expected, _) = run(&mut world.trainer(&settings, whole.path()), None);
    for rewarded_at_first in [0, 1] {
        let mut shorter = settings.clone();
        shorter.training.scst.epochs = rewarded_at_first;
        let directory = tempfile::tempdir().unwrap();
        let (mut steps, _) = run(&mut world.trainer(&shorter, directory.path()), None);
        assert!(steps.len() < expected.len());
        let mut resumed = world.resumed(&shorter, directory.path());
        let longer = ("training.scst.epochs".to_owned(), "3".to_owned());
        resumed.change(Changes::new([longer]).unwrap()).unwrap();
        steps.extend(run(&mut resumed, None).0);
        assert_eq!(steps, expected, "{rewarded_at_first} epochs at first");
    }
}

#[test]
fn scst_raises_rewards() {
    let world = World::new(16);
    let directory = tempfile::tempdir().unwrap();
    let mut settings = with_scst(&settings(DecoderKind::SoftAttention));
    settings.training.epochs = 6;
    settings.training.scst.epochs = 20;
    settings.training.early_stopping_patience = 0;
    let mut recorder = Recorder::default();
    world
        .trainer(&settings, directory.path())
        .run(&mut recorder)
        .unwrap();
    assert!(
        matches!(recorder.messages.as_slice(), [text] if text.contains("self-critical")),
        "the start of the phase is reported once"
    );
    let steps = recorder.rewards.len() / 20;
    let mean = |rewards: &[f32]| rewards.iter().sum::<f32>() / rewards.len() as f32;
    let first = mean(&recorder.rewards[..steps]);
    let last = mean(&recorder.rewards[19 * steps..]);
    assert!(last > 1.3 * first, "rewards rose from {first} to {last}");
}

#[test]
fn commands_change_no_loss_but_changed_settings_do() {
    let world = World::new(20);
    let settings = settings(DecoderKind::Merge);
    let run_with = |commands: &[(u64, ControlCommand)]| {
        let directory = tempfile::tempdir().unwrap();
        let mut recorder = Recorder {
            commands: commands.iter().cloned().collect(),
            ..Recorder::default()
        };
        world
            .trainer(&settings, directory.path())
            .run(&mut recorder)
            .unwrap();
        recorder
    };
    let alone = run_with(&[]);
    let asked = run_with(&[
        (3, ControlCommand::Checkpoint),
        (7, ControlCommand::Evaluate),
        (7, ControlCommand::Predict),
    ]);
    assert_eq!(asked.steps, alone.steps);
    assert_eq!(asked.evaluations.len(), alone.evaluations.len() + 1);
    assert_eq!(asked.evaluations[1].trigger, Trigger::Manual);
    assert!(!asked.evaluations[1].best);
    assert_eq!(asked.saved.len(), alone.saved.len() + 1);

    let slower = ControlCommand::Set {
        settings: [("lr".into(), "1e-3".into())].into(),
    };
    let changed = run_with(&[(7, slower.clone())]);
    assert_eq!(changed.steps[..8], alone.steps[..8]);
    assert_ne!(changed.steps[9..], alone.steps[9..]);

    // A resumed run keeps the change, even if it was stopped right after it.
    let directory = tempfile::tempdir().unwrap();
    let mut recorder = Recorder {
        commands: VecDeque::from([(7, slower), (7, ControlCommand::Stop)]),
        ..Recorder::default()
    };
    world
        .trainer(&settings, directory.path())
        .run(&mut recorder)
        .unwrap();
    let mut resumed = world.resumed(&settings, directory.path());
    let steps = [recorder.steps, run(&mut resumed, None).0].concat();
    assert_eq!(steps, changed.steps);
}

#[test]
fn checkpoints_are_saved_by_steps() {
    let world = World::new(20);
    let mut settings = settings(DecoderKind::Merge);
    settings.training.checkpoint_steps = 3;
    let directory = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::default();
    world
        .trainer(&settings, directory.path())
        .run(&mut recorder)
        .unwrap();
    let saved = recorder.saved.iter().filter(|saved| saved.name == "latest");
    let saved: Vec<u64> = saved.map(|saved| saved.step).collect();
    assert_eq!(saved, [3, 5, 6, 9, 10, 12, 15, 15, 18, 20]);
}

#[test]
fn non_finite_loss_fails_and_keeps_checkpoint() {
    let world = World::new(12);
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(DecoderKind::Merge);
    run(&mut world.trainer(&settings, directory.path()), Some(2));
    let before = std::fs::read(directory.path().join("latest.safetensors")).unwrap();

    let mut diverging = settings.clone();
    diverging.training.learning_rate = f32::MAX;
    let mut trainer = world.resumed(&diverging, directory.path());
    let error = trainer.run(&mut Recorder::default()).unwrap_err();
    assert!(matches!(error, TrainingError::NotFinite { .. }), "{error}");
    assert!(error.to_string().contains("learning_rate"));
    assert!(std::fs::read(directory.path().join("latest.safetensors")).unwrap() == before);
}

#[test]
fn truncated_or_foreign_checkpoint_is_rejected() {
    let world = World::new(12);
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(DecoderKind::Merge);
    run(&mut world.trainer(&settings, directory.path()), Some(2));
    let latest = directory.path().join("latest.safetensors");
    let bytes = std::fs::read(&latest).unwrap();

    let mut wider = settings.clone();
    wider.decoder.hidden_size += 1;
    let error = world
        .trainer(&wider, directory.path())
        .resume(&latest)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("latest.safetensors") && error.contains("tensor"),
        "{error}"
    );

    for length in [0, 1, 7, 8, 9, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&latest, &bytes[..length]).unwrap();
        let error = Checkpoint::open(&latest).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("latest.safetensors"), "{length} bytes: {error}");
    }
}
