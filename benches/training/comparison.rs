//! One case: our step, its products, the machine's best and the baselines, in turn.

use super::baseline::{Baseline, Started};
use super::case::{Case, Training};
use crate::support::{Buffers, Candidate, Failure, Machine, Peers, Product, Rounds, Spread, timed};
use cutline::decoders::CaptionBatch;

/// Indices of the candidates; baselines come after.
const STEP: usize = 0;
const PRODUCTS: usize = 1;
const MACHINE: usize = 2;
const BASELINES: usize = 3;

/// The result of a case.
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

/// The result against a baseline.
#[derive(Clone, Copy)]
pub(crate) struct Against {
    baseline: Baseline,
    /// Our tokens a second to its.
    pub(crate) speed: Spread,
    pub(crate) tokens_per_second: f64,
}

impl Outcome {
    /// `None` where the baseline was not there.
    pub(crate) fn against(&self, baseline: Baseline) -> Option<Against> {
        self.against
            .iter()
            .copied()
            .find(|against| against.baseline == baseline)
    }
}

/// Measures a case beside those of `baselines` that are here.
pub(crate) fn measure(case: Case, baselines: &[Baseline], peers: &Peers) -> Result<Outcome, Failure> {
    let batches = super::batches(case.vocabulary);
    let products: Vec<Product> = batches.iter().flat_map(|batch| case.products(batch)).collect();
    let mut training = Training::new(case)?;
    let mut buffers = Buffers::for_all(&products);
    let mut machine = Machine::new();
    let mut baselines = start_all(case, baselines, peers, &batches)?;
    let mut candidates: Vec<Candidate<'_>> = vec![
        Box::new(|| timed(|| training.train(&batches))),
        Box::new(|| Ok(buffers.seconds(&products))),
        Box::new(|| Ok(machine.seconds())),
    ];
    for baseline in &mut baselines {
        candidates.push(Box::new(|| baseline.peer.round()));
    }
    let rounds = Rounds::run(&mut candidates)?;
    drop(candidates);

    let tokens = batches.iter().map(CaptionBatch::tokens).sum::<usize>() as f64;
    let operations: f64 = products.iter().map(|product| product.operations()).sum();
    let rate = |candidate| operations / rounds.seconds(candidate) / 1e9;
    let against = |(place, started): (usize, &Started)| {
        let theirs = started.tokens as f64;
        Against {
            baseline: started.baseline,
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
        against: (BASELINES..).zip(&baselines).map(against).collect(),
    })
}

fn start_all(
    case: Case,
    baselines: &[Baseline],
    peers: &Peers,
    batches: &[CaptionBatch],
) -> Result<Vec<Started>, Failure> {
    let mut started = Vec::new();
    for baseline in baselines {
        started.extend(baseline.start(peers, case, batches)?);
    }
    Ok(started)
}
