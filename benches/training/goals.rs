//! What is asked of the training step of the merge decoder.

use super::case::{Case, DROPOUT};
use super::contest::{self, Outcome};
use super::rival::Rival;
use crate::support::{Failure, Goal, Peers, Row, Table};
use cutline::decoders::DecoderSettings;

/// Of the operations a second of its products, as if none left out zeros, to the machine's best rate.
const OPERATIONS: Goal = Goal::AtLeast(0.75);

pub(crate) fn print(table: &mut Table, peers: &Peers) -> Result<(), Failure> {
    let first = Case::merge().map(|case| (case, Rival::ALL.as_slice()));
    // Keras as published drops nothing before its output layer, and is left out here.
    let other = [DecoderSettings::default().dropout, 0.0];
    let other = other.into_iter().flat_map(Case::merge_with);
    let other = other.map(|case| (case, TORCH.as_slice()));
    first.chain(other).try_for_each(|(case, rivals)| {
        let outcome = contest::hold(case, rivals, peers)?;
        let rivals = rivals.iter().map(|&rival| against(&outcome, rival));
        rivals
            .chain([operations(&outcome)])
            .for_each(|row| table.print(row));
        Ok(())
    })
}

const TORCH: [Rival; 2] = [Rival::TorchAsUsuallyWritten, Rival::TorchAtItsBest];

fn against(outcome: &Outcome, rival: Rival) -> Row {
    let against = outcome.against(rival);
    Row {
        figure: against.map(|against| against.speed),
        goal: goal(outcome.case, rival),
        work: work(outcome.case),
        ours: format!("{:.0} tokens/s", outcome.tokens_per_second),
        beside: match against {
            Some(against) => format!("{:.0} tokens/s, {}", against.tokens_per_second, rival.name()),
            None => rival.name().to_owned(),
        },
    }
}

/// Of our tokens a second, to the rival's.
fn goal(case: Case, rival: Rival) -> Goal {
    match (rival, case.hidden, case.vocabulary) {
        (Rival::TorchAtItsBest, ..) => Goal::None,
        (Rival::KerasAsPublished, ..) => Goal::AtLeast(10.0),
        (Rival::TorchAsUsuallyWritten, 256, 7337) => Goal::AtLeast(3.0),
        (Rival::TorchAsUsuallyWritten, 256, _) => Goal::AtLeast(2.2),
        (Rival::TorchAsUsuallyWritten, ..) => Goal::AtLeast(2.0),
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
