//! What is asked of the extraction of features.

use super::comparison::{self, Outcome};
use super::network::BATCH;
use crate::support::{Failure, Goal, Peers, Row, Table};
use cutline::suggest::Named;
use cutline::vision::backbones::BackboneKind;
use strum::IntoEnumIterator;

/// Of images a second, to PyTorch's: of most networks, and of those that are nearly all small products.
const USUAL: Goal = Goal::AtLeast(1.2);
const SMALL_PRODUCTS: Goal = Goal::AtLeast(1.5);

pub(crate) fn print(table: &mut Table, peers: &Peers) -> Result<(), Failure> {
    BackboneKind::iter().try_for_each(|kind| {
        table.print(row(&comparison::measure(kind, peers)?));
        Ok(())
    })
}

fn row(outcome: &Outcome) -> Row {
    let Outcome { kind, size, peer, .. } = outcome;
    Row {
        figure: peer.as_ref().map(|peer| peer.speed),
        goal: goal(*kind),
        work: format!("features, {kind}, batches of {BATCH}, {size}x{size}"),
        ours: format!("{:.1} images/s", outcome.images_per_second),
        beside: match peer {
            Some(peer) => format!("{:.1} images/s, PyTorch, channels last", peer.images_per_second),
            None => "PyTorch, channels last".to_owned(),
        },
    }
}

fn goal(kind: BackboneKind) -> Goal {
    match kind.name() {
        "mobilenet_v2" | "efficientnet_lite0" | "efficientnet_lite1" | "efficientnet_lite2" => SMALL_PRODUCTS,
        _ => USUAL,
    }
}
