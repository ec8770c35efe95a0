//! What the benches share: runs taken in turn, their medians, the machine's own matrix products, peers in Python, the
//! table of goals, the demo's settings.
//!
//! A shared machine is not the same from one minute to the next, so nothing here times one thing alone: the
//! candidates of a comparison run one after the other, round after round, and a ratio is taken within a round.

#![allow(dead_code, unused_imports)] // every bench uses its part

mod product;
mod python;
mod table;

pub(crate) use product::{Buffers, Machine, Product};
pub(crate) use python::{Library, Peer, Peers, Script};
pub(crate) use table::{Goal, Row, Table};

use std::error::Error;
use std::fmt;
use std::time::Instant;

/// Why a bench could not go on.
pub(crate) type Failure = Box<dyn Error>;

/// Does its work once and gives the seconds it took.
pub(crate) type Candidate<'a> = Box<dyn FnMut() -> Result<f64, Failure> + 'a>;

/// Rounds that count.
pub(crate) const ROUNDS: usize = 5;

/// Seconds that all candidates took: a row for every round, a column for every candidate.
pub(crate) struct Rounds(Vec<Vec<f64>>);

impl Rounds {
    /// Runs the candidates in turn. The first round is not counted: caches fill, threads start, memory is
    /// mapped.
    pub(crate) fn run(candidates: &mut [Candidate<'_>]) -> Result<Self, Failure> {
        let mut round =
            || -> Result<Vec<f64>, Failure> { candidates.iter_mut().map(|candidate| candidate()).collect() };
        round()?;
        Ok(Self((0..ROUNDS).map(|_| round()).collect::<Result<_, _>>()?))
    }

    /// The median of one candidate.
    pub(crate) fn seconds(&self, candidate: usize) -> f64 {
        median(self.0.iter().map(|round| round[candidate]).collect())
    }

    /// How many times the seconds of `other` one candidate took, within a round.
    pub(crate) fn ratio(&self, candidate: usize, other: usize) -> Spread {
        let ratio = |round: &Vec<f64>| round[candidate] / round[other];
        Spread::of(self.0.iter().map(ratio).collect())
    }

    /// The seconds of one candidate.
    pub(crate) fn spread(&self, candidate: usize) -> Spread {
        Spread::of(self.0.iter().map(|round| round[candidate]).collect())
    }
}

/// What the rounds say of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            least: values[0],
            most: values[values.len() - 1],
            median: median(values),
        }
    }

    /// A figure that was taken once.
    pub(crate) fn single(value: f64) -> Self {
        Self::of(vec![value])
    }

    pub(crate) fn median(&self) -> f64 {
        self.median
    }

    /// The same of `factor` times the ratio.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            least: self.least * factor,
            median: self.median * factor,
            most: self.most * factor,
        }
    }
}

/// `0.62 (0.60-0.66)`
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, median, most } = self;
        if least == most {
            return f.pad(&format!("{median:.2}"));
        }
        f.pad(&format!("{median:.2} ({least:.2}-{most:.2})"))
    }
}

/// Seconds that `work` takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The middle one; of two, the lower.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// The settings of the demo's model and training, but for its epochs.
pub(crate) const DEMO: [&str; 9] = [
    "encoder.kind=small_cnn",
    "decoder.hidden_size=128",
    "decoder.embedding_size=64",
    "decoder.dropout=0",
    "training.sampler=by_image",
    "training.batch_size=80",
    "training.learning_rate=1.5e-3",
    "training.lr_schedule.warmup_steps=50",
    "training.label_smoothing=0",
];

/// How busy the machine is.
pub(crate) fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|load| Some(load.split_whitespace().next()?.to_owned()))
        .unwrap_or_else(|| "unknown".into())
}

/// Makes this thread one of those that share work, as the trainer's is: from outside, it would sleep and wake again for
/// every piece of a step.
pub(crate) fn join_the_threads() -> Result<(), Failure> {
    let threads = rayon::ThreadPoolBuilder::new().use_current_thread();
    Ok(threads.build_global()?)
}

/// What a reader must know to judge the figures: how they were taken, on how much of a machine.
pub(crate) fn print_conditions() {
    println!(
        "{} threads, load {} before the start; medians of {ROUNDS} rounds in turn, least and most in brackets",
        rayon::current_num_threads(),
        load()
    );
}
