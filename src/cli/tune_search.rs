//! `cutline evaluate --tune-search`: the search settings that score best on the dev split.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::Context;
use super::eval_inputs::EvalInputs;
use super::interrupt::{Interrupt, Interrupted};
use super::progress::Task;
use super::search::SearchArgs;
use super::table::Table;
use super::terminal::{Paint, Role, display_safe};
use crate::evaluation::{EvaluationError, EvaluationInfo, SearchGrid, SearchTuner, Trial};
use crate::metrics::{DisplayLevel, Metric};
use crate::nn::Backend;
use crate::search::{SearchSettings, Strategy};
use crate::training::Monitor;
use crate::training::TrainedRunError;

/// Rows printed; the JSON has all.
const ROWS_SHOWN: usize = 15;

pub(super) fn metric_parser() -> impl TypedValueParser<Value = Metric> {
    let value = |metric: Metric| PossibleValue::new(metric.key()).help(metric.label());
    PossibleValuesParser::new(Metric::all().map(value))
        .try_map(|key| Metric::from_key(&key).ok_or("not a metric"))
}

/// The metric that training monitored; the default metric if that is the loss, which does not depend on the search.
fn monitored(monitor: Monitor) -> Metric {
    match monitor {
        Monitor::Metric(metric) => metric,
        Monitor::Loss => Metric::default(),
    }
}

/// Search settings and their scores, best first.
#[derive(Serialize)]
pub(super) struct SearchReport {
    #[serde(flatten)]
    info: EvaluationInfo,
    images: usize,
    /// The metric that `tried` is ranked by.
    metric: &'static str,
    /// The best settings as flags of `evaluate` and `caption`.
    flags: String,
    /// The best settings as flags of `train`.
    settings: String,
    trials: Vec<Trial>,
    /// The settings without tuning: the run's, changed by flags.
    #[serde(skip)]
    default: SearchSettings,
    /// Where `default` comes from, in words.
    #[serde(skip)]
    default_source: &'static str,
}

/// Scores a grid of search settings on the dev split; settings that `args` name are fixed.
pub(super) fn tune<D: Backend>(
    inputs: &EvalInputs<D>,
    args: &SearchArgs,
    metric: Option<Metric>,
    context: &Context,
) -> anyhow::Result<SearchReport> {
    let run = &inputs.runs.first;
    let default = args.apply_to(&run.record.settings.search)?;
    anyhow::ensure!(
        args.strategy() != Some(Strategy::Sample),
        "--tune-search tunes beam search; remove --temperature, --top-k and --seed"
    );
    let ngrams = match run.document_frequencies() {
        Ok(ngrams) => Some(ngrams),
        Err(error @ TrainedRunError::NoDocumentFrequencies { .. }) => {
            context.notice(&format!("MBR is not tuned: {}", display_safe(&error.to_string())));
            None
        }
        Err(error) => return Err(error.into()),
    };
    let mut grid = grid(args, &default);
    if ngrams.is_none() {
        grid.mbr_weights.clear();
    }
    let images = inputs.images();
    let tuner = SearchTuner::new(&images, &run.vocabulary, ngrams.as_deref());
    let captions = grid.captions(images.len());
    let mut trials = until_interrupted(captions, context, |progress| {
        tuner.run(&inputs.members(), &default, &grid, progress)
    })?;
    let metric = metric.unwrap_or(monitored(run.record.settings.training.monitor));
    let score = |tried: &Trial| tried.scores.score(metric);
    trials.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let best = &trials[0].search;
    Ok(SearchReport {
        info: inputs.info.clone(),
        images: images.len(),
        metric: metric.label(),
        flags: flags(best),
        settings: settings(best),
        trials,
        default_source: match default == run.record.settings.search {
            true => "the run's own settings",
            false => "these flags without --tune-search",
        },
        default,
    })
}

