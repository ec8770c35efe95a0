//! `cutline verify`: the scores that a packed file states, confirmed.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;

use super::super::optional_metrics::OptionalMetrics;
use super::super::table::Table;
use super::super::terminal::{Paint, Role, display_path, display_safe};
use super::super::{Context, choices, json};
use super::measured;
use crate::data::{Dataset, Split};
use crate::pack::{Confirmation, PackedFile, StatedScores};

/// Confirm the scores that a packed file states: caption the split again, on the CPU
///
/// Every image of the split is decoded and captioned with nothing but the file, and the captions are scored as `evaluate`
/// does. Captions and scores must agree in every digit; else the exit code is 1. Scores of an evaluation on a GPU may differ
/// in the last digits.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline verify captioner.cutline --data flickr8k
  cutline verify captioner.cutline --data flickr8k --split test --json")]
pub(in crate::cli) struct Verify {
    /// The packed file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The prepared dataset's name, or the path of its directory
    #[arg(long, value_name = "NAME")]
    data: String,
    /// Confirm the scores on this split only
    #[arg(long, value_name = "SPLIT", value_parser = choices::split())]
    split: Option<Split>,
    /// Print JSON: for each evaluation the stated and the computed scores
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    optional_metrics: OptionalMetrics,
}

#[derive(Serialize)]
struct Verdict<'a> {
    confirmed: bool,
    evaluations: &'a [Confirmation],
}

impl Verify {
    pub(in crate::cli) fn run(self, context: &Context) -> anyhow::Result<()> {
        let file = PackedFile::open(&self.file)?;
        let shown = display_path(&self.file);
        let directory = context.root.find_dataset(&self.data)?;
        let dataset = Dataset::load(&directory)?;
        let is_asked = |stated: &&StatedScores| self.split.is_none_or(|split| split == stated.split);
        let stated: Vec<StatedScores> = file.info().scores.iter().filter(is_asked).cloned().collect();
        ensure!(
            !stated.is_empty(),
            "{shown} states no scores{}; evaluate the run, then pack it again",
            match self.split {
                Some(split) => format!(" on the {split} split"),
                None => String::new(),
            }
        );
        if let Some(other) = stated.iter().find(|stated| stated.data_hash != dataset.hash) {
            context.notice(&format!(
                "warning: {} is not the dataset of these scores ({}, hash {}): its images or captions differ",
                display_path(directory.as_path()),
                display_safe(&other.dataset),
                display_safe(&other.data_hash)
            ));
        }
        let has_own_card = file.has_own_card() != Some(false);
        if !has_own_card {
            context.notice("warning: the model card was changed, so it may say anything");
        }
        let wanted: Vec<&StatedScores> = stated.iter().collect();
        let computed = measured(
            file,
            &wanted,
            (&directory, &dataset),
            &self.optional_metrics,
            context,
        )?;
        let confirmations: Vec<Confirmation> = stated
            .into_iter()
            .zip(computed)
            .map(|(stated, computed)| Confirmation { stated, computed })
            .collect();
        let confirmed = has_own_card && confirmations.iter().all(Confirmation::is_confirmed);
        let text = match self.json {
            true => json::pretty(&Verdict {
                confirmed,
                evaluations: &confirmations,
            })?,
            false => {
                let paint = context.terminal.stdout.paint;
                confirmations.iter().map(|one| table(one, paint)).collect()
            }
        };
        context.print(&text)?;
        if confirmations
            .iter()
            .flat_map(Confirmation::scores)
            .any(|score| score.computed.is_none())
        {
            self.optional_metrics.notice_missing(context);
        }
        ensure!(confirmed, "{shown}: not all that it states could be confirmed");
        Ok(())
    }
}

fn table(confirmation: &Confirmation, paint: Paint) -> String {
    let Confirmation { stated, computed } = confirmation;
    let mut table = Table::new(["metric", "stated", "computed", ""]);
    let verdict = |agrees: bool| if agrees { "confirmed" } else { "differs" }.to_owned();
    let short = |digest: &str| digest.chars().take(8).collect::<String>();
    table.row([
        "captions".to_owned(),
        display_safe(&short(&stated.captions)).into_owned(),
        short(&computed.captions),
        verdict(confirmation.captions_agree()),
    ]);
    for score in confirmation.scores() {
        let label = score.metric.label();
        table.row([
            match score.is_ptb {
                true => format!("{label} by PTB"),
                false => label.to_owned(),
            },
            format!("{:.6}", score.stated),
            score
                .computed
                .map_or("-".to_owned(), |computed| format!("{computed:.6}")),
            match score.computed {
                Some(_) => verdict(score.agrees()),
                None => "not computed".to_owned(),
            },
        ]);
    }
    let mut text = table.render(paint);
    let _ = writeln!(
        text,
        "{}, {} split, {} images; {}",
        display_safe(&stated.dataset),
        stated.split,
        computed.images,
        stated.search
    );
    if stated.images != computed.images {
        let line = format!("{} images are stated", stated.images);
        let _ = writeln!(text, "{}", paint.text(Role::Warning, &line));
    }
    for (stated, computed) in [
        (&stated.signature, &computed.signature),
        (&stated.ptb_signature, &computed.ptb_signature),
    ] {
        let _ = writeln!(text, "{}", display_safe(stated));
        if stated != computed {
            let line = format!("computed with {}", display_safe(computed));
            let _ = writeln!(text, "{}", paint.text(Role::Warning, &line));
        }
    }
    text.push('\n');
    text
}
