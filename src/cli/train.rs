//! `cutline train`: from a data set to a run with checkpoints.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use dfdx::prelude::Cpu;
use indicatif::HumanCount;

use super::Context;
use super::interrupt::{self, Interrupt};
use super::progress::{Progress, Task};
use super::terminal::{Role, display_safe};
use crate::config::{self, Assignment};
use crate::dataset::Split;
use crate::decoder::DecoderKind;
use crate::runs::{Name, TrainingRun};
use crate::training::{Ending, Evaluation, RunSettings, Step, TrainingEvent};

/// Train a decoder on a data set; the run is written to `checkpoints/RUN`
///
/// Settings come in layers: the defaults, then --config, then --decoder and --set. A misspelt key is refused.
/// Ctrl-C saves a checkpoint and stops; --resume goes on from it to the same losses, bit for bit.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline train flickr8k --decoder merge
  cutline train flickr8k --run wide --set decoder.hidden=512 --set training.learning_rate=5e-4
  cutline train flickr8k --print-settings > settings.toml
  cutline train flickr8k --config settings.toml
  cutline train flickr8k --run wide --resume")]
pub(super) struct Train {
    /// The data set's name, or the path of its directory
    #[arg(value_name = "NAME")]
    dataset: String,
    /// The run's name; the first free one of NAME-DECODER-001, -002, ... if not given
    #[arg(long, value_name = "RUN")]
    run: Option<Name>,
    /// How the photo meets the LSTM
    #[arg(long, value_name = "merge|inject")]
    decoder: Option<DecoderKind>,
    /// A TOML file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, such as decoder.hidden=512; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Assignment>,
    /// Go on with an interrupted run
    #[arg(long, requires = "run", conflicts_with_all = ["config", "set", "decoder"])]
    resume: bool,
    /// Print the settings as they would be used, as TOML, and train nothing
    #[arg(long)]
    print_settings: bool,
}

impl Train {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        if self.resume {
            let run = context
                .root
                .find_run(self.run.as_ref().map_or("", Name::as_str))?;
            return finish(&TrainingRun::resume(run)?, context);
        }
        if self.print_settings {
            return Ok(context.print(&toml::to_string_pretty(&self.settings()?)?)?);
        }
        finish(&self.start(context)?, context)
    }

    /// A new run, ready to be trained.
    pub(super) fn start(&self, context: &Context) -> anyhow::Result<TrainingRun> {
        let settings = self.settings()?;
        let data_set = context.root.find_dataset(&self.dataset)?;
        let decoder = settings.decoder.kind;
        Ok(TrainingRun::start(&data_set, settings, || match &self.run {
            Some(name) => context.root.create_run(name),
            None => context.root.create_new_run(&stem(&data_set, decoder)),
        })?)
    }

    fn settings(&self) -> anyhow::Result<RunSettings> {
        let settings: RunSettings = config::resolve(self.config.as_deref(), &self.assignments()?)?;
        settings.check()?;
        Ok(settings)
    }

    /// What `--decoder` and `--set` say, the latter last.
    fn assignments(&self) -> anyhow::Result<Vec<Assignment>> {
        let decoder = self
            .decoder
            .map(|kind| format!("decoder.kind={kind}").parse())
            .transpose()?;
        Ok(decoder.into_iter().chain(self.set.iter().cloned()).collect())
    }
}

/// `flickr8k-merge`
fn stem(data_set: &Path, decoder: DecoderKind) -> Name {
    let name = data_set.file_name().unwrap_or_default().to_string_lossy();
    Name::fitting(&format!("{name}-{decoder}"))
}

/// Trains to an end, and prints the run's name for a script to go on with.
fn finish(run: &TrainingRun, context: &Context) -> anyhow::Result<()> {
    follow(run, context)?;
    let name = run.directory().name();
    context.notice(&format!("Next: cutline evaluate {name}{}", context.root_flag()));
    Ok(context.print(&format!("{name}\n"))?)
}

