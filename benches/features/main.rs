//! Images per second of each backbone, how near its convolutions come to the machine's best matrix product, and how
//! it stands to PyTorch.
//!
//! ```text
//! cargo bench --bench features
//! CUTLINE_PEERS=venv/bin/python cargo bench --bench features       PyTorch in turn with us
//! CUTLINE_WEIGHTS=~/weights cargo bench --bench features
//! ```
//!
//! `CUTLINE_WEIGHTS` is a folder with the published files named in `network.rs`; without it, or without one of
//! them, the weights are random: the speed is the same.

#[path = "mod.rs"]
mod features;
#[path = "../support/mod.rs"]
mod support;

use cutline::suggest::Named;
use cutline::vision::backbones::BackboneKind;
use features::comparison::{self, Outcome};
use features::network::BATCH;
use strum::IntoEnumIterator;
use support::{Failure, Library, Peers, print_conditions};

fn main() -> Result<(), Failure> {
    print_conditions();
    let peers = Peers::find(&[Library::Torch]);
    println!(
        "\nbatches of {BATCH}\n{:<17}  {:<18}  {:<18} {:<19} {:>8} {:>16}  GFLOP/s (machine's)  weights",
        "to machine's best", "speed to PyTorch's", "network", "layer", "images/s", "PyTorch images/s"
    );
    BackboneKind::iter().try_for_each(|kind| {
        print(&comparison::measure(kind, &peers)?);
        Ok(())
    })
}

fn print(outcome: &Outcome) {
    let (speed, theirs) = match &outcome.peer {
        Some(peer) => (peer.speed.to_string(), format!("{:.1}", peer.images_per_second)),
        None => ("-".into(), "-".into()),
    };
    println!(
        "{:<17}  {speed:<18}  {:<18} {:<19} {:>8.1} {theirs:>16}  {:<19}  {}",
        outcome.to_machine,
        outcome.kind.name(),
        outcome.layer,
        outcome.images_per_second,
        format!("{:.0} ({:.0})", outcome.operations, outcome.machine),
        outcome.weights,
    );
}
