//! `cutline train`: from a data set to a run with checkpoints.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use dfdx::prelude::Cpu;

use super::Context;
use super::interrupt::{self, Interrupt};
use super::progress::{Progress, Task};
use super::terminal::display_safe;
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
            return follow(&TrainingRun::resume(run)?, context);
        }
        let settings: RunSettings = config::resolve(self.config.as_deref(), &self.assignments()?)?;
        settings.check()?;
        if self.print_settings {
            return Ok(context.print(&toml::to_string_pretty(&settings)?)?);
        }
        let data_set = context.root.find_dataset(&self.dataset)?;
        let decoder = settings.decoder.kind;
        let run = TrainingRun::start(&data_set, settings, || match &self.run {
            Some(name) => context.root.create_run(name),
            None => context.root.create_new_run(&stem(&data_set, decoder)),
        })?;
        follow(&run, context)
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
    display.finish();
    match ending {
        Ending::Complete => context.notice("All epochs are done."),
        Ending::Early => context.notice("Stopped early: the dev score has not got better for a while."),
        Ending::Interrupted => {
            context.notice(&format!(
                "Saved. Go on with: cutline train {} --run {name} --resume",
                run.record().data.name
            ));
            return Err(interrupt::Interrupted.into());
        }
    }
    context.notice(&format!("Next: cutline evaluate {name}"));
    Ok(context.print(&format!("{name}\n"))?)
}

fn heading(run: &TrainingRun) -> String {
    let data = run.data();
    let captions = |split| {
        data.photos(split)
            .map(|photo| photo.captions.len())
            .sum::<usize>()
    };
    format!(
        "Training {} on {}: {} captions, {} words, {} dev captions. Ctrl-C saves and stops.",
        run.directory().name(),
        run.record().data.name,
        captions(Split::Train),
        data.vocabulary.words().count(),
        captions(Split::Dev),
    )
}

/// A progress bar for each epoch, and a line when it is over.
struct Display<'a> {
    context: &'a Context,
    bar: Option<Progress>,
    /// Tokens of the epoch so far, and when it began.
    tokens: usize,
    since: Instant,
}

impl<'a> Display<'a> {
    fn new(context: &'a Context) -> Self {
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
            self.since = Instant::now();
            self.tokens = 0;
            context.progress(Task {
                label: format!("epoch {}", step.epoch + 1).into(),
                unit: "batches",
                total: Some(step.batches as u64),
                done: step.batch as u64 - 1,
            })
        });
        self.tokens += step.tokens;
        let speed = self.tokens as f64 / self.since.elapsed().as_secs_f64();
        bar.note(&format!(
            "loss {:.3}, rate {:.1e}, {speed:.0} tokens/s",
            step.loss, step.learning_rate
        ));
        bar.advance(1);
    }

    fn evaluation(&mut self, evaluation: &Evaluation) {
        self.finish();
        let Evaluation {
            epoch,
            training_loss,
            loss,
            scores,
            best,
            samples,
            ..
        } = evaluation;
        let [one, two, three, four] = scores.bleu.map(|bleu| bleu * 100.0);
        let star = if *best { "  best so far" } else { "" };
        self.context.notice(&format!(
            "epoch {:>2}: loss {training_loss:.3}, dev {loss:.3} | BLEU-1..4 {one:.1} {two:.1} {three:.1} {four:.1}, ROUGE-L {:.1}, CIDEr-D {:.1}{star}",
            epoch + 1,
            scores.rouge_l * 100.0,
            scores.cider_d * 100.0,
        ));
        if let Some((_, caption)) = samples.first() {
            self.context
                .notice(&format!("          {}", display_safe(caption)));
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}
