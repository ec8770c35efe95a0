//! What is asked of the training step of the merge decoder.

use super::baseline::Baseline;
use super::case::{Case, DROPOUT};
use super::comparison::{self, Outcome};
use crate::support::{Failure, Goal, Peers, Row, Table};
use cutline::decoders::DecoderSettings;

/// Of the operations a second of its products, as if none left out zeros, to the machine's best rate.
const OPERATIONS: Goal = Goal::AtLeast(0.75);

pub(crate) fn print(table: &mut Table, peers: &Peers) -> Result<(), Failure> {
    let first = Case::merge().map(|case| (case, Baseline::ALL.as_slice()));
    // Keras as published drops nothing before its output layer, and is left out here.
    let other = [DecoderSettings::default().dropout, 0.0];
    let other = other.into_iter().flat_map(Case::merge_with);
    let other = other.map(|case| (case, TORCH.as_slice()));
    first.chain(other).try_for_each(|(case, baselines)| {
        let outcome = comparison::measure(case, baselines, peers)?;
        let baselines = baselines.iter().map(|&baseline| against(&outcome, baseline));
        baselines
            .chain([operations(&outcome)])
            .for_each(|row| table.print(row));
        Ok(())
    })
}

const TORCH: [Baseline; 2] = [Baseline::TorchAsUsuallyWritten, Baseline::TorchAtItsBest];

fn against(outcome: &Outcome, baseline: Baseline) -> Row {
    let against = outcome.against(baseline);
    Row {
        figure: against.map(|against| against.speed),
        goal: goal(outcome.case, baseline),
        work: work(outcome.case),
        ours: format!("{:.0} tokens/s", outcome.tokens_per_second),
        beside: match against {
            Some(against) => format!("{:.0} tokens/s, {}", against.tokens_per_second, baseline.name()),
            None => baseline.name().to_owned(),
        },
    }
}

/// Of our tokens a second, to the baseline's.
fn goal(case: Case, baseline: Baseline) -> Goal {
    match (baseline, case.hidden, case.vocabulary) {
        (Baseline::TorchAtItsBest, ..) => Goal::None,
        (Baseline::KerasAsPublished, ..) => Goal::AtLeast(10.0),
        (Baseline::TorchAsUsuallyWritten, 256, 7337) => Goal::AtLeast(3.0),
        (Baseline::TorchAsUsuallyWritten, 256, _) => Goal::AtLeast(2.2),
        (Baseline::TorchAsUsuallyWritten, ..) => Goal::AtLeast(2.0),
    }
}

fn operations(outcome: &Outcome) -> Row {
    let rates = &outcome.operations;
    Row {
        figure: Some(outcome.to_machine),
        goal: OPERATIONS,
        work: work(outcome.case),
        ours: format!("{:.0}, zeros counted", rates.step),
        beside: format!("{:.0} GFLOP/s, the best matrix product", rates.machine),
    }
}

fn work(case: Case) -> String {
    let work = format!(
        "training, {}, hidden {}, {} words",
        case.kind, case.hidden, case.vocabulary
    );
    match case.dropout {
        DROPOUT => work,
        other => format!("{work}, dropout {other}"),
    }
}
