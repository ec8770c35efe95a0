//! `cutline train`: from a dataset to a run with checkpoints.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use super::Context;
use super::choices;
use super::event_printer::{EventPrinter, Output};
use super::interrupt::{self, Interrupt, Interrupted};
use crate::config::{self, Assignment};
use crate::data::Split;
use crate::decoders::DecoderKind;
use crate::jobs::{JobState, JobStatus, Name, RunDirectory};
use crate::nn::Backend;
use crate::nn::cpu::slices::among_threads;
use crate::nn::device::{Opened, on_device};
use crate::text::counted;
use crate::training::presets::Preset;
use crate::training::{Changes, Outcome, RunConfig, RunSettings, TrainingRun};

/// What follows from a dataset without features.
pub(super) const SMALL_CNN_FOLLOWS: &str = "the dataset has no features of a published CNN, so a small CNN is trained from \
     scratch with the decoder, which takes many more images to learn from; for features, prepare it again with \
     --backbone and --weights";

/// Train a decoder on a dataset; the run is saved in `checkpoints/RUN`
///
/// Settings are resolved in order: defaults, --preset, --config, then --decoder and --set. Unknown keys are errors.
/// Ctrl-C saves a checkpoint and stops; --resume continues from it with the same losses, on the CPU bit for bit. After a
/// crash it continues from the latest checkpoint. Training survives a lost connection: follow it with
/// `cutline attach RUN`, stop it with `cutline control RUN stop`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline train flickr8k --decoder merge
  cutline train flickr8k --preset show-attend-tell-scst
  cutline train flickr8k --detach
  cutline train flickr8k --run wide --set decoder.hidden_size=512 --set training.learning_rate=5e-4
  cutline train flickr8k --print-settings > settings.toml
  cutline train flickr8k --config settings.toml
  cutline train --resume wide
  cutline train --resume wide --set training.epochs=20")]
pub(super) struct Train {
    /// Name or path of the dataset
    #[arg(value_name = "NAME", required_unless_present_any = ["resume", "print_settings"])]
    dataset: Option<String>,
    /// Name of the run [default: the first free one of NAME-DECODER-001, -002, ...]
    #[arg(long, value_name = "RUN")]
    run: Option<Name>,
    /// Settings to start from; --config, --decoder and --set change them
    #[arg(long, value_name = "PRESET", value_parser = choices::preset())]
    preset: Option<Preset>,
    /// Decoder architecture
    #[arg(long, value_name = "DECODER", value_parser = choices::decoder())]
    decoder: Option<DecoderKind>,
    /// Settings file (TOML); see --print-settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, such as decoder.hidden_size=512; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Assignment>,
    /// Resume a run from its latest checkpoint: the run given here or by --run. --set changes settings, such as
    /// training.epochs=20
    #[arg(
        long,
        value_name = "RUN",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with_all = ["preset", "config", "print_settings"]
    )]
    resume: Option<String>,
    /// Start the run, or resume it if it exists: one line for a batch script that may be started many times
    ///
    /// An existing run keeps the settings that it was started with. If it is complete, nothing happens and the exit code
    /// is 0.
    #[arg(long, requires = "run", conflicts_with_all = ["resume", "print_settings"])]
    resume_or_start: bool,
    /// Train in a background process that survives the terminal; print the run's name and return
    #[arg(long, conflicts_with = "print_settings")]
    detach: bool,
    /// Print the resolved settings as TOML, with a comment on each, and exit
    #[arg(long)]
    print_settings: bool,
}

