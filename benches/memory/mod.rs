//! The most memory that a process ever had, which does one kind of work and nothing else.

use crate::features::comparison as features;
use crate::features::network::Network;
use crate::support::{Failure, Goal, Library, Peers, Row, Script, Spread, Table};
use crate::training::baseline::Baseline;
use crate::training::batches;
use crate::training::case::{Case, DROPOUT, Training};
use cutline::decoders::DecoderKind;
use cutline::vision::backbones::BackboneKind;
use serde_json::json;
use std::fs;
use std::process::Command;

/// Of our bytes, to PyTorch's.
const SHARE: Goal = Goal::AtMost(0.5);

/// The argument by which this program does a kind of work, says what memory it took, and ends.
const ARGUMENT: &str = "--peak-of";

/// How often the work is done: what grows shall have grown.
const ROUNDS: usize = 3;

const CASE: Case = Case {
    kind: DecoderKind::Merge,
    hidden: 256,
    vocabulary: 7337,
    dropout: DROPOUT,
};
const BACKBONE: BackboneKind = BackboneKind::Vgg16;

/// Imports PyTorch and does nothing.
const BARE: Script = Script {
    file: "bare_torch.py",
    library: Library::Torch,
};

/// What the memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Training,
    Extraction,
}

impl Work {
    const ALL: [Self; 2] = [Self::Training, Self::Extraction];

    fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Extraction => "extraction",
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Training => format!(
                "memory, training, {}, hidden {}, {} words",
                CASE.kind, CASE.hidden, CASE.vocabulary
            ),
            Self::Extraction => format!("memory, features, {BACKBONE}"),
        }
    }
}

/// Does what a process was started for by [`ours`]; says whether there was anything to do.
pub(crate) fn work_for_parent(arguments: &[String]) -> Result<bool, Failure> {
    let Some(place) = arguments.iter().position(|argument| argument == ARGUMENT) else {
        return Ok(false);
    };
    let name = arguments.get(place + 1).map_or("", String::as_str);
    let work = Work::ALL.into_iter().find(|work| work.name() == name);
    match work.ok_or_else(|| format!("{ARGUMENT} {name}: no such work"))? {
        Work::Training => train()?,
        Work::Extraction => extract()?,
    }
    println!("{}", peak()?);
    Ok(true)
}

fn train() -> Result<(), Failure> {
    let batches = batches(CASE.vocabulary);
    let mut training = Training::new(CASE)?;
    (0..ROUNDS).try_for_each(|_| training.train(&batches))
}

fn extract() -> Result<(), Failure> {
    let network = Network::load(BACKBONE)?;
    (0..ROUNDS).try_for_each(|_| network.forward())
}

/// The most bytes that this process ever had in memory.
fn peak() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(1024.0
        * kilobytes
            .ok_or("the system does not tell the peak")?
            .parse::<f64>()?)
}

pub(crate) fn print(table: &mut Table, peers: &Peers) -> Result<(), Failure> {
    let bare = bare(peers)?;
    Work::ALL.into_iter().try_for_each(|work| {
        table.print(row(work, ours(work)?, theirs(work, peers)?, bare));
        Ok(())
    })
}

/// In a process of its own: this program once more.
fn ours(work: Work) -> Result<f64, Failure> {
    // Random weights are drawn and kept by whoever needs them first; here that shall not count.
    if work == Work::Extraction {
        Network::load(BACKBONE)?;
    }
    let output = Command::new(std::env::current_exe()?)
        .args([ARGUMENT, work.name()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn theirs(work: Work, peers: &Peers) -> Result<Option<f64>, Failure> {
    let peer = match work {
        Work::Training => {
            let baseline = Baseline::TorchAsUsuallyWritten.start(peers, CASE, &batches(CASE.vocabulary))?;
            baseline.map(|baseline| baseline.peer)
        }
        Work::Extraction => peers.start(features::SCRIPT, &features::order(&Network::load(BACKBONE)?, 1))?,
    };
    let Some(mut peer) = peer else { return Ok(None) };
    for _ in 0..ROUNDS {
        peer.round()?;
    }
    Ok(Some(peer.peak()?))
}

fn bare(peers: &Peers) -> Result<Option<f64>, Failure> {
    let peer = peers.start(BARE, &json!({}))?;
    peer.map(|mut peer| peer.peak()).transpose()
}

fn row(work: Work, ours: f64, theirs: Option<f64>, bare: Option<f64>) -> Row {
    Row {
        figure: theirs.map(|theirs| Spread::single(ours / theirs)),
        goal: SHARE,
        work: work.describe(),
        ours: megabytes(ours),
        beside: match (theirs, bare) {
            (Some(theirs), Some(bare)) => {
                format!(
                    "{}, PyTorch; {} imported alone",
                    megabytes(theirs),
                    megabytes(bare)
                )
            }
            _ => "PyTorch".to_owned(),
        },
    }
}

fn megabytes(bytes: f64) -> String {
    format!("{:.0} MB", bytes / 1e6)
}
