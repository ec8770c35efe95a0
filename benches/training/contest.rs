//! One case: our step, its products, the machine's best and the rivals, in turn.

use super::case::{Case, Training};
use super::rival::{Rival, Started};
use crate::support::{Buffers, Contestant, Failure, Machine, Peers, Product, Rounds, Spread, timed};
use cutline::decoders::CaptionBatch;

/// Places among the contestants; rivals come after.
const STEP: usize = 0;
const PRODUCTS: usize = 1;
const MACHINE: usize = 2;
const RIVALS: usize = 3;

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) case: Case,
    pub(crate) tokens_per_second: f64,
    /// Of the step, of its bare products, and the best of the machine, in billions a second.
    pub(crate) operations: Rates,
    /// The rate of the step's operations, to that of its bare products.
    pub(crate) to_products: Spread,
    /// The same to the machine's best.
    pub(crate) to_machine: Spread,
    against: Vec<Against>,
}

/// Floating-point operations, in billions a second.
pub(crate) struct Rates {
    pub(crate) step: f64,
    pub(crate) products: f64,
    pub(crate) machine: f64,
}

/// What came of it with a rival.
#[derive(Clone, Copy)]
pub(crate) struct Against {
    rival: Rival,
    /// Our tokens a second to its.
    pub(crate) speed: Spread,
    pub(crate) tokens_per_second: f64,
}

impl Outcome {
    /// `None` where the rival was not there.
    pub(crate) fn against(&self, rival: Rival) -> Option<Against> {
        self.against
            .iter()
            .copied()
            .find(|against| against.rival == rival)
    }
}

/// Measures a case beside those of `rivals` that are here.
pub(crate) fn hold(case: Case, rivals: &[Rival], peers: &Peers) -> Result<Outcome, Failure> {
    let batches = super::batches(case.vocabulary);
    let products: Vec<Product> = batches.iter().flat_map(|batch| case.products(batch)).collect();
    let mut training = Training::new(case)?;
    let mut buffers = Buffers::for_all(&products);
    let mut machine = Machine::new();
    let mut rivals = start_all(case, rivals, peers, &batches)?;
    let mut contestants: Vec<Contestant<'_>> = vec![
        Box::new(|| timed(|| training.train(&batches))),
        Box::new(|| Ok(buffers.seconds(&products))),
        Box::new(|| Ok(machine.seconds())),
    ];
    for rival in &mut rivals {
        contestants.push(Box::new(|| rival.peer.round()));
    }
    let rounds = Rounds::run(&mut contestants)?;
    drop(contestants);

    let tokens = batches.iter().map(CaptionBatch::tokens).sum::<usize>() as f64;
    let operations: f64 = products.iter().map(|product| product.operations()).sum();
    let rate = |contestant| operations / rounds.seconds(contestant) / 1e9;
    let against = |(place, started): (usize, &Started)| {
        let theirs = started.tokens as f64;
        Against {
            rival: started.rival,
            speed: rounds.ratio(place, STEP).times(tokens / theirs),
            tokens_per_second: theirs / rounds.seconds(place),
        }
    };
    Ok(Outcome {
        case,
        tokens_per_second: tokens / rounds.seconds(STEP),
        operations: Rates {
            step: rate(STEP),
            products: rate(PRODUCTS),
            machine: Machine::OPERATIONS / rounds.seconds(MACHINE) / 1e9,
        },
        to_products: rounds.ratio(PRODUCTS, STEP),
        to_machine: rounds
            .ratio(MACHINE, STEP)
            .times(operations / Machine::OPERATIONS),
        against: (RIVALS..).zip(&rivals).map(against).collect(),
    })
}

fn start_all(
    case: Case,
    rivals: &[Rival],
    peers: &Peers,
    batches: &[CaptionBatch],
) -> Result<Vec<Started>, Failure> {
    let mut started = Vec::new();
    for rival in rivals {
        started.extend(rival.start(peers, case, batches)?);
    }
    Ok(started)
}
