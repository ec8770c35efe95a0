//! `cutline evaluate`: the captions of a run's checkpoint against the references of a split.

use std::fmt::Write as _;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;

use super::compute::Compute;
use super::ensemble::EnsembleArgs;
use super::eval_inputs::EvalInputs;
use super::interrupt::{Interrupt, Interrupted};
use super::job::{detach, run_job};
use super::progress::Task;
use super::score::scores_table;
use super::search::SearchArgs;
use super::sweep::{self, sweep};
use super::terminal::{Paint, Role, display_path, display_safe};
use super::{Context, choices, json, output};
use crate::data::Split;
use crate::diagnosis::Diagnosis;
use crate::evaluation::{CaptionedImage, EvaluationError, EvaluationSplit, Report, background, evaluate};
use crate::jobs::{CheckpointRef, JobDirectory, JobInfo, JobKind, Name, RunDirectory, TaskProgress};
use crate::metrics::{Metric, Prominence};
use crate::nn::Backend;
use crate::nn::device::Opened;
use crate::training::RunRecord;

/// Captions printed under the figures.
const SAMPLES: usize = 5;
/// References printed under each of them.
const REFERENCES: usize = 2;

/// Score a run on a split: BLEU, ROUGE-L, CIDEr-D, and diagnostics
///
/// Beside the scores it prints what share of images got the commonest caption, how many captions are distinct
/// and how many are not in the training split, and the score when the images are shuffled among the captions:
/// a decoder that ignores the image keeps it. Scores are fractions, as coco-caption prints them; papers give
/// them times 100.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline evaluate flickr8k-merge-001
  cutline evaluate flickr8k-merge-001 --split test --beam-size 5
  cutline evaluate flickr8k-merge-001 --beam-size 5 --name beam-5 --detach
  cutline evaluate flickr8k-merge-001 --ensemble flickr8k-inject-001 --ensemble flickr8k-merge-002
  cutline evaluate flickr8k-merge-001 --tune-search
  cutline evaluate flickr8k-merge-001 --out report.json
  cutline evaluate flickr8k-merge-001 --json | jq .bleu_4")]
pub(super) struct Evaluate {
    #[command(flatten)]
    ensemble: EnsembleArgs,
    /// The split whose images are captioned
    #[arg(long, value_name = "SPLIT", value_parser = choices::split(), default_value = "dev")]
    split: Split,
    /// Print JSON: all figures, and every image with its caption and its own scores
    #[arg(long)]
    json: bool,
    /// Write the same JSON into a file as well
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The evaluation's name: its report is kept in the run, at `evaluations/NAME/report.json`; SPLIT-CHECKPOINT
    /// if not given, and behind it the runs of --ensemble
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Evaluate in a process of its own that no closing terminal reaches
    #[arg(long)]
    detach: bool,
    /// Look for the best search settings instead: beam sizes, length penalties and minimum Bayes risk on the dev split. A flag that
    /// names one of them fixes it
    #[arg(long, conflicts_with_all = ["name", "detach"])]
    tune_search: bool,
    /// What the best settings are the best in; what the run was steered by if not given
    #[arg(long, value_parser = sweep::metric_parser(), requires = "tune_search")]
    metric: Option<Metric>,
    #[command(flatten)]
    search: SearchArgs,
}

