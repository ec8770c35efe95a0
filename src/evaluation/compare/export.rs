//! Export of a comparison.
//!
//! CSV and JSON have all figures. Markdown and LaTeX have the scores as in papers: times 100, with one
//! decimal.

use super::{Compared, Comparison};
use crate::metrics::{Interval, Metric, ScoreDifference};
use crate::text::display_safe;
use std::fmt::Write as _;

const TIMES_100: &str = "Scores times 100";

/// The format of an exported comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// A header, and a line for each score of each evaluation.
    Csv,
    /// An object with all figures.
    Json,
    /// A table.
    Markdown,
    /// A `tabular` with booktabs.
    Latex,
}

/// Why a comparison cannot be exported.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum ExportError {
    #[error("cannot write CSV: {0}")]
    Csv(#[from] csv::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl ExportFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Csv, Self::Json, Self::Markdown, Self::Latex];

    /// The extension of its files, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Markdown => "md",
            Self::Latex => "tex",
        }
    }
}

impl Comparison {
    /// The comparison as text.
    ///
    /// # Errors
    /// Those of the CSV and JSON writers; none is known.
    pub fn export(&self, format: ExportFormat) -> Result<String, ExportError> {
        match format {
            ExportFormat::Csv => self.csv(),
            ExportFormat::Json => Ok(serde_json::to_string_pretty(self)? + "\n"),
            ExportFormat::Markdown => Ok(self.markdown()),
            ExportFormat::Latex => Ok(self.latex()),
        }
    }

    fn csv(&self) -> Result<String, ExportError> {
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record([
            "evaluation",
            "run",
            "checkpoint",
            "ensemble",
            "dataset",
            "split",
            "search",
            "images",
            "metric",
            "score",
            "low_95",
            "high_95",
            "baseline",
            "difference",
            "difference_low_95",
            "difference_high_95",
            "p_value",
        ])?;
        let baseline = self.evaluations.first().map(Compared::safe_name);
        for one in &self.evaluations {
            for record in one.records(baseline.as_deref().unwrap_or_default()) {
                out.write_record(record)?;
            }
        }
        let bytes = out
            .into_inner()
            .map_err(|error| csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn markdown(&self) -> String {
        let mut text = format!("| evaluation | {} |\n", labels().join(" | "));
        let _ = writeln!(text, "| --- |{}", " ---: |".repeat(labels().len()));
        for one in &self.evaluations {
            let name = markdown_escaped(&one.safe_name());
            let cells = one.cells("\\*");
            let _ = writeln!(
                text,
                "| {name}{} | {} |",
                one.mark_at_name("†"),
                cells.join(" | ")
            );
        }
        for note in self.notes("*", "†") {
            let _ = writeln!(text, "\n{}", markdown_escaped(&note));
        }
        text
    }

    fn latex(&self) -> String {
        let mut text = format!("% Needs \\usepackage{{booktabs}}. {TIMES_100}.\n");
        let _ = writeln!(text, "\\begin{{tabular}}{{l{}}}", "r".repeat(labels().len()));
        let _ = writeln!(text, "\\toprule\nEvaluation & {} \\\\", labels().join(" & "));
        text.push_str("\\midrule\n");
        for one in &self.evaluations {
            let name = latex_escaped(&one.safe_name());
            let mark = one.mark_at_name("$^{\\dagger}$");
            let _ = writeln!(text, "{name}{mark} & {} \\\\", one.cells("$^{*}$").join(" & "));
        }
        text.push_str("\\bottomrule\n\\end{tabular}\n");
        // Below the table: within it, a long note would widen a column.
        let notes = self.notes("*", "†");
        let notes: Vec<String> = notes.iter().map(|note| latex_escaped(note)).collect();
        let _ = writeln!(
            text,
            "\\par\\smallskip\n{{\\footnotesize {}\\par}}",
            notes.join("\\\\\n")
        );
        text
    }

    /// The notes below a table.
    fn notes(&self, different: &str, unpaired: &str) -> Vec<String> {
        let mut notes = vec![format!("{TIMES_100}.")];
        notes.extend(self.subjects().into_iter().map(|line| format!("{line}.")));
        let meaning = self.meaning_of_mark();
        notes.extend(meaning.map(|meaning| format!("{different} {meaning}.")));
        notes.extend(
            self.unpaired()
                .into_iter()
                .map(|why| format!("{unpaired} {why}.")),
        );
        notes
    }
}

impl Compared {
    /// The scores times 100, with `mark` at significant differences from the baseline.
    fn cells(&self, mark: &str) -> Vec<String> {
        let differences = self.differences();
        let cell = |metric| {
            let difference = differences.as_ref().and_then(|all| all.get(metric));
            let score = self.scores.score(metric);
            let print = |score: f64| format!("{:.1}", score * 100.0);
            let is_marked = |difference: &ScoreDifference| {
                difference.is_significant()
                    && [score, score - difference.observed].map(print) != ["0.0", "0.0"]
            };
            let mark = if difference.is_some_and(is_marked) {
                mark
            } else {
                ""
            };
            print(score) + mark
        };
        Metric::all().map(cell).collect()
    }

    /// `mark` if it was not compared with the baseline.
    fn mark_at_name<'a>(&self, mark: &'a str) -> &'a str {
        match self.against {
            super::Against::Unpaired(_) => mark,
            super::Against::Baseline | super::Against::Difference(_) => "",
        }
    }

    /// A CSV record for each score.
    fn records(&self, baseline: &str) -> Vec<[String; 17]> {
        let ensemble: Vec<String> = self.info.ensemble.iter().map(ToString::to_string).collect();
        let safe = |text: &str| display_safe(text).into_owned();
        let differences = self.differences();
        let record = |(metric, interval): (Metric, &Interval)| {
            let difference = differences.as_ref().and_then(|all| all.get(metric));
            let cell = |value: fn(&ScoreDifference) -> f64| {
                difference.map_or(String::new(), |difference| value(difference).to_string())
            };
            [
                self.safe_name(),
                safe(&self.info.run),
                self.info.checkpoint.to_string(),
                safe(&ensemble.join(" ")),
                safe(&self.info.dataset),
                self.info.split.to_string(),
                self.search.to_string(),
                self.images.to_string(),
                metric.label().to_owned(),
                self.scores.score(metric).to_string(),
                interval.low.to_string(),
                interval.high.to_string(),
                difference.map_or(String::new(), |_| baseline.to_owned()),
                cell(|difference| difference.observed),
                cell(|difference| difference.interval.low),
                cell(|difference| difference.interval.high),
                cell(|difference| difference.p_value),
            ]
        };
        self.intervals_95.iter().map(record).collect()
    }
}

fn labels() -> Vec<&'static str> {
    Metric::all().map(Metric::label).collect()
}

/// Escapes Markdown.
pub(super) fn markdown_escaped(text: &str) -> String {
    const SPECIAL: &str = r"\|*_`[]<>#~&";
    let escape = |c: char| SPECIAL.contains(c).then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escape).collect()
}

/// Escapes LaTeX.
pub(super) fn latex_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '`' | '"' => escaped.push('\''),
            '†' => escaped.push_str("$^{\\dagger}$"),
            _ => escaped.push(character),
        }
    }
    escaped
}