impl Train {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        if self.print_settings {
            return Ok(context.print(&self.settings()?.to_commented_toml())?);
        }
        // Before the run's directory is made.
        context.device.check()?;
        let run = match (&self.resume, self.existing_run(context)) {
            (Some(named), _) => {
                let run = context.root.find_run(self.resumed(named)?)?;
                let config = RunConfig::load(run.config())?;
                self.check_dataset(&config)?;
                let changes = self.changes(&config.settings)?;
                TrainingRun::resume(run, changes)?
            }
            (None, Some(run)) if JobStatus::read(&run.job()).state == JobState::Complete => {
                context.notice(&format!("{} is complete", run.name()));
                return Ok(context.print(&format!("{}\n", run.name()))?);
            }
            (None, Some(run)) => TrainingRun::resume(run, Changes::default())?,
            (None, None) => self.start(context)?,
        };
        if run.lacks_features() {
            context.notice(SMALL_CNN_FOLLOWS);
        }
        if self.detach {
            // A new run has its settings in config.toml already.
            let sets = match self.resume {
                Some(_) => self.assignments()?,
                None => Vec::new(),
            };
            detach(&run.release(), &sets, context)
        } else {
            finish(run, context)
        }
    }

    /// A resumed run stays on its dataset: another name on the command line is a mistake.
    fn check_dataset(&self, config: &RunConfig) -> anyhow::Result<()> {
        let own = &config.data.name;
        let other = self.dataset.as_deref().filter(|name| {
            let last = Path::new(name).file_name().unwrap_or_default();
            last != own.as_str()
        });
        match other {
            Some(other) => bail!(
                "the run is trained on {own}, not on {other}; leave the dataset out, or start a new run"
            ),
            None => Ok(()),
        }
    }

    /// The run that `--resume-or-start` resumes.
    fn existing_run(&self, context: &Context) -> Option<RunDirectory> {
        let name = self.run.as_ref().filter(|_| self.resume_or_start)?;
        let run = context.root.run_dir(name);
        run.config().is_file().then_some(run)
    }

    /// Creates a run, ready to train.
    pub(super) fn start(&self, context: &Context) -> anyhow::Result<TrainingRun> {
        let settings = self.settings()?;
        let name = self.dataset.as_deref().unwrap_or_default();
        let dataset = context.root.find_dataset(name)?;
        let decoder = settings.decoder.kind;
        Ok(TrainingRun::start(&dataset, settings, || match &self.run {
            Some(name) => context.root.create_run(name),
            None => context.root.create_new_run(&stem(dataset.as_path(), decoder)),
        })?)
    }

    /// The run to resume: `--resume RUN`, or `NAME --run RUN --resume`.
    fn resumed<'a>(&'a self, named: &'a str) -> anyhow::Result<&'a str> {
        match (named, &self.run) {
            ("", Some(run)) => Ok(run.as_str()),
            ("", None) => bail!("--resume needs the name of a run: --resume RUN"),
            (named, None) => Ok(named),
            (named, Some(run)) => bail!("--resume {named} and --run {run} name two runs; remove one of them"),
        }
    }

    /// The changes by `--decoder` and `--set` to a resumed run.
    fn changes(&self, settings: &RunSettings) -> anyhow::Result<Changes> {
        let sets = self.assignments()?;
        let pairs = sets.iter().map(|set| (set.key(), set.text().to_owned()));
        Ok(Changes::of(settings, pairs)?)
    }

    fn settings(&self) -> anyhow::Result<RunSettings> {
        let base = match self.preset {
            None => RunSettings::default(),
            Some(preset) => preset.resolve()?,
        };
        let settings = config::apply(&base, self.config.as_deref(), &self.assignments()?)?;
        settings.check()?;
        Ok(settings)
    }

    /// `--decoder`, then `--set`, which overrides it.
    fn assignments(&self) -> anyhow::Result<Vec<Assignment>> {
        let decoder = self
            .decoder
            .map(|kind| format!("decoder.kind={kind}").parse())
            .transpose()?;
        Ok(decoder.into_iter().chain(self.set.iter().cloned()).collect())
    }
}

/// `flickr8k-merge`
fn stem(dataset: &Path, decoder: DecoderKind) -> Name {
    let name = dataset.file_name().unwrap_or_default().to_string_lossy();
    Name::sanitized(&format!("{name}-{decoder}"))
}

/// Trains in a background process.
fn detach(run: &RunDirectory, sets: &[Assignment], context: &Context) -> anyhow::Result<()> {
    let pid = run.resume_detached(sets)?;
    let (name, root) = (run.name(), context.root_flag());
    context.notice(&format!(
        "Training in process {}. Follow it with: cutline attach {name}{root}",
        pid
    ));
    Ok(context.print(&format!("{name}\n"))?)
}

/// Trains to the end, then prints the run's name for scripts.
fn finish(run: TrainingRun, context: &Context) -> anyhow::Result<()> {
    let name = run.directory().name();
    if follow(run, context)? != Outcome::Interrupted {
        context.notice(&format!("Next: cutline evaluate {name}{}", context.root_flag()));
    }
    Ok(context.print(&format!("{name}\n"))?)
}

/// Trains to the end and shows progress.
pub(super) fn follow(run: TrainingRun, context: &Context) -> anyhow::Result<Outcome> {
    among_threads(|| on_device!(context.open_device()?, |device| follow_on(device, run, context))?)
}

fn follow_on<D: Backend>(device: &Opened<D>, run: TrainingRun, context: &Context) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install()?;
    let name = run.directory().name();
    context.notice(&heading(&run));
    let mut follower = EventPrinter::new(context, Output::Notices);
    let ending = run.train(
        device,
        // Notices go to standard error; a failure to write there must not end training.
        &mut |record| drop(follower.show(record)),
        interrupt.flag(),
    );
    follower.clear();
    let ending = ending?;
    if ending == Outcome::Interrupted {
        context.notice(&format!(
            "Resume with: cutline train --resume {name}{}",
            context.root_flag()
        ));
        if interrupt::is_requeued() {
            return Err(Interrupted.into());
        }
    }
    Ok(ending)
}

fn heading(run: &TrainingRun) -> String {
    let (data, settings) = (run.data(), run.settings());
    let scst = match settings.training.scst.epochs {
        0 => String::new(),
        epochs => format!(" and {epochs} of SCST"),
    };
    let captions = |split| {
        let captions: usize = data.images(split).map(|image| image.captions.len()).sum();
        captions as u64
    };
    format!(
        "Training {} on {}: {} decoder on {}, {}{}; {}, {}; {}.\nCtrl-C saves and stops.\n",
        run.directory().name(),
        run.record().data.name,
        settings.decoder.kind,
        run.features().unwrap_or("a small CNN trained jointly"),
        counted(settings.training.epochs as u64, "epochs"),
        scst,
        counted(captions(Split::Train), "captions"),
        counted(data.vocabulary.words().count() as u64, "words"),
        counted(captions(Split::Dev), "dev captions"),
    )
}
