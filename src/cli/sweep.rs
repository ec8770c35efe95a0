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
use crate::evaluation::{EvaluationError, SearchGrid, SearchTuner, Subject, Trial};
use crate::metrics::{Metric, Prominence};
use crate::nn::Backend;
use crate::search::{SearchSettings, Strategy};
use crate::training::Monitor;
use crate::training::TrainedRunError;

/// Settings printed; all are in the JSON.
const SHOWN: usize = 15;

/// The metrics, by their keys.
pub(super) fn metric_parser() -> impl TypedValueParser<Value = Metric> {
    let value = |metric: Metric| PossibleValue::new(metric.key()).help(metric.label());
    PossibleValuesParser::new(Metric::all().map(value))
        .try_map(|key| Metric::from_key(&key).ok_or("not a metric"))
}

/// What a run was steered by; the loss says nothing of searches.
fn monitored(monitor: Monitor) -> Metric {
    match monitor {
        Monitor::Metric(metric) => metric,
        Monitor::Loss => Metric::default(),
    }
}

/// What a sweep finds, the best first.
#[derive(Serialize)]
pub(super) struct SearchReport {
    #[serde(flatten)]
    subject: Subject,
    /// Images captioned.
    images: usize,
    /// What it is sorted by.
    metric: &'static str,
    /// The flags of `evaluate` and `caption` that stand for the best.
    flags: String,
    /// The flags of `train` that do.
    settings: String,
    trials: Vec<Trial>,
    /// What the run, or the flags, search by without a sweep.
    #[serde(skip)]
    own: SearchSettings,
    /// Whose that is.
    #[serde(skip)]
    own_is_of: &'static str,
}

/// Tries settings on the dev split, those that `args` name excepted.
pub(super) fn sweep<D: Backend>(
    inputs: &EvalInputs<D>,
    args: &SearchArgs,
    metric: Option<Metric>,
    context: &Context,
) -> anyhow::Result<SearchReport> {
    let run = &inputs.runs.first;
    let own = args.over(&run.record.settings.search)?;
    anyhow::ensure!(
        args.strategy() != Some(Strategy::Sample),
        "--tune-search looks for the best way of a beam search; leave --temperature, --top-k and --seed away"
    );
    let ngrams = match run.document_frequencies() {
        Ok(ngrams) => Some(ngrams),
        Err(error @ TrainedRunError::NoDocumentFrequencies { .. }) => {
            context.notice(&format!(
                "minimum Bayes risk is not tried: {}",
                display_safe(&error.to_string())
            ));
            None
        }
        Err(error) => return Err(error.into()),
    };
    let mbr = match ngrams {
        Some(_) => Mbr::Tried,
        None => Mbr::LeftOut,
    };
    let grid = grid(args, &own, mbr);
    let images = inputs.images();
    let sweep = SearchTuner::new(&images, &run.vocabulary, ngrams.as_deref());
    let captions = grid.captions(images.len());
    let mut trials = until_interrupted(captions, context, |progress| {
        sweep.run(&inputs.members(), &own, &grid, progress)
    })?;
    let metric = metric.unwrap_or(monitored(run.record.settings.training.monitor));
    let score = |tried: &Trial| tried.scores.score(metric);
    trials.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let best = &trials[0].search;
    Ok(SearchReport {
        subject: inputs.subject.clone(),
        images: images.len(),
        metric: metric.label(),
        flags: flags(best),
        settings: settings(best),
        trials,
        own_is_of: match own == run.record.settings.search {
            true => "what the run searches by without flags",
            false => "what these flags search by without --tune-search",
        },
        own,
    })
}

/// What is tried of so many captions until the user has had enough, with a bar.
///
/// # Errors
/// Those of trying; [`Interrupted`] where that came to nothing.
fn until_interrupted(
    captions: usize,
    context: &Context,
    run: impl FnOnce(&mut dyn FnMut(usize) -> ControlFlow<()>) -> Result<Vec<Trial>, EvaluationError>,
) -> anyhow::Result<Vec<Trial>> {
    let interrupt = Interrupt::install()?;
    let bar = context.progress(Task {
        label: "trying".into(),
        unit: "captions",
        total: Some(captions as u64),
        done: 0,
    });
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
        context.notice("interrupted before the first beam was through: nothing can be said yet");
        return Err(Interrupted.into());
    }
    let tried = tried?;
    let beams: BTreeSet<usize> = tried.iter().map(|tried| tried.search.beam_size).collect();
    let beams: Vec<String> = beams.iter().map(usize::to_string).collect();
    context.notice(&format!("interrupted: of beams {} only", beams.join(", ")));
    Ok(tried)
}

