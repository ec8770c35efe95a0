//! `cutline score`: score captions of any model, from two JSON files.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
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
use crate::metrics::{self, Bootstrap, Example, Interval, Scores, Statistics};
use crate::text::Cleaning;

const IDS_SHOWN: usize = 5;

/// Score captions: BLEU-1 to 4, ROUGE-L and CIDEr-D, with 95 % intervals
///
/// Scores are equal to coco-caption's on the same tokens: captions are split at whitespace and not changed, unless --clean.
/// The intervals come from 1,000 bootstrap resamples of the images with a fixed seed.
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
    /// Lower-case captions and remove punctuation, symbols and digits, as `prepare` does
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
        let report = ScoreReport::of(&self.tokenized(&references, &hypotheses));
        let text = if self.json {
            serde_json::to_string_pretty(&report)? + "\n"
        } else {
            report.table(context.terminal.stdout.paint)
        };
        context.print(&text)?;
        Ok(())
    }

    /// Each hypothesis with its references.
    fn tokenized(
        &self,
        references: &BTreeMap<String, Vec<String>>,
        hypotheses: &BTreeMap<String, String>,
    ) -> Vec<(Vec<String>, Vec<Vec<String>>)> {
        let cleaning = Cleaning::default();
        let tokens = |caption: &String| match self.clean {
            true => cleaning.tokens(caption),
            false => caption.split_whitespace().map(str::to_owned).collect(),
        };
        // Both maps hold the same ids, in the same order.
        let pairs = hypotheses.values().zip(references.values());
        pairs
            .map(|(hypothesis, references)| (tokens(hypothesis), references.iter().map(tokens).collect()))
            .collect()
    }
}

#[derive(Debug, Serialize)]
struct ScoreReport {
    images: usize,
    #[serde(flatten)]
    scores: Scores,
    intervals_95: Scores<Interval>,
}

impl ScoreReport {
    fn of(captions: &[(Vec<String>, Vec<Vec<String>>)]) -> Self {
        let examples: Vec<Example<'_>> = captions
            .iter()
            .map(|(hypothesis, references)| Example {
                hypothesis,
                references,
            })
            .collect();
        let statistics = metrics::statistics(&examples);
        Self {
            images: examples.len(),
            scores: statistics.iter().copied().sum::<Statistics>().scores(),
            intervals_95: Bootstrap::default().intervals(&statistics),
        }
    }

    fn table(&self, paint: Paint) -> String {
        format!(
            "{}{} images\n",
            scores_table(&self.scores, &self.intervals_95).render(paint),
            self.images
        )
    }
}

/// One row per metric: name, score, 95 % interval.
pub(super) fn scores_table(scores: &Scores, intervals: &Scores<Interval>) -> Table {
    let mut table = Table::new(["metric", "score", "95 % interval"]);
    for (metric, Interval { low, high }) in intervals.iter() {
        table.row([
            metric.label().to_owned(),
            scores.cell(metric, 4),
            format!("{low:.4} to {high:.4}"),
        ]);
    }
    table
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
