//! One backbone: ours, the machine's best and PyTorch's, in turn.

use super::network::{BATCH, Network};
use crate::support::{Candidate, Failure, Library, Machine, Peers, Rounds, Script, Spread, timed};
use cutline::suggest::Named;
use cutline::vision::backbones::BackboneKind;
use serde_json::json;

/// Indices of the candidates.
const OURS: usize = 0;
const MACHINE: usize = 1;
const PEER: usize = 2;

/// Batches of a round.
const BATCHES: usize = 3;

/// The same networks in PyTorch, as eager as it is usually run, channels last.
pub(crate) const SCRIPT: Script = Script {
    file: "features_torch.py",
    library: Library::Torch,
};

/// The result of a case.
pub(crate) struct Outcome {
    pub(crate) kind: BackboneKind,
    pub(crate) layer: String,
    pub(crate) size: usize,
    /// Where our weights are from.
    pub(crate) weights: &'static str,
    pub(crate) images_per_second: f64,
    /// Floating-point operations of ours, in billions a second, and the machine's best.
    pub(crate) operations: f64,
    pub(crate) machine: f64,
    /// The rate of our operations to the machine's best.
    pub(crate) to_machine: Spread,
    pub(crate) peer: Option<Against>,
}

/// The result against PyTorch.
pub(crate) struct Against {
    /// Our images a second to its.
    pub(crate) speed: Spread,
    pub(crate) images_per_second: f64,
}

pub(crate) fn measure(kind: BackboneKind, peers: &Peers) -> Result<Outcome, Failure> {
    let network = Network::load(kind)?;
    let mut machine = Machine::new();
    let mut peer = peers.start(SCRIPT, &order(&network, BATCHES))?;
    let mut candidates: Vec<Candidate<'_>> = vec![
        Box::new(|| timed(|| (0..BATCHES).try_for_each(|_| network.forward()))),
        Box::new(|| Ok(machine.seconds())),
    ];
    candidates.extend(
        peer.as_mut()
            .map(|peer| -> Candidate<'_> { Box::new(|| peer.round()) }),
    );
    let rounds = Rounds::run(&mut candidates)?;
    drop(candidates);

    let images = (BATCHES * BATCH) as f64;
    let operations = 2.0 * network.backbone.multiply_adds() as f64 * images;
    Ok(Outcome {
        kind,
        layer: network.backbone.layer().name.clone(),
        size: network.size(),
        weights: network.weights,
        images_per_second: images / rounds.seconds(OURS),
        operations: operations / rounds.seconds(OURS) / 1e9,
        machine: Machine::OPERATIONS / rounds.seconds(MACHINE) / 1e9,
        to_machine: rounds
            .ratio(MACHINE, OURS)
            .times(operations / Machine::OPERATIONS),
        peer: peer.map(|_| Against {
            speed: rounds.ratio(PEER, OURS),
            images_per_second: images / rounds.seconds(PEER),
        }),
    })
}

/// What PyTorch is to do in a round.
pub(crate) fn order(network: &Network, batches: usize) -> serde_json::Value {
    json!({
        "network": network.backbone.kind().name(),
        "size": network.size(),
        "batch": BATCH,
        "batches": batches,
        "threads": rayon::current_num_threads(),
    })
}
