//! `cutline evaluate`: the captions of a checkpoint scored against the references of a split.

use std::fmt::Write as _;
use std::io;
use std::iter;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;

use super::ensemble::EnsembleArgs;
use super::eval_inputs::EvalInputs;
use super::interrupt::{Interrupt, Interrupted};
use super::job::{detach, run_job};
use super::optional_metrics::OptionalMetrics;
use super::progress::Task;
use super::score::{scores_table, write_results};
use super::search::SearchArgs;
use super::terminal::{Paint, Role, Terminal, display_path, display_safe};
use super::tune_search::{self, SearchReport, tune};
use super::{Context, choices, json, output};
use crate::data::Split;
use crate::diagnosis::Diagnosis;
use crate::evaluation::{
    CaptionedImage, EvaluationError, EvaluationSplit, EvaluationSummary, Report, evaluate, training_corpus,
};
use crate::jobs::{
    CheckpointRef, FileError, JobDirectory, JobInfo, JobKind, Name, RunDirectory, TaskProgress,
};
use crate::metrics::{DisplayLevel, Metric, Shuffled};
use crate::nn::Backend;
use crate::nn::device::{Opened, on_device};
use crate::text::counted;
use crate::training::RunConfig;

/// Captions printed below the scores.
const CAPTIONS_SHOWN: usize = 5;
/// References printed below each of them.
const REFERENCES_SHOWN: usize = 2;

/// Score a run on a split: BLEU, ROUGE-L, CIDEr-D, METEOR, SPICE, and diagnostics
///
/// Besides the scores it prints the fraction of images with the most common caption, the number of distinct captions and
/// of captions that are not in the training split, and the scores after shuffling captions among images, which a decoder
/// that ignores the image keeps. BLEU and ROUGE-L are from 0 to 1, CIDEr-D from 0 to 10; papers often
/// multiply them by 100.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline evaluate flickr8k-merge-001
  cutline evaluate flickr8k-merge-001 --split test --beam-size 5
  cutline evaluate flickr8k-merge-001 --beam-size 5 --name beam-5 --detach
  cutline evaluate flickr8k-merge-001 --ensemble flickr8k-inject-001 --ensemble flickr8k-merge-002
  cutline evaluate flickr8k-merge-001 --beam-size 20 --mbr-weight 0.5
  cutline evaluate flickr8k-merge-001 --data coco --split test
  cutline evaluate flickr8k-merge-001 --tune-search
  cutline evaluate flickr8k-merge-001 --out report.json
  cutline evaluate flickr8k-merge-001 --json | jq .bleu_4")]
pub(super) struct Evaluate {
    #[command(flatten)]
    members: EnsembleArgs,
    /// The split to caption
    #[arg(long, value_name = "SPLIT", value_parser = choices::split(), default_value = "dev")]
    split: Split,
    /// Another prepared dataset to caption, by its name or path, with the vocabulary of the run; models of features need
    /// those of the same backbone there [default: the run's own]
    #[arg(long, value_name = "DATASET", conflicts_with = "tune_search")]
    data: Option<String>,
    /// Print JSON: all figures, and every image with its caption and scores
    #[arg(long)]
    json: bool,
    /// Write the JSON to a file too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the captions to a file in COCO's results format, which coco-caption and COCO's server take
    #[arg(long, value_name = "FILE", conflicts_with_all = ["detach", "tune_search"])]
    write_results: Option<PathBuf>,
    /// The evaluation's name; its report is saved in the run as `evaluations/NAME/report.json` [default:
    /// SPLIT-CHECKPOINT, after the dataset of --data and before the runs of --ensemble]
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Evaluate in a background process that survives the terminal
    #[arg(long)]
    detach: bool,
    /// Tune the search settings on the dev split instead: a grid of beam sizes, length penalties and MBR weights and
    /// temperatures. A flag such as --beam-size fixes that setting
    #[arg(long, conflicts_with_all = ["name", "detach", "spice_jar"])]
    tune_search: bool,
    /// Metric to rank search settings by [default: the run's training.monitor]
    #[arg(long, value_parser = tune_search::metric_parser(), requires = "tune_search")]
    metric: Option<Metric>,
    #[command(flatten)]
    optional_metrics: OptionalMetrics,
    #[command(flatten)]
    search: SearchArgs,
}

