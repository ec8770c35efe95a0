//! `cutline score`: score captions of any model, from two files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use super::exit_code::WithHint;
use super::interrupt::Interrupted;
use super::optional_metrics::OptionalMetrics;
use super::table::Table;
use super::terminal::{Paint, display_path};
use super::{Context, json, output};
use crate::data::captions_by_name;
use crate::evaluation::{
    CaptionRole, CaptionsFile, CaptionsFileError, CocoResult, CorpusScores, RawCaption, with_ids_of,
};
use crate::metrics::{Interval, Metric, Scores};
use crate::text::{Cleaning, Tokenizer, counted};

const IDS_SHOWN: usize = 5;
/// Longer files are not read.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// Score captions: BLEU-1 to 4, ROUGE-L, CIDEr-D, METEOR and SPICE, with 95 % intervals
///
/// Scores are equal to coco-caption's, which papers print: captions are tokenized as its PTB tokenizer does. Other
/// tokenizers are those of `prepare`; without --clean, captions are only normalized to NFC for these. The intervals come
/// from 1,000 bootstrap resamples of the images with a fixed seed. Scores with the same signature are comparable.
#[derive(Debug, Args)]
#[command(after_long_help = r#"The files:
  references   {"image-1": ["a dog runs", "a brown dog is running"], ...}
               or COCO's annotations: {"annotations": [{"image_id": 7, "caption": "a dog runs"}, ...], ...}
               or one of these for each split: {"val": {...}, "test": {...}}
  hypotheses   {"image-1": "a dog is running", ...}, each caption alone or as a list of one
               or COCO's results: [{"image_id": 7, "caption": "a dog is running"}, ...]
               or these one per line, or any of the above under "results" or "predictions"
  either       lines of an image, a tab and a caption, as `cutline caption` prints them; any captions file that
               `prepare` reads; or a directory of texts, as `cutline caption --write` writes them

Ids that differ are matched as names of images: photos/7.jpg, 7 and COCO_val2014_000000000007.jpg are one.

Examples:
  cutline score --references refs.json --hypotheses hyps.json
  cutline score --references captions_val2014.json --hypotheses results.json --subset
  cutline score --references refs.json --hypotheses hyps.json --meteor-data pycocoevalcap/meteor
  cutline score --references refs.json --hypotheses hyps.json --json | jq .bleu_4"#)]