/// The usual values with the run's own among them, or the one that a flag names.
fn grid(args: &SearchArgs, own: &SearchSettings, ngrams: Mbr) -> SearchGrid {
    let usual = SearchGrid::default();
    let mbr = match ngrams {
        Mbr::Tried => choose(args.mbr_weight, usual.mbr_weights, own.mbr_weight),
        Mbr::LeftOut => Vec::new(),
    };
    let mut beams = usual.beam_sizes;
    beams.push(own.beam_size);
    beams.sort_unstable();
    beams.dedup();
    SearchGrid {
        beam_sizes: args.beam_size.map_or(beams, |beam| vec![beam as usize]),
        length_penalties: choose(args.length_penalty, usual.length_penalties, own.length_penalty),
        mbr_weights: mbr.into_iter().filter(|&share| share > 0.0).collect(),
        mbr_temperatures: choose(args.mbr_temperature, usual.mbr_temperatures, own.mbr_temperature),
    }
}

/// Whether minimum Bayes risk can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mbr {
    Tried,
    LeftOut,
}

fn choose(named: Option<f64>, usual: Vec<f64>, own: f64) -> Vec<f64> {
    if let Some(named) = named {
        return vec![named];
    }
    let mut values = usual;
    values.push(own);
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// What tells settings of a sweep apart.
fn flags(search: &SearchSettings) -> String {
    let mut flags = format!(
        "--beam-size {} --length-penalty {}",
        search.beam_size, search.length_penalty
    );
    if search.uses_mbr() {
        flags += &format!(
            " --mbr-weight {} --mbr-temperature {}",
            search.mbr_weight, search.mbr_temperature
        );
    } else {
        flags += " --mbr-weight 0";
    }
    flags
}

fn settings(search: &SearchSettings) -> String {
    let mut settings = format!(
        "--set search.beam_size={} --set search.length_penalty={} --set search.mbr_weight={}",
        search.beam_size, search.length_penalty, search.mbr_weight
    );
    if search.uses_mbr() {
        settings += &format!(" --set search.mbr_temperature={}", search.mbr_temperature);
    }
    settings
}

/// The best settings as a table, and what asks for the best.
pub(super) fn format_search_report(swept: &SearchReport, paint: Paint) -> String {
    let heading = [
        "place",
        "beam size",
        "length penalty",
        "mbr weight",
        "mbr temperature",
    ];
    let metrics = Metric::shown(Prominence::Summary).map(Metric::label);
    let mut table = Table::new(heading.into_iter().chain(metrics));
    for (at, tried) in swept.trials.iter().enumerate() {
        if at < SHOWN || swept.is_own(tried) {
            table.row(row(at + 1, tried));
        }
    }
    let own = swept.trials.iter().position(|tried| swept.is_own(tried));
    let own = own.map_or(String::new(), |at| {
        format!("; place {} is {}", at + 1, swept.own_is_of)
    });
    format!(
        "{}{} ways of searching, best {} first, on the {} images of {}, dev split; {}{own}\n\n{}\n  {}\nwhile training:\n  {}\n",
        table.render(paint),
        swept.trials.len(),
        swept.metric,
        swept.images,
        display_safe(&swept.subject.data_set),
        display_safe(&swept.subject.model_label()),
        paint.text(Role::Heading, "the best, for evaluate and caption:"),
        swept.flags,
        swept.settings,
    )
}

impl SearchReport {
    fn is_own(&self, tried: &Trial) -> bool {
        tried.search == self.own
    }
}

fn row(place: usize, tried: &Trial) -> Vec<String> {
    let search = &tried.search;
    let [mbr_weight, mbr_temperature] = match search.uses_mbr() {
        true => [search.mbr_weight, search.mbr_temperature].map(|value| value.to_string()),
        false => ["0".to_owned(), "-".to_owned()],
    };
    let mut cells = vec![
        place.to_string(),
        search.beam_size.to_string(),
        search.length_penalty.to_string(),
        mbr_weight,
        mbr_temperature,
    ];
    cells.extend(Metric::shown(Prominence::Summary).map(|metric| tried.scores.cell(metric, 4)));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_fixes_what_it_names_and_the_runs_own_values_are_always_tried() {
        let own = SearchSettings {
            beam_size: 7,
            length_penalty: 0.66,
            ..Default::default()
        };
        let free = grid(&SearchArgs::default(), &own, Mbr::Tried);
        assert!(free.beam_sizes.contains(&7) && free.length_penalties.contains(&0.66));
        assert!(!free.mbr_weights.is_empty() && !free.mbr_weights.contains(&0.0));
        let args = SearchArgs {
            beam_size: Some(4),
            mbr_weight: Some(0.0),
            ..Default::default()
        };
        let fixed = grid(&args, &own, Mbr::Tried);
        assert_eq!((fixed.beam_sizes, fixed.mbr_weights), (vec![4], vec![]));
        assert_eq!(grid(&args, &own, Mbr::LeftOut).mbr_weights, Vec::<f64>::new());
    }
}