impl Evaluate {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        // Check the path before the work, not after it.
        for path in [&self.out, &self.write_results].into_iter().flatten() {
            output::check(path)?;
        }
        match self.tune_search {
            true => self.tune_search(context),
            false => self.score(context),
        }
    }

    fn score(&self, context: &Context) -> anyhow::Result<()> {
        let run = context.root.find_run(&self.members.first().run)?;
        let others = self.members.named_others(context)?;
        let job = self.job(&run, &others);
        if self.detach {
            return detach(&job, context);
        }
        let saved = on_device!(context.open_device()?, |device| {
            self.report_as_job(&run, &others, &job, device, context)
        })?;
        let report = match saved {
            Err(error) if is_read_only(&error) => {
                context.notice(&format!(
                    "{} is read-only: the report is not saved there",
                    display_path(run.path())
                ));
                self.report(context)?
            }
            report => report?,
        };
        if let Some(path) = &self.out {
            output::write(path, json::pretty(&report)?.as_bytes())?;
        }
        if let Some(path) = &self.write_results {
            let captions = report
                .captions
                .iter()
                .map(|image| (image.image.as_str(), image.caption.as_str()));
            write_results(captions, path)?;
        }
        let text = match self.json {
            true => json::pretty(&report)?,
            false => format_report(&report, &context.terminal),
        };
        context.print(&text)?;
        self.optional_metrics.notice_missing(context);
        Ok(())
    }

    fn job(&self, run: &RunDirectory, others: &[CheckpointRef]) -> JobDirectory {
        let name = self.name.clone().unwrap_or_else(|| self.default_name(others));
        JobDirectory::new(run.evaluation(&name))
    }

    /// Dataset if it is another, split and checkpoint, such as `dev-best`, and the other members: another ensemble is another evaluation.
    fn default_name(&self, others: &[CheckpointRef]) -> Name {
        let (split, checkpoint) = (self.split, self.members.checkpoint);
        let mut name = match self.data.as_ref().and_then(|data| Path::new(data).file_name()) {
            Some(data) => format!("{}-{split}-{checkpoint}", data.to_string_lossy()),
            None => format!("{split}-{checkpoint}"),
        };
        for (i, other) in others.iter().enumerate() {
            name += if i == 0 { "-with-" } else { "-" };
            name += &other.run;
            if other.checkpoint != checkpoint {
                name += &format!("-{}", other.checkpoint);
            }
        }
        Name::sanitized(&name)
    }

    /// Evaluates as a job of the run, which keeps the report.
    fn report_as_job<D: Backend>(
        &self,
        run: &RunDirectory,
        others: &[CheckpointRef],
        job: &JobDirectory,
        device: &Opened<D>,
        context: &Context,
    ) -> anyhow::Result<Report> {
        let record = RunConfig::load(run.config())?;
        let info = JobInfo {
            kind: JobKind::Evaluate,
            device: device.name.clone(),
            data_hash: self.data.is_none().then_some(record.data.hash),
            dataset: self.data.clone().unwrap_or(record.data.name),
            settings: serde_json::json!({
                "split": self.split,
                "checkpoint": self.members.checkpoint,
                "ensemble": others,
                "search": self.search.apply_to(&record.settings.search)?,
            }),
            step: 0,
        };
        run_job(job, info, context, |session| {
            let on_progress = &mut |progress| {
                session.progress(progress);
                session.poll_command()
            };
            let report = self.report_on(device, context, on_progress)?;
            // The run may come from elsewhere: unlike the user's own paths, a link in it is not followed.
            let path = job.directory().join("report.json");
            let saved = json::pretty(&report)?;
            path.write_atomically(|out| out.write_all(saved.as_bytes()))
                .map_err(FileError::at(&path))?;
            let metrics = Metric::shown(DisplayLevel::Summary);
            session.message(format!(
                "{}; the report is in {}",
                report.summary.scores.line(metrics, 4, ", "),
                display_path(path.as_path())
            ));
            Ok(report)
        })
    }

    /// Evaluates without saving the report.
    pub(super) fn report(&self, context: &Context) -> anyhow::Result<Report> {
        on_device!(context.open_device()?, |device| {
            self.report_on(device, context, &mut |_| ControlFlow::Continue(()))
        })?
    }

    /// Captions the split and scores the captions; `on_progress` may stop it.
    fn report_on<D: Backend>(
        &self,
        device: &Opened<D>,
        context: &Context,
        on_progress: &mut dyn FnMut(TaskProgress) -> ControlFlow<()>,
    ) -> anyhow::Result<Report> {
        let inputs = EvalInputs::open(
            &self.members,
            self.data.as_deref(),
            self.split,
            &device.device,
            context,
        )?;
        let run = &inputs.runs.first;
        let search = run.search(self.search.apply_to(&run.record.settings.search)?)?;
        let images = inputs.images();
        let bar = context.progress(Task::new("captioning", "images", images.len()));
        let mut done = 0;
        let report = evaluate(
            &inputs.members(),
            &run.vocabulary,
            &EvaluationSplit {
                images: &images,
                corpus: training_corpus(inputs.training_dataset(), &run.vocabulary),
            },
            inputs.info.clone(),
            &search,
            &mut |captioned| {
                bar.advance((captioned - done) as u64);
                done = captioned;
                on_progress(TaskProgress {
                    task: "captioning".into(),
                    done: done as u64,
                    total: images.len() as u64,
                    unit: "images".into(),
                })
            },
            &mut self.optional_metrics.adding(context),
        );
        if matches!(report, Err(EvaluationError::Stopped)) {
            drop(bar);
            context.notice(
                "interrupted: an unfinished evaluation is not saved; the same command starts from the beginning",
            );
            return Err(Interrupted.into());
        }
        bar.finish();
        Ok(report?)
    }

    fn tune_search(&self, context: &Context) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.split == Split::Dev,
            "--tune-search chooses settings, so it runs on the dev split only: a split that settings were chosen on no \
             longer gives honest test scores; remove --split"
        );
        let report = on_device!(context.open_device()?, |device| self.tune_on(device, context))??;
        if let Some(path) = &self.out {
            output::write(path, json::pretty(&report)?.as_bytes())?;
        }
        let text = match self.json {
            true => json::pretty(&report)?,
            false => tune_search::format_search_report(&report, context.terminal.stdout.paint),
        };
        context.print(&text)?;
        // After an interruption the results cover only some beam sizes: exit with 130.
        Ok(Interrupt::install()?.check()?)
    }

    fn tune_on<D: Backend>(&self, device: &Opened<D>, context: &Context) -> anyhow::Result<SearchReport> {
        let inputs = EvalInputs::open(&self.members, None, Split::Dev, &device.device, context)?;
        tune(&inputs, &self.search, self.metric, context)
    }
}

