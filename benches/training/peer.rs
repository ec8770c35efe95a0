//! PyTorch beside us: the same decoder on captions of the same lengths, in a process of its own.

use crate::captions::CAPTIONS;
use crate::case::{CHANNELS, Case, DROPOUT, LABEL_SMOOTHING, LEARNING_RATE};
use crate::support::Failure;
use cutline::decoder::{CaptionBatch, DecoderKind};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Names the Python interpreter that runs the peer.
pub(crate) const VARIABLE: &str = "CUTLINE_PEERS";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/train_step_torch.py");

/// A peer that waits for its turn.
pub(crate) struct Peer {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The interpreter to run peers with, after saying so; `None`, after saying why and what to do, where there are
/// to be none.
pub(crate) fn interpreter() -> Option<String> {
    let Some(python) = std::env::var(VARIABLE).ok() else {
        println!(
            "NO PEER: set {VARIABLE} to a Python interpreter that has torch, to run PyTorch in turn with this\n  \
             python3 -m venv venv && venv/bin/pip install torch numpy && {VARIABLE}=venv/bin/python cargo bench --bench training"
        );
        return None;
    };
    let version = Command::new(&python)
        .args(["-c", "import torch; print(torch.__version__, end='')"])
        .output();
    match version {
        Ok(output) if output.status.success() => {
            println!("peer: PyTorch {}", String::from_utf8_lossy(&output.stdout));
            Some(python)
        }
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            let last = complaint
                .lines()
                .next_back()
                .unwrap_or("it does not say why")
                .to_owned();
            println!(
                "PEER SKIPPED: {python} cannot import torch ({last}): {python} -m pip install torch numpy"
            );
            None
        }
        Err(error) => {
            println!(
                "PEER SKIPPED: {python} cannot be run ({error}): give a Python interpreter in {VARIABLE}"
            );
            None
        }
    }
}

impl Peer {
    /// `None` where the script does not know the decoder.
    pub(crate) fn start(python: &str, case: Case, batches: &[CaptionBatch]) -> Result<Option<Self>, Failure> {
        if case.kind != DecoderKind::Merge {
            return Ok(None);
        }
        let mut process = Command::new(python)
            .arg(Path::new(SCRIPT))
            // Its threads sleep while they wait. By default they spin, and on a machine that others use too
            // that made its steps ten times as slow.
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take();
        let answers = process.stdout.take().ok_or("the peer has no output")?;
        let mut peer = Self {
            process,
            orders,
            answers: BufReader::new(answers),
        };
        let captions: Vec<Vec<usize>> = batches.iter().map(lengths).collect();
        peer.order(&json!({
            "hidden": case.hidden,
            "vocabulary": case.vocabulary,
            "channels": CHANNELS,
            "dropout": DROPOUT,
            "label_smoothing": LABEL_SMOOTHING,
            "learning_rate": LEARNING_RATE,
            "threads": rayon::current_num_threads(),
            "batches": captions,
        }))?;
        Ok(Some(peer))
    }

    /// Lets it train on all batches once; gives the seconds.
    pub(crate) fn round(&mut self) -> Result<f64, Failure> {
        self.order(&json!("round"))
    }

    fn order(&mut self, order: &serde_json::Value) -> Result<f64, Failure> {
        let orders = self.orders.as_mut().ok_or("the peer has gone")?;
        writeln!(orders, "{order}")?;
        orders.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer
            .trim()
            .parse()
            .map_err(|_| format!("the peer answered {answer:?}; its own words are above").into())
    }
}

/// It ends when there are no more orders.
impl Drop for Peer {
    fn drop(&mut self) {
        self.orders.take();
        // Nothing is left to be done about a peer that ends badly.
        let _ = self.process.wait();
    }
}

/// Targets of every caption, longest first.
fn lengths(batch: &CaptionBatch) -> Vec<usize> {
    let packing = &batch.packing;
    (0..CAPTIONS)
        .map(|caption| {
            (0..packing.steps())
                .take_while(|&step| packing.live(step) > caption)
                .count()
        })
        .collect()
}
