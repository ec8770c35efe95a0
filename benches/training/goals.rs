//! What is asked of the training step of the merge decoder.

use super::case::Case;
use super::contest::{self, Outcome};
use super::rival::Rival;
use crate::support::{Failure, Goal, Peers, Row, Table};
use cutline::decoder::DecoderKind;

/// Of its operations a second, to the machine's best rate.
const OPERATIONS: Goal = Goal::AtLeast(0.75);

pub(crate) fn print(table: &mut Table, peers: &Peers) -> Result<(), Failure> {
    Case::all()
        .filter(|case| case.kind == DecoderKind::Merge)
        .try_for_each(|case| {
            let outcome = contest::hold(case, peers)?;
            rows(&outcome).into_iter().for_each(|row| table.print(row));
            Ok(())
        })
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let rivals = Rival::ALL.map(|rival| against(outcome, rival));
    rivals.into_iter().chain([operations(outcome)]).collect()
}

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
        ours: format!("{:.0} GFLOP/s", rates.step),
        beside: format!("{:.0} GFLOP/s, the best matrix product", rates.machine),
    }
}

fn work(case: Case) -> String {
    format!(
        "training, {}, hidden {}, {} words",
        case.kind, case.hidden, case.vocabulary
    )
}
