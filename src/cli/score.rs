//! `cutline score`: score captions of any model, from two JSON files.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::iter;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Context;
use super::exit_code::WithHint;
use super::table::Table;
use super::terminal::Paint;
use crate::evaluation::{CorpusScores, RawCaption};
use crate::metrics::{Interval, Metric, Scores};
use crate::text::{Cleaning, Tokenizer};

const IDS_SHOWN: usize = 5;

/// Score captions: BLEU-1 to 4, ROUGE-L and CIDEr-D, with 95 % intervals
///
/// Scores are equal to coco-caption's, which papers print: captions are tokenized as its PTB tokenizer does. Other
/// tokenizers are those of `prepare`; without --clean, captions are only normalized to NFC for these. The intervals come from 1,000 bootstrap
/// resamples of the images with a fixed seed. Scores with the same signature are comparable.
#[derive(Debug, Args)]
#[command(after_long_help = r#"The files:
  references   {"image-1": ["a dog runs", "a brown dog is running"], ...}
  hypotheses   {"image-1": "a dog is running", ...}

Examples:
  cutline score --references refs.json --hypotheses hyps.json
  cutline score --references refs.json --hypotheses hyps.json --json | jq .bleu_4"#)]
pub(super) struct Score {
    /// JSON file of reference captions: a list per id
    #[arg(long, value_name = "FILE")]
    references: PathBuf,
    /// JSON file of captions to score: one per id
    #[arg(long, value_name = "FILE")]
    hypotheses: PathBuf,
    /// How captions are split into tokens: as coco-caption does, at whitespace, at word boundaries, or into characters
    /// [default: ptb; with --clean: words]
    #[arg(long, value_name = "TOKENIZER", value_parser = ["ptb", "words", "icu", "chars"])]
    tokenizer: Option<String>,
    /// Lower-case captions and remove punctuation, symbols and digits, as `prepare` does; not with the PTB tokenizer
    #[arg(long)]
    clean: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Score {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let references: BTreeMap<String, Vec<String>> = read(&self.references)
            .hint(r#"references look like {"image-1": ["a dog runs", "a brown dog"]}"#)?;
        let hypotheses: BTreeMap<String, String> =
            read(&self.hypotheses).hint(r#"hypotheses look like {"image-1": "a dog runs"}"#)?;
        check_ids(&references, &hypotheses)?;
        // Both maps hold the same ids, in the same order.
        let pairs = hypotheses.iter().zip(references.values());
        let captions = pairs.map(|((id, hypothesis), references)| RawCaption {
            image: id,
            caption: hypothesis,
            references: references.iter().map(String::as_str).collect(),
        });
        let report = self.report(&captions.collect::<Vec<_>>())?;
        let text = if self.json {
            serde_json::to_string_pretty(&report)? + "\n"
        } else {
            report.table(context.terminal.stdout.paint)
        };
        context.print(&text)?;
        Ok(())
    }

    fn report(&self, captions: &[RawCaption<'_>]) -> anyhow::Result<ScoreReport> {
        let scores = match self.cleaning()? {
            None => CorpusScores::by_ptb(captions),
            Some(cleaning) => {
                CorpusScores::measure(captions, &cleaning.label(), |caption| cleaning.tokens(caption))
            }
        };
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
        format!("{table}{} images\nsignature: {signature}\n", self.images)
    }
}

/// One row per metric: its name, and the scores by each tokenizer with their 95 % intervals.
pub(super) fn scores_table(columns: &[(&str, &Scores, &Scores<Interval>)]) -> Table {
    let headings = columns
        .iter()
        .flat_map(|(heading, ..)| [*heading, "95 % interval"]);
    let mut table = Table::new(iter::once("metric").chain(headings));
    let metrics = columns
        .first()
        .into_iter()
        .flat_map(|(_, scores, _)| scores.iter());
    for (metric, _) in metrics {
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

fn read<V: DeserializeOwned>(path: &Path) -> anyhow::Result<BTreeMap<String, V>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; check the path", path.display()))?;
    let ById(captions) = serde_json::from_str(&text).with_context(|| {
        format!(
            r#"{} is not captions by id; write {{"id": "caption"}}, and references as {{"id": ["one", "another"]}}"#,
            path.display()
        )
    })?;
    Ok(captions)
}

/// A JSON object with unique keys; serde alone would silently keep the last of two equal keys.
struct ById<V>(BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for ById<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ByIdVisitor(PhantomData))
    }
}

struct ByIdVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for ByIdVisitor<V> {
    type Value = ById<V>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with one entry for each id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ById<V>, A::Error> {
        let mut captions = BTreeMap::new();
        while let Some((id, value)) = map.next_entry::<String, V>()? {
            if captions.contains_key(&id) {
                return Err(A::Error::custom(format_args!("the id `{id}` appears twice")));
            }
            captions.insert(id, value);
        }
        Ok(ById(captions))
    }
}

fn check_ids(
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
        bail!("{}; give both files the same ids", faults.join("; "));
    }
    if hypotheses.is_empty() {
        bail!("both files are empty; there is nothing to score");
    }
    Ok(())
}

fn missing_ids(ids: Vec<&String>, of: usize, problem: &str) -> Option<String> {
    let first: Vec<&str> = ids.iter().take(IDS_SHOWN).map(|id| id.as_str()).collect();
    let more = if ids.len() > IDS_SHOWN { ", ..." } else { "" };
    (!ids.is_empty()).then(|| format!("{} of {of} ids {problem} ({}{more})", ids.len(), first.join(", ")))
}