pub(super) struct Score {
    /// File of reference captions, COCO's annotations, a directory of texts, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    references: PathBuf,
    /// File of captions to score, one per image, COCO's results, a directory of texts, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    hypotheses: PathBuf,
    /// How captions are split into tokens: as coco-caption does, at whitespace, at word boundaries, or into characters
    /// [default: ptb; with --clean: words]
    #[arg(long, value_name = "NAME", value_parser = ["ptb", "words", "icu", "chars"])]
    tokenizer: Option<String>,
    /// Lower-case captions and remove punctuation, symbols and digits, as `prepare` does; not with the PTB tokenizer
    #[arg(long)]
    clean: bool,
    /// Score only the images that have a hypothesis, as coco-caption does with `params['image_id']`
    #[arg(long)]
    subset: bool,
    /// Write the hypotheses to a file in COCO's results format, which coco-caption and COCO's server take
    #[arg(long, value_name = "FILE")]
    write_results: Option<PathBuf>,
    #[command(flatten)]
    optional_metrics: OptionalMetrics,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Score {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        self.write_results.as_deref().map(output::check).transpose()?;
        let is_input = |path: &Path| path == Path::new("-");
        if is_input(&self.references) && is_input(&self.hypotheses) {
            bail!("standard input holds either the references or the hypotheses; give a file for the other");
        }
        let CaptionsFile(mut references) = read(&self.references, CaptionRole::Reference)
            .hint(r#"references look like {"image-1": ["a dog runs", "a brown dog"]}"#)?;
        let hypotheses = read(&self.hypotheses, CaptionRole::Hypothesis)
            .and_then(|file| {
                file.into_hypotheses()
                    .with_context(|| not_captions(&self.hypotheses))
            })
            .hint(r#"hypotheses look like {"image-1": "a dog runs"}"#)?;
        let (hypotheses, matched) = with_ids_of(hypotheses, &references);
        if matched > 0 {
            context.notice(&format!(
                "{} are matched to those of the references as names of images",
                counted(matched as u64, "ids")
            ));
        }
        if self.subset {
            references.retain(|id, _| hypotheses.contains_key(id));
        }
        self.check_ids(&references, &hypotheses)?;
        for notice in notices(&references, &hypotheses) {
            context.notice(&notice);
        }
        // Both maps hold the same ids, in the same order.
        let pairs = hypotheses.iter().zip(references.values());
        let captions = pairs.map(|((id, hypothesis), references)| RawCaption {
            image: id,
            caption: hypothesis,
            references: references.iter().map(String::as_str).collect(),
        });
        let report = self.report(&captions.collect::<Vec<_>>(), context)?;
        let text = if self.json {
            serde_json::to_string_pretty(&report)? + "\n"
        } else {
            report.table(context.terminal.stdout.paint)
        };
        if let Some(path) = &self.write_results {
            let captions = hypotheses
                .iter()
                .map(|(id, caption)| (id.as_str(), caption.as_str()));
            write_results(captions, path)?;
        }
        context.print(&text)?;
        self.optional_metrics.notice_missing(context);
        Ok(())
    }

    /// # Errors
    /// If the files have different ids, or none.
    fn check_ids(
        &self,
        references: &BTreeMap<String, Vec<String>>,
        hypotheses: &BTreeMap<String, String>,
    ) -> anyhow::Result<()> {
        let without_hypothesis = references.keys().filter(|id| !hypotheses.contains_key(*id));
        let without_references = hypotheses
            .keys()
            .filter(|id| references.get(*id).is_none_or(Vec::is_empty));
        let faults: Vec<String> = [
            missing_ids(
                without_hypothesis.collect(),
                references.len(),
                "with references have no hypothesis",
            ),
            missing_ids(
                without_references.collect(),
                hypotheses.len(),
                "with a hypothesis have no references",
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !faults.is_empty() {
            let advice = match self.subset {
                true => {
                    "remove these hypotheses, or give references that have them: --subset only leaves out references"
                }
                false => {
                    "give both files the same ids, or score only the images with a hypothesis (--subset)"
                }
            };
            bail!("{}; {advice}", faults.join("; "));
        }
        if hypotheses.is_empty() {
            bail!("both files are empty; there is nothing to score");
        }
        Ok(())
    }

    fn report(&self, captions: &[RawCaption<'_>], context: &Context) -> anyhow::Result<ScoreReport> {
        let add_metrics = &mut self.optional_metrics.adding(context);
        let scores = match self.cleaning()? {
            None => CorpusScores::by_ptb(captions, add_metrics),
            Some(cleaning) => CorpusScores::measure(
                captions,
                &cleaning.label(),
                |caption| cleaning.tokens(caption),
                add_metrics,
            ),
        };
        let scores = scores.continue_value().ok_or(Interrupted)?;
        Ok(ScoreReport {
            images: captions.len(),
            scores,
        })
    }

    /// How captions are cleaned and split; none for the PTB tokenizer.
    fn cleaning(&self) -> anyhow::Result<Option<Cleaning>> {
        let tokenizer: Tokenizer = match (self.tokenizer.as_deref(), self.clean) {
            (None, false) | (Some("ptb"), false) => return Ok(None),
            (Some("ptb"), true) => bail!(
                "--clean is not a part of coco-caption's tokenizer; remove it, or choose --tokenizer words, icu or chars"
            ),
            (None, true) => Tokenizer::Words,
            (Some(name), _) => name.parse()?,
        };
        Ok(Some(Cleaning {
            lowercase: self.clean,
            remove_punctuation: self.clean,
            remove_symbols: self.clean,
            remove_digits: self.clean,
            tokenizer,
        }))
    }
}

#[derive(Debug, Serialize)]
struct ScoreReport {
    images: usize,
    #[serde(flatten)]
    scores: CorpusScores,
}

impl ScoreReport {
    fn table(&self, paint: Paint) -> String {
        let CorpusScores {
            scores,
            intervals_95,
            signature,
        } = &self.scores;
        let table = scores_table(&[("score", scores, intervals_95)]).render(paint);
        let images = counted(self.images as u64, "images");
        format!("{table}{images}\nsignature: {signature}\n")
    }
}

/// One row per metric: its name, and the scores by each tokenizer with their 95 % intervals.
pub(super) fn scores_table(columns: &[(&str, &Scores, &Scores<Interval>)]) -> Table {
    let headings = columns
        .iter()
        .flat_map(|(heading, ..)| [*heading, "95 % interval"]);
    let mut table = Table::new(iter::once("metric").chain(headings));
    let is_present = |metric: &Metric| columns.iter().any(|(_, scores, _)| scores.get(*metric).is_some());
    for metric in Metric::with_optional().filter(is_present) {
        let cells = columns
            .iter()
            .flat_map(|(_, scores, intervals)| [scores.cell(metric, 4), interval_cell(intervals, metric)]);
        table.row(iter::once(metric.label().to_owned()).chain(cells));
    }
    table
}

fn interval_cell(intervals: &Scores<Interval>, metric: Metric) -> String {
    match intervals.get(metric) {
        Some(Interval { low, high }) => format!("{low:.4} to {high:.4}"),
        None => "-".to_owned(),
    }
}

/// The captions of a file, of standard input, or of the texts in a directory.
fn read(path: &Path, role: CaptionRole) -> anyhow::Result<CaptionsFile> {
    if path.is_dir() {
        return of_any_format(path, role).with_context(|| not_captions(path));
    }
    let bytes = bytes(path).with_context(|| format!("cannot read {}; check the path", path.display()))?;
    let parsed = CaptionsFile::parse(&bytes, role);
    let is_json = bytes.trim_ascii_start().starts_with(b"{") || bytes.trim_ascii_start().starts_with(b"[");
    match &parsed {
        Err(CaptionsFileError::Json(_)) if !is_json => {
            of_any_format(path, role).or_else(|_| parsed.with_context(|| not_captions(path)))
        }
        _ => parsed.with_context(|| not_captions(path)),
    }
}

/// The captions of a source that `prepare` reads. An empty text is an empty caption.
fn of_any_format(path: &Path, role: CaptionRole) -> anyhow::Result<CaptionsFile> {
    let mut captions = captions_by_name(path, role.names())?;
    anyhow::ensure!(
        !captions.is_empty(),
        "{}: no texts in this directory or below",
        display_path(path)
    );
    for captions in captions.values_mut().filter(|captions| captions.is_empty()) {
        captions.push(String::new());
    }
    Ok(CaptionsFile(captions))
}

/// The content of a file, a pipe or, for `-`, standard input, up to a limit: a device may never end.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let input: Box<dyn io::Read> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path)?),
    };
    input.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it has more than 4 GiB",
        )),
        false => Ok(bytes),
    }
}