impl Evaluate {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        // Before the work, not after it.
        self.out.as_deref().map(output::check_place).transpose()?;
        match self.tune_search {
            true => context.compute(Sweeping(&self)),
            false => self.score(context),
        }
    }

    fn score(&self, context: &Context) -> anyhow::Result<()> {
        let run = context.root.find_run(&self.ensemble.first().run)?;
        let others = self.ensemble.named_others(context)?;
        let job = self.job(&run, &others);
        if self.detach {
            return detach(&job, context);
        }
        let kept = context.compute(Keeping {
            evaluate: self,
            run: &run,
            others: &others,
            job: &job,
        });
        let report = match kept {
            Err(error) if is_read_only(&error) => {
                context.notice(&format!(
                    "{} cannot be written to: the report is not kept there",
                    display_path(run.path())
                ));
                context.compute(Reporting {
                    evaluate: self,
                    watch: &mut |_| ControlFlow::Continue(()),
                })?
            }
            report => report?,
        };
        if let Some(path) = &self.out {
            save(&report, path)?;
        }
        let text = if self.json {
            json::pretty(&report)?
        } else {
            format_report(&report, context.terminal.stdout_paint())
        };
        context.print(&text)?;
        Ok(())
    }

    /// The job of evaluating, by the evaluation's name.
    fn job(&self, run: &RunDirectory, others: &[CheckpointRef]) -> JobDirectory {
        let name = self.name.clone().unwrap_or_else(|| self.usual_name(others));
        JobDirectory::new(run.evaluation(&name))
    }

    /// Split and checkpoint, such as `dev-best`, and who writes along: another ensemble is another evaluation.
    fn usual_name(&self, others: &[CheckpointRef]) -> Name {
        let (split, own) = (self.split, self.ensemble.checkpoint);
        let mut name = format!("{split}-{own}");
        for (at, other) in others.iter().enumerate() {
            name += if at == 0 { "-with-" } else { "-" };
            name += &other.run;
            if other.checkpoint != own {
                name += &format!("-{}", other.checkpoint);
            }
        }
        Name::sanitized(&name)
    }
}

/// Evaluating as a job of the run, which keeps the report.
struct Keeping<'a> {
    evaluate: &'a Evaluate,
    run: &'a RunDirectory,
    others: &'a [CheckpointRef],
    job: &'a JobDirectory,
}

impl Compute for Keeping<'_> {
    type Output = Report;

    fn compute<D: Backend>(self, on: &Opened<D>, context: &Context) -> anyhow::Result<Report> {
        let Self {
            evaluate,
            run,
            others,
            job,
        } = self;
        let record = RunRecord::load(&run.config())?;
        let info = JobInfo {
            kind: JobKind::Evaluate,
            device: on.name.clone(),
            data_set: record.data.name,
            data_hash: Some(record.data.hash),
            settings: serde_json::json!({
                "split": evaluate.split,
                "checkpoint": evaluate.ensemble.checkpoint,
                "ensemble": others,
                "search": evaluate.search.over(&record.settings.search)?,
            }),
            step: 0,
        };
        run_job(job, info, |session| {
            let reporting = Reporting {
                evaluate,
                watch: &mut |progress| {
                    session.progress(progress);
                    session.poll_command()
                },
            };
            let report = reporting.compute(on, context)?;
            let path = job.path().join("report.json");
            save(&report, &path)?;
            let metrics = Metric::shown(Prominence::Summary);
            session.message(format!(
                "{}; the report is in {}",
                report.figures.scores.line(metrics, 4, ", "),
                display_path(&path)
            ));
            Ok(report)
        })
    }
}

/// Captioning the split and judging the captions.
pub(super) struct Reporting<'a> {
    pub(super) evaluate: &'a Evaluate,
    /// Told how far that is; may break off.
    pub(super) watch: &'a mut dyn FnMut(TaskProgress) -> ControlFlow<()>,
}

impl Compute for Reporting<'_> {
    type Output = Report;

    fn compute<D: Backend>(self, on: &Opened<D>, context: &Context) -> anyhow::Result<Report> {
        let Self {
            evaluate: command,
            watch,
        } = self;
        let inputs = EvalInputs::open(&command.ensemble, command.split, &on.device, context)?;
        let run = &inputs.runs.first;
        let search = run.search(command.search.over(&run.record.settings.search)?)?;
        let images = inputs.images();
        let progress = context.progress(Task {
            label: "captioning".into(),
            unit: "images",
            total: Some(images.len() as u64),
            done: 0,
        });
        let mut done = 0;
        let report = evaluate(
            &inputs.members(),
            &run.vocabulary,
            &EvaluationSplit {
                images: &images,
                background: background(&inputs.data_set, &run.vocabulary),
            },
            inputs.subject.clone(),
            &search,
            &mut |captioned| {
                progress.advance((captioned - done) as u64);
                done = captioned;
                watch(TaskProgress {
                    task: "captioning".into(),
                    done: done as u64,
                    total: images.len() as u64,
                    unit: "images".into(),
                })
            },
        );
        if matches!(report, Err(EvaluationError::Stopped)) {
            drop(progress);
            context.notice(
                "interrupted: captions are kept with their scores only, so the same command starts over",
            );
            return Err(Interrupted.into());
        }
        progress.finish();
        Ok(report?)
    }
}