/// Whether the run belongs to another user, or is on a read-only file system.
fn is_read_only(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            )
        })
    })
}

/// Scores, statistics, diagnosis and some captions.
fn format_report(report: &Report, terminal: &Terminal) -> String {
    let paint = terminal.stdout.paint;
    let mut text = format_figures(report, terminal);
    for sample in some_captions(&report.captions) {
        let _ = write!(
            text,
            "\n{}\n",
            paint.text(Role::Quiet, &display_safe(&sample.image))
        );
        text.push_str(&caption_lines(sample, REFERENCES_SHOWN, paint));
    }
    text
}

/// Scores, statistics and diagnosis.
pub(super) fn format_figures(report: &Report, terminal: &Terminal) -> String {
    let paint = terminal.stdout.paint;
    let EvaluationSummary {
        scores,
        intervals_95,
        ptb,
        ..
    } = &report.summary;
    let ptb_column = ptb.iter().map(|ptb| ("by PTB", &ptb.scores, &ptb.intervals_95));
    let columns: Vec<_> = iter::once(("score", scores, intervals_95))
        .chain(ptb_column)
        .collect();
    let mut text = scores_table(&columns).render(paint);
    let info = &report.info;
    let _ = writeln!(
        text,
        "{} of {}, {} split; {}; {}\n",
        counted(report.summary.images as u64, "images"),
        display_safe(&info.dataset),
        info.split,
        display_safe(&info.model_label()),
        report.search
    );
    for (label, value) in statistics(report) {
        let _ = writeln!(text, "{label:<19}  {value}");
    }
    if let Some(diagnosis) = &report.diagnosis {
        text.push('\n');
        let diagnosis = format_diagnosis(diagnosis, paint);
        text.push_str(&terminal.wrap_for(terminal.stdout, &diagnosis));
    }
    text
}