/// Runs the search with a progress bar over `captions`. Ctrl-C ends it early with the beam sizes finished so far.
///
/// # Errors
/// Those of the search; [`Interrupted`] if no beam size was finished.
fn until_interrupted(
    captions: usize,
    context: &Context,
    run: impl FnOnce(&mut dyn FnMut(usize) -> ControlFlow<()>) -> Result<Vec<Trial>, EvaluationError>,
) -> anyhow::Result<Vec<Trial>> {
    let interrupt = Interrupt::install()?;
    let bar = context.progress(Task::new("tuning search", "captions", captions));
    let mut done = 0;
    let tried = run(&mut |captions| {
        bar.advance((captions - done) as u64);
        done = captions;
        match interrupt.is_requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    if !interrupt.is_requested() {
        let tried = tried?;
        bar.finish();
        return Ok(tried);
    }
    drop(bar);
    if matches!(tried, Err(EvaluationError::Stopped)) {
        context.notice("interrupted before the first beam size was finished: no results");
        return Err(Interrupted.into());
    }
    let tried = tried?;
    let beams: BTreeSet<usize> = tried.iter().map(|tried| tried.search.beam_size).collect();
    let beams: Vec<String> = beams.iter().map(usize::to_string).collect();
    context.notice(&format!(
        "interrupted: results cover beam sizes {} only",
        beams.join(", ")
    ));
    Ok(tried)
}

/// The default grid with the run's own values added; a flag fixes its value, which `own` has.
fn grid(args: &SearchArgs, own: &SearchSettings) -> SearchGrid {
    let usual = SearchGrid::default();
    let values = |name: &str, mut values: Vec<f64>, own: f64| {
        if args.has(name) {
            return vec![own];
        }
        values.push(own);
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    };
    let beam_sizes = usual.beam_sizes.iter().map(|&size| size as f64).collect();
    let beam_sizes = values("beam_size", beam_sizes, own.beam_size as f64);
    let mbr_weights = values("mbr_weight", usual.mbr_weights, own.mbr_weight);
    SearchGrid {
        beam_sizes: beam_sizes.into_iter().map(|size| size as usize).collect(),
        length_penalties: values("length_penalty", usual.length_penalties, own.length_penalty),
        mbr_weights: mbr_weights.into_iter().filter(|&weight| weight > 0.0).collect(),
        mbr_temperatures: values("mbr_temperature", usual.mbr_temperatures, own.mbr_temperature),
    }
}

/// The tuned settings and their values.
fn tuned(search: &SearchSettings) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("beam_size", search.beam_size.to_string()),
        ("length_penalty", search.length_penalty.to_string()),
        ("mbr_weight", search.mbr_weight.to_string()),
    ];
    if search.uses_mbr() {
        settings.push(("mbr_temperature", search.mbr_temperature.to_string()));
    }
    settings
}

/// The settings as flags of `evaluate` and `caption`.
fn flags(search: &SearchSettings) -> String {
    let flag = |(name, value): (&str, String)| format!("--{} {value}", name.replace('_', "-"));
    tuned(search).into_iter().map(flag).collect::<Vec<_>>().join(" ")
}

/// The settings as flags of `train`.
fn settings(search: &SearchSettings) -> String {
    let set = |(name, value): (&str, String)| format!("--set search.{name}={value}");
    tuned(search).into_iter().map(set).collect::<Vec<_>>().join(" ")
}

/// A table of the best settings, and the best as flags.
pub(super) fn format_search_report(report: &SearchReport, paint: Paint) -> String {
    let heading = [
        "rank",
        "beam size",
        "length penalty",
        "MBR weight",
        "MBR temperature",
    ];
    let metrics = Metric::shown(DisplayLevel::Summary).map(Metric::label);
    let mut table = Table::new(heading.into_iter().chain(metrics));
    for (i, trial) in report.trials.iter().enumerate() {
        if i < ROWS_SHOWN || report.is_default(trial) {
            table.row(row(i + 1, trial));
        }
    }
    let default = report.trials.iter().position(|trial| report.is_default(trial));
    let default = default.map_or(String::new(), |i| {
        format!("; rank {}: {}", i + 1, report.default_source)
    });
    format!(
        "{}{} search settings by {}, on the {} images of {}, dev split; {}{default}\n\n{}\n  {}\nfor train:\n  {}\n",
        table.render(paint),
        report.trials.len(),
        report.metric,
        report.images,
        display_safe(&report.info.dataset),
        display_safe(&report.info.model_label()),
        paint.text(Role::Heading, "the best, for evaluate and caption:"),
        report.flags,
        report.settings,
    )
}

impl SearchReport {
    fn is_default(&self, trial: &Trial) -> bool {
        trial.search == self.default
    }
}

fn row(rank: usize, trial: &Trial) -> Vec<String> {
    let search = &trial.search;
    let [mbr_weight, mbr_temperature] = match search.uses_mbr() {
        true => [search.mbr_weight, search.mbr_temperature].map(|value| value.to_string()),
        false => ["0".to_owned(), "-".to_owned()],
    };
    let mut cells = vec![
        rank.to_string(),
        search.beam_size.to_string(),
        search.length_penalty.to_string(),
        mbr_weight,
        mbr_temperature,
    ];
    cells.extend(Metric::shown(DisplayLevel::Summary).map(|metric| trial.scores.cell(metric, 4)));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_has_own_values_unless_a_flag_fixes_them() {
        let own = SearchSettings {
            beam_size: 7,
            length_penalty: 0.66,
            ..Default::default()
        };
        let free = grid(&SearchArgs::default(), &own);
        assert!(free.beam_sizes.contains(&7) && free.length_penalties.contains(&0.66));
        assert!(!free.mbr_weights.is_empty() && !free.mbr_weights.contains(&0.0));
        let args = SearchArgs::parse(&["--beam-size", "4", "--mbr-weight", "0"]).unwrap();
        let fixed = grid(&args, &args.apply_to(&own).unwrap());
        assert_eq!((fixed.beam_sizes, fixed.mbr_weights), (vec![4], vec![]));
    }
}
