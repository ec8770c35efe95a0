//! The report of `prepare` as text; `report.json` has all of it.

use std::fmt::Write as _;

use indicatif::HumanCount;

use crate::cli::table::Table;
use crate::cli::terminal::{Paint, Role, Terminal, display_safe};
use crate::data::{PrepareReport, Problem, ProblemKind, Split, SplitStatistics, SplitsFrom};
use crate::search::SearchSettings;
use crate::text::counted;
use crate::training::RunSettings;

/// Problems shown per kind.
const PROBLEMS_SHOWN: usize = 3;
/// Characters shown of a problem.
const PROBLEM_LENGTH: usize = 140;
const WORDS_SHOWN: usize = 12;

pub(super) fn render(name: &str, report: &PrepareReport, terminal: &Terminal) -> String {
    let paint = terminal.stdout.paint;
    let wrapped = |text: &str| terminal.wrap_for(terminal.stdout, text).into_owned();
    let mut text = format!("{}\n\n", wrapped(&headline(name, report)));
    text.push_str(&splits(report).render(paint));
    text.push('\n');
    text.push_str(&wrapped(&words(report)));
    if !report.problems.is_empty() {
        let _ = writeln!(text, "\n{}", paint.text(Role::Heading, "problems"));
        for (kind, problems) in report.problems.iter() {
            text.push_str(&wrapped(&problems_of(kind, problems, paint)));
        }
    }
    text
}

fn headline(name: &str, report: &PrepareReport) -> String {
    let splits = match report.splits_from {
        SplitsFrom::Source => "the source's splits",
        SplitsFrom::Drawn => "random splits",
    };
    let mut line = format!("{name}: read as {}, with {splits}", report.format);
    if !report.also_found.is_empty() {
        let others: Vec<_> = report.also_found.iter().map(ToString::to_string).collect();
        let _ = write!(line, " (there is also {}: --format chooses)", others.join(", "));
    }
    line
}

fn splits(report: &PrepareReport) -> Table {
    let mut table = Table::new(["split", "images", "captions", "unknown words"]);
    for split in Split::ALL {
        let SplitStatistics {
            images,
            captions,
            words,
        } = report.splits.get(&split).copied().unwrap_or_default();
        let unknown = match words.tokens {
            0 => "-".to_owned(),
            _ => format!("{:.2} %", words.share() * 100.0),
        };
        table.row([split.to_string(), count(images), count(captions), unknown]);
    }
    table
}

fn words(report: &PrepareReport) -> String {
    let lengths = &report.caption_lengths;
    let frequent: Vec<_> = report
        .frequent_words
        .iter()
        .take(WORDS_SHOWN)
        .map(|(word, _)| display_safe(word))
        .collect();
    let mut text = format!(
        "vocabulary     {} words; most frequent: {}\n\
         caption length mean {:.1}, median {}, 95 % up to {}, longest {} tokens\n",
        count(report.vocabulary),
        frequent.join(" "),
        lengths.mean(),
        lengths.quantile(0.5),
        lengths.quantile(0.95),
        lengths.longest(),
    );
    let longer: usize = lengths
        .iter()
        .filter(|&(length, _)| length > SearchSettings::DEFAULT_MAX_LENGTH)
        .map(|(_, captions)| captions)
        .sum();
    let mut fitted = RunSettings::default();
    fitted.fit_lengths(lengths);
    if fitted.search.max_length() > SearchSettings::DEFAULT_MAX_LENGTH {
        let _ = writeln!(
            text,
            "{} {} more than {} words: runs on this dataset write up to {} (search.max_length)",
            counted(longer as u64, "captions"),
            if longer == 1 { "has" } else { "have" },
            SearchSettings::DEFAULT_MAX_LENGTH,
            fitted.search.max_length(),
        );
    }
    text
}

fn problems_of(kind: ProblemKind, problems: &[Problem], paint: Paint) -> String {
    let heading = kind.counted(problems.len());
    let mut text = format!("  {}\n", paint.text(Role::Warning, &heading));
    for problem in problems.iter().take(PROBLEMS_SHOWN) {
        let _ = writeln!(text, "    {}", shortened(&problem.to_string()));
    }
    if problems.len() > PROBLEMS_SHOWN {
        let more = format!("    and {} more", count(problems.len() - PROBLEMS_SHOWN));
        let _ = writeln!(text, "{}", paint.text(Role::Quiet, &more));
    }
    text
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(PROBLEM_LENGTH) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

fn count(number: usize) -> String {
    HumanCount(number as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_cuts_between_characters() {
        let line = "é".repeat(PROBLEM_LENGTH);
        assert_eq!(shortened(&line), line);
        assert_eq!(shortened(&format!("{line}é")), format!("{line}..."));
    }
}
