//! Peers: the same work in another framework, each in a Python process that works when it is its turn.
//!
//! A peer is a script and an order, one line of JSON; what it answers to is in `benches/peers/serve.py`.

use super::Failure;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::NamedTempFile;

/// Names the Python interpreter that runs peers.
const VARIABLE: &str = "CUTLINE_PEERS";

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");

/// What a script imports beyond Python's own modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Torch,
    TensorFlow,
    Pillow,
}

impl Library {
    fn module(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::TensorFlow => "tensorflow",
            Self::Pillow => "PIL",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::TensorFlow => "tensorflow-cpu",
            Self::Pillow => "pillow",
        }
    }
}

/// A file of `benches/peers`, and what it cannot do without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) file: &'static str,
    pub(crate) library: Library,
}

/// The peers that can be run here.
pub(crate) struct Peers {
    python: String,
    libraries: Vec<Library>,
}

impl Peers {
    /// Those of the interpreter in [`VARIABLE`] that have all of their `wanted` libraries. Says which there are,
    /// and, loudly, which there are not and how to get them.
    pub(crate) fn find(wanted: &[Library]) -> Self {
        let Ok(python) = std::env::var(VARIABLE) else {
            println!("NO PEERS: set {VARIABLE} to a Python interpreter to run them in turn with this");
            println!(
                "  python3 -m venv venv && venv/bin/pip install {} && export {VARIABLE}=venv/bin/python",
                packages(wanted)
            );
            return Self {
                python: String::new(),
                libraries: Vec::new(),
            };
        };
        let here = |&library: &Library| match version(&python, library) {
            Ok(version) => {
                println!("peer's library: {} {version}", library.package());
                true
            }
            Err(why) => {
                println!(
                    "PEERS SKIPPED: {python} cannot import {} ({why}): {python} -m pip install {}",
                    library.module(),
                    packages(&[library])
                );
                false
            }
        };
        let libraries = wanted.iter().copied().filter(|library| here(library)).collect();
        Self { python, libraries }
    }

    pub(crate) fn have(&self, library: Library) -> bool {
        self.libraries.contains(&library)
    }

    /// Starts a peer, which then waits for its turn; `None` where its library is not there.
    pub(crate) fn start(&self, script: Script, order: &Value) -> Result<Option<Peer>, Failure> {
        if !self.have(script.library) {
            return Ok(None);
        }
        let words = NamedTempFile::new()?;
        let mut process = Command::new(&self.python)
            .arg(Path::new(SCRIPTS).join(script.file))
            // Its threads sleep while they wait. By default they spin, and on a machine that others use too
            // that made its steps ten times as slow.
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(words.reopen()?)
            .spawn()?;
        let orders = process.stdin.take();
        let answers = process.stdout.take().ok_or("the peer has no output")?;
        let mut peer = Peer {
            process,
            orders,
            answers: BufReader::new(answers),
            words,
        };
        peer.order(order)?;
        Ok(Some(peer))
    }
}

fn packages(libraries: &[Library]) -> String {
    let mut packages: Vec<&str> = libraries.iter().map(|library| library.package()).collect();
    packages.push("numpy");
    packages.join(" ")
}

/// The version of a library, or the last that Python says of why there is none.
fn version(python: &str, library: Library) -> Result<String, String> {
    let module = library.module();
    let output = Command::new(python)
        .args([
            "-c",
            &format!("import {module}; print({module}.__version__, end='')"),
        ])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(complaint
        .lines()
        .next_back()
        .unwrap_or("it does not say why")
        .to_owned())
}

/// A peer that waits for its turn.
pub(crate) struct Peer {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// What it says beside its answers: of interest only where it fails.
    words: NamedTempFile,
}

impl Peer {
    /// Lets it do its work once; gives the seconds.
    pub(crate) fn round(&mut self) -> Result<f64, Failure> {
        self.order(&json!("round"))
    }

    /// The most bytes that it ever had in memory.
    pub(crate) fn peak(&mut self) -> Result<f64, Failure> {
        self.order(&json!("peak"))
    }

    fn order(&mut self, order: &Value) -> Result<f64, Failure> {
        let orders = self.orders.as_mut().ok_or("the peer has gone")?;
        writeln!(orders, "{order}")?;
        orders.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().map_err(|_| {
            let words = std::fs::read_to_string(self.words.path()).unwrap_or_default();
            format!("the peer answered {answer:?}, and said:\n{words}").into()
        })
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