/// Trains to an end, showing how it gets on.
pub(super) fn follow(run: &TrainingRun, context: &Context) -> anyhow::Result<()> {
    let interrupt = Interrupt::install()?;
    let name = run.directory().name();
    context.notice(&heading(run));
    let mut display = Display::new(context);
    let ending = run.train(
        &Cpu::default(),
        &mut |event| display.show(event),
        interrupt.flag(),
    )?;
    display.clear();
    match ending {
        Ending::Complete => context.notice("All epochs are done."),
        Ending::Early => context.notice("Stopped early: the dev score has not got better for a while."),
        Ending::Interrupted => {
            context.notice(&format!(
                "Saved. Go on with: cutline train {} --run {name} --resume{}",
                run.record().data.name,
                context.root_flag()
            ));
            return Err(interrupt::Interrupted.into());
        }
    }
    Ok(())
}

fn heading(run: &TrainingRun) -> String {
    let data = run.data();
    let captions = |split| {
        let captions: usize = data.photos(split).map(|photo| photo.captions.len()).sum();
        HumanCount(captions as u64)
    };
    format!(
        "Training {} on {}: {} captions, {} words; {} dev captions.\nCtrl-C saves and stops.\n",
        run.directory().name(),
        run.record().data.name,
        captions(Split::Train),
        HumanCount(data.vocabulary.words().count() as u64),
        captions(Split::Dev),
    )
}

/// A table with a row for each epoch, and a bar below it for the one that is being trained.
struct Display<'a> {
    context: &'a Context,
    bar: Option<Progress>,
    /// Tokens of the epoch so far, and when it began.
    tokens: usize,
    since: Instant,
}

/// Over the rows of epochs.
const HEADING: &str = "epoch    loss     dev  BLEU-1  BLEU-2  BLEU-3  BLEU-4  ROUGE-L  CIDEr-D";

impl<'a> Display<'a> {
    fn new(context: &'a Context) -> Self {
        let paint = context.terminal.stderr_paint();
        context.notice(&paint.text(Role::Heading, HEADING));
        Self {
            context,
            bar: None,
            tokens: 0,
            since: Instant::now(),
        }
    }

    fn show(&mut self, event: &TrainingEvent) {
        match event {
            TrainingEvent::Step(step) => self.step(step),
            TrainingEvent::Evaluation(evaluation) => self.evaluation(evaluation),
            TrainingEvent::Checkpoint { .. } => {}
        }
    }

    fn step(&mut self, step: &Step) {
        let context = self.context;
        let bar = self.bar.get_or_insert_with(|| {
            context.progress(Task {
                label: format!("epoch {}", step.epoch + 1).into(),
                unit: "batches",
                total: Some(step.batches as u64),
                done: step.batch as u64 - 1,
            })
        });
        self.tokens += step.tokens;
        let speed = self.tokens as f64 / self.since.elapsed().as_secs_f64();
        if step.batch == step.batches {
            bar.note("captioning the dev photos");
        } else {
            bar.note(&format!("loss {:.3}, {speed:.0} tokens/s", step.loss));
        }
        bar.advance(1);
    }

    fn evaluation(&mut self, evaluation: &Evaluation) {
        self.clear();
        let paint = self.context.terminal.stderr_paint();
        let best = if evaluation.best {
            format!("  {}", paint.text(Role::Success, "best"))
        } else {
            String::new()
        };
        self.context.notice(&format!("{}{best}", row(evaluation)));
        if let Some((_, caption)) = evaluation.samples.first() {
            let sample = format!("       {}", display_safe(caption));
            self.context.notice(&paint.text(Role::Quiet, &sample));
        }
    }

    /// Takes the bar away; the next epoch begins here.
    fn clear(&mut self) {
        self.bar = None;
        self.tokens = 0;
        self.since = Instant::now();
    }
}

/// The figures of an epoch under [`HEADING`], as fractions like those of `cutline evaluate`.
fn row(evaluation: &Evaluation) -> String {
    let Evaluation {
        epoch,
        training_loss,
        loss,
        scores,
        ..
    } = evaluation;
    let [one, two, three, four] = scores.bleu;
    format!(
        "{:>5}  {training_loss:>6.3}  {loss:>6.3}  {one:>6.4}  {two:>6.4}  {three:>6.4}  {four:>6.4}  {:>7.4}  {:>7.4}",
        epoch + 1,
        scores.rouge_l,
        scores.cider_d,
    )
}