/// Trying search settings, and printing the best.
struct Sweeping<'a>(&'a Evaluate);

impl Compute for Sweeping<'_> {
    type Output = ();

    fn compute<D: Backend>(self, on: &Opened<D>, context: &Context) -> anyhow::Result<()> {
        let Self(command) = self;
        anyhow::ensure!(
            command.split == Split::Dev,
            "--tune-search chooses settings, and only the dev split may be chosen on: figures of the others are to be of images \
             that nothing was chosen on; leave --split away"
        );
        let inputs = EvalInputs::open(&command.ensemble, Split::Dev, &on.device, context)?;
        let swept = sweep(&inputs, &command.search, command.metric, context)?;
        if let Some(path) = &command.out {
            output::write(path, json::pretty(&swept)?.as_bytes())?;
        }
        let text = match command.json {
            true => json::pretty(&swept)?,
            false => sweep::format_search_report(&swept, context.terminal.stdout_paint()),
        };
        context.print(&text)?;
        // What is printed is of some beams only.
        Ok(Interrupt::install()?.check()?)
    }
}

/// Whether the run belongs to somebody else, or lies on a disk that cannot be written to.
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

fn save(report: &Report, path: &Path) -> anyhow::Result<()> {
    output::write(path, json::pretty(report)?.as_bytes())
}

/// The report for a reader: scores, signs, diagnosis, samples.
fn format_report(report: &Report, paint: Paint) -> String {
    let mut text = format_figures(report, paint);
    for sample in samples(&report.captions) {
        let _ = write!(
            text,
            "\n{}\n",
            paint.text(Role::Quiet, &display_safe(&sample.image))
        );
        text.push_str(&sample_lines(sample, REFERENCES, paint));
    }
    text
}

/// Scores, diagnostics and diagnosis.
pub(super) fn format_figures(report: &Report, paint: Paint) -> String {
    let mut text = scores_table(&report.figures.scores, &report.figures.intervals_95).render(paint);
    let subject = &report.subject;
    let _ = writeln!(
        text,
        "{} images of {}, {} split; {}; {}\n",
        report.figures.images,
        display_safe(&subject.data_set),
        subject.split,
        display_safe(&subject.model_label()),
        report.search
    );
    for (label, value) in diagnostics(report) {
        let _ = writeln!(text, "{label:<18}  {value}");
    }
    if let Some(diagnosis) = &report.diagnosis {
        text.push('\n');
        text.push_str(&describe_diagnosis(diagnosis, paint));
    }
    text
}

fn diagnostics(report: &Report) -> Vec<(&'static str, String)> {
    let figures = &report.figures;
    let (diversity, kept) = (&figures.diversity, figures.shuffled.kept);
    let of_images = |count: usize| format!("{count} of {}", figures.images);
    let mut rows = vec![
        (
            "commonest caption",
            format!(
                "{} of images: {}",
                percent(diversity.commonest_share),
                display_safe(&diversity.commonest_caption)
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
            "shuffled keeps",
            Metric::shown(Prominence::Headline)
                .map(|metric| format!("{} of {}", percent(kept.score(metric)), metric.label()))
                .collect::<Vec<_>>()
                .join(", "),
        ),
    ];
    if let Some(similarity) = figures.evidence.feature_similarity {
        let value = format!("mean cosine {similarity:.3} between images");
        rows.push(("features", value));
    }
    rows
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn describe_diagnosis(diagnosis: &Diagnosis, paint: Paint) -> String {
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

/// A few captions from all over the split, always the same.
pub(super) fn samples(captions: &[CaptionedImage]) -> impl Iterator<Item = &CaptionedImage> {
    let count = SAMPLES.min(captions.len());
    (0..count).map(move |number| &captions[number * captions.len() / count])
}

/// A caption and some of its references under it.
pub(super) fn sample_lines(sample: &CaptionedImage, references: usize, paint: Paint) -> String {
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
