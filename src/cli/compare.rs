//! `cutline compare`: evaluations side by side.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::table::Table;
use super::terminal::Paint;
use super::{Context, json, output};
use crate::evaluation::{Compared, Comparison, ExportFormat, NamedReport};
use crate::metrics::{Metric, ScoreDifference, Scores};

/// Compare evaluations: scores, and the significance of differences
///
/// Each evaluation is compared with the baseline by a paired bootstrap with 1,000 resamples of the images. Differences with
/// p < 0.05 are marked. Evaluations of other images or references than the baseline's are shown but not compared.
///
/// BLEU and ROUGE-L are from 0 to 1, CIDEr-D from 0 to 10; in Markdown and LaTeX all are multiplied by 100, as in papers.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline compare flickr8k-merge-001 flickr8k-inject-001
  cutline compare flickr8k-merge-001 flickr8k-merge-001/beam-5
  cutline compare run-a/test-best run-b/test-best --baseline run-b/test-best
  cutline compare run-a run-b --format latex --out table.tex
  cutline compare run-a report.json --json | jq '.evaluations[1].against.cider_d'")]
pub(super) struct Compare {
    /// Evaluations: the name of a run (its evaluation `dev-best`), RUN/EVALUATION, or the path of a report.json
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<String>,
    /// Evaluation to compare the others with [default: the first]
    #[arg(long, value_name = "REPORT")]
    baseline: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    format: CompareFormat,
    /// Short for --format json
    #[arg(long)]
    json: bool,
    /// Write to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum CompareFormat {
    /// Text table
    #[default]
    Table,
    /// One line per evaluation and metric
    Csv,
    /// All figures
    Json,
    /// Markdown table
    Markdown,
    /// LaTeX table (booktabs)
    Latex,
}

impl Compare {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        self.out.as_deref().map(output::check).transpose()?;
        let comparison = self.comparison(context)?;
        match &self.out {
            Some(path) => output::write(path, self.render(&comparison, Paint::Plain)?.as_bytes()),
            None => Ok(context.print(&self.render(&comparison, context.terminal.stdout.paint)?)?),
        }
    }

    fn comparison(&self, context: &Context) -> anyhow::Result<Comparison> {
        let read = |name: &String| context.root.find_evaluation(name)?.read();
        let mut reports: Vec<NamedReport> = self.reports.iter().map(read).collect::<Result<_, _>>()?;
        let baseline = match &self.baseline {
            None => reports.remove(0),
            Some(name) => {
                let baseline = read(name)?;
                // The baseline may also be one of the reports.
                reports.retain(|report| report.name != baseline.name);
                baseline
            }
        };
        Ok(Comparison::new(&baseline, &reports))
    }

    fn render(&self, comparison: &Comparison, paint: Paint) -> anyhow::Result<String> {
        let format = if self.json {
            CompareFormat::Json
        } else {
            self.format
        };
        Ok(match format {
            CompareFormat::Table => table(comparison, paint),
            CompareFormat::Json => json::pretty(comparison)?,
            CompareFormat::Csv => comparison.export(ExportFormat::Csv)?,
            CompareFormat::Markdown => comparison.export(ExportFormat::Markdown)?,
            CompareFormat::Latex => comparison.export(ExportFormat::Latex)?,
        })
    }
}

/// Scores with intervals and differences, and notes on what was compared.
fn table(comparison: &Comparison, paint: Paint) -> String {
    let mut table = Table::new(["evaluation"].into_iter().chain(Metric::all().map(Metric::label)));
    for evaluation in &comparison.evaluations {
        for (label, cells) in rows(evaluation) {
            table.row([label].into_iter().chain(cells));
        }
    }
    let mut text = table.render(paint);
    for note in notes(comparison) {
        text.push_str(&format!("\n{note}"));
    }
    text.push('\n');
    text
}

/// The rows of an evaluation: scores, intervals, differences from the baseline.
fn rows(evaluation: &Compared) -> Vec<(String, Vec<String>)> {
    let intervals = &evaluation.intervals_95;
    let mut rows = vec![
        (
            evaluation.safe_name(),
            cells(&evaluation.scores, |score| format!("{score:.4} ")),
        ),
        (
            "  95 % from".to_owned(),
            cells(intervals, |interval| format!("{:.4} ", interval.low)),
        ),
        (
            "  95 % to".to_owned(),
            cells(intervals, |interval| format!("{:.4} ", interval.high)),
        ),
    ];
    if let Some(differences) = evaluation.differences() {
        rows.push(("  difference".to_owned(), cells(&differences, format_difference)));
        let p_value = |difference: &ScoreDifference| format!("{:.3} ", difference.p_value);
        rows.push(("  p".to_owned(), cells(&differences, p_value)));
    }
    rows
}

/// A cell for each metric.
fn cells<T>(values: &Scores<T>, cell: impl Fn(&T) -> String) -> Vec<String> {
    let cells = Metric::all().map(|metric| values.get(metric).map_or_else(|| "- ".to_owned(), &cell));
    cells.collect()
}

fn format_difference(difference: &ScoreDifference) -> String {
    let mark = if difference.is_significant() { '*' } else { ' ' };
    format!("{:+.4}{mark}", difference.observed)
}

fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = comparison.subjects();
    notes.extend(comparison.meaning_of_mark().map(|meaning| format!("* {meaning}")));
    notes.extend(comparison.unpaired());
    notes
}