fn not_captions(path: &Path) -> String {
    format!(
        "{} is not captions by id; see cutline score --help for the forms",
        path.display()
    )
}

/// Writes captions by image key in COCO's results format.
pub(super) fn write_results<'a>(
    captions: impl Iterator<Item = (&'a str, &'a str)>,
    path: &Path,
) -> anyhow::Result<()> {
    let results: Vec<CocoResult<'_>> = captions
        .map(|(key, caption)| CocoResult::new(key, caption))
        .collect();
    output::write(path, json::pretty(&results)?.as_bytes())
}

/// Properties of the hypotheses that explain a low score.
fn notices(references: &BTreeMap<String, Vec<String>>, hypotheses: &BTreeMap<String, String>) -> Vec<String> {
    let is_blank = |caption: &String| caption.trim().is_empty();
    let with_empty_reference = references
        .iter()
        .filter(|(_, captions)| captions.iter().any(is_blank));
    let with_empty_reference = with_empty_reference.map(|(id, _)| id).collect();
    let empty: Vec<&String> = hypotheses
        .iter()
        .filter(|(_, caption)| is_blank(caption))
        .map(|(id, _)| id)
        .collect();
    let single = (hypotheses.len() == 1)
        .then(|| "CIDEr-D of a single image is 0: it weighs words by how few images have them".to_owned());
    missing_ids(
        empty,
        hypotheses.len(),
        "have an empty hypothesis, which scores 0",
    )
    .into_iter()
    .chain(missing_ids(
        with_empty_reference,
        references.len(),
        "have an empty reference, which is scored as one",
    ))
    .chain(single)
    .collect()
}

fn missing_ids(ids: Vec<&String>, of: usize, problem: &str) -> Option<String> {
    let first: Vec<&str> = ids.iter().take(IDS_SHOWN).map(|id| id.as_str()).collect();
    let more = if ids.len() > IDS_SHOWN { ", ..." } else { "" };
    (!ids.is_empty()).then(|| format!("{} of {of} ids {problem} ({}{more})", ids.len(), first.join(", ")))
}