/// How varied the captions are, and how much they depend on the image.
fn statistics(report: &Report) -> Vec<(&'static str, String)> {
    let summary = &report.summary;
    let (diversity, kept) = (&summary.diversity, summary.shuffled.kept);
    let of_images = |count: usize| format!("{count} of {}", summary.images);
    let mut statistics = vec![
        (
            "most common caption",
            format!(
                "{} of images: {}",
                percent(diversity.most_common_fraction),
                display_safe(&diversity.most_common_caption)
            ),
        ),
        ("distinct captions", of_images(diversity.distinct_captions)),
        ("novel captions", of_images(diversity.novel_captions)),
        (
            "words used",
            format!(
                "{} of {} in the vocabulary",
                diversity.words_used, diversity.vocabulary_words
            ),
        ),
        ("unknown words", diversity.unknown_words.to_string()),
        (
            "mean length",
            format!(
                "{:.1} words, references {:.1}",
                diversity.mean_length, diversity.mean_reference_length
            ),
        ),
        (
            "shuffled captions",
            Metric::shown(DisplayLevel::Headline)
                .map(|metric| {
                    let kept = match summary.scores.score(metric) >= Shuffled::MIN_ORIGINAL {
                        true => percent(kept.score(metric)),
                        false => "-".to_owned(),
                    };
                    format!("{kept} of {}", metric.label())
                })
                .collect::<Vec<_>>()
                .join(", "),
        ),
    ];
    if let Some(similarity) = summary.evidence.feature_similarity {
        let value = format!("mean cosine {similarity:.3} between images");
        statistics.push(("feature similarity", value));
    }
    if !summary.signature.is_empty() {
        statistics.push(("signature", summary.signature.clone()));
    }
    if let Some(ptb) = &summary.ptb {
        statistics.push(("signature by PTB", ptb.signature.clone()));
    }
    statistics
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn format_diagnosis(diagnosis: &Diagnosis, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.text(Role::Warning, "degenerate output:"));
    for symptom in &diagnosis.symptoms {
        let _ = writeln!(text, "  {symptom}");
    }
    let _ = writeln!(text, "{}", paint.text(Role::Heading, "likely causes:"));
    for cause in &diagnosis.causes {
        let _ = writeln!(text, "  {cause}");
    }
    text
}

/// A few captions at equal distances in the split: the same in every evaluation.
pub(super) fn some_captions(captions: &[CaptionedImage]) -> impl Iterator<Item = &CaptionedImage> {
    let count = CAPTIONS_SHOWN.min(captions.len());
    (0..count).map(move |i| &captions[i * captions.len() / count])
}

/// A caption with some references below it.
pub(super) fn caption_lines(sample: &CaptionedImage, references: usize, paint: Paint) -> String {
    let mut text = format!(
        "  {}\n",
        paint.text(Role::Heading, &display_safe(&sample.caption))
    );
    for reference in sample.references.iter().take(references) {
        let line = format!("  reference: {}", display_safe(reference));
        let _ = writeln!(text, "{}", paint.text(Role::Quiet, &line));
    }
    text
}
