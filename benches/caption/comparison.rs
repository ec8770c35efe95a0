//! Who captions the image sooner.

use super::run::{BACKBONE, BEAM, BenchRun, HIDDEN, VOCABULARY, WORDS, search};
use crate::support::{
    Candidate, Failure, Goal, Library, Peer, Peers, Rounds, Row, Script, Spread, Table, timed,
};
use cutline::search::{CpuCaptioner, Search, cpu};
use cutline::suggest::Named;
use cutline::training::TrainedRun;
use cutline::vision::image_io;
use image::RgbImage;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;

/// Of our seconds, to PyTorch's.
const SHARE: Goal = Goal::AtMost(0.5);
/// From the program's start to its end.
const SECONDS: Goal = Goal::AtMost(0.5);

/// Captions of a round, but for the program, which writes one.
const CAPTIONS: usize = 5;

/// Indices of the candidates.
const WITHIN: usize = 0;
const PROGRAM: usize = 1;
const PEER: usize = 2;

const SCRIPT: Script = Script {
    file: "caption_torch.py",
    library: Library::Torch,
};

/// What captioning starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    File,
    /// Where the peer has nothing to decode images with.
    DecodedImage,
}

impl Start {
    fn name(self) -> &'static str {
        match self {
            Self::File => "from the JPEG",
            Self::DecodedImage => "JPEG decoded before",
        }
    }
}

pub(crate) fn print(table: &mut Table, peers: &Peers) -> Result<(), Failure> {
    let start = match peers.have(Library::Torch) && !peers.have(Library::Pillow) {
        true => Start::DecodedImage,
        false => Start::File,
    };
    let bench = BenchRun::new()?;
    let within = Within::new(&bench, start)?;
    let mut peer = start_peer(peers, &bench, start)?;
    let mut candidates: Vec<Candidate<'_>> = vec![
        Box::new(|| timed(|| (0..CAPTIONS).try_for_each(|_| within.caption()))),
        Box::new(|| timed(|| run_program(&bench))),
    ];
    candidates.extend(
        peer.as_mut()
            .map(|peer| -> Candidate<'_> { Box::new(|| peer.round()) }),
    );
    let rounds = Rounds::run(&mut candidates)?;
    drop(candidates);
    table.print(beside_torch(&rounds, start, peer.is_some()));
    table.print(of_the_program(rounds.spread(PROGRAM)));
    Ok(())
}

/// A captioner in this process.
struct Within {
    captioner: CpuCaptioner,
    path: PathBuf,
    /// Where captioning does not start from the file.
    image: Option<RgbImage>,
}

impl Within {
    fn new(bench: &BenchRun, start: Start) -> Result<Self, Failure> {
        let run = TrainedRun::open(bench.run(), &bench.run().best(), &cpu())?;
        let path = bench.image();
        let image = match start {
            Start::File => None,
            Start::DecodedImage => Some(image_io::decode(&path)?),
        };
        Ok(Self {
            captioner: CpuCaptioner::new(run.model, run.vocabulary, Some(&bench.weights))?,
            path,
            image,
        })
    }

    fn caption(&self) -> Result<(), Failure> {
        match &self.image {
            Some(image) => self.caption_decoded(image),
            None => self.caption_decoded(&image_io::decode(&self.path)?),
        }
    }

    fn caption_decoded(&self, image: &RgbImage) -> Result<(), Failure> {
        let captions = self.captioner.captions(
            &[self.captioner.preprocessor().apply(image)],
            &Search::by_probability(search()),
        )?;
        let best = captions.first().and_then(|captions| captions.first());
        check(best.map_or("", |best| &best.caption))
    }
}

/// `cutline caption`, with the settings of the run.
fn run_program(bench: &BenchRun) -> Result<(), Failure> {
    let output = Command::new(env!("CARGO_BIN_EXE_cutline"))
        .env("CUTLINE_ROOT", bench.root())
        .args(["caption", &bench.run().name()])
        .arg(bench.image())
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let line = String::from_utf8(output.stdout)?;
    check(line.split_once('\t').map_or("", |(_, caption)| caption))
}

fn check(caption: &str) -> Result<(), Failure> {
    match caption.split_whitespace().count() {
        WORDS => Ok(()),
        words => Err(format!("a caption of {words} words, not {WORDS}: {caption:?}").into()),
    }
}

fn start_peer(peers: &Peers, bench: &BenchRun, start: Start) -> Result<Option<Peer>, Failure> {
    let image = match start {
        Start::File => json!(bench.image()),
        Start::DecodedImage => json!(null),
    };
    let order = json!({
        "image": image,
        "network": BACKBONE.name(),
        "hidden": HIDDEN,
        "vocabulary": VOCABULARY,
        "beam": BEAM,
        "words": WORDS,
        "captions": CAPTIONS,
        "threads": rayon::current_num_threads(),
    });
    peers.start(SCRIPT, &order)
}

fn beside_torch(rounds: &Rounds, start: Start, has_peer: bool) -> Row {
    let each = |candidate| milliseconds(rounds.seconds(candidate) / CAPTIONS as f64);
    Row {
        figure: has_peer.then(|| rounds.ratio(WITHIN, PEER)),
        goal: SHARE,
        work: format!("caption, {BACKBONE}, beam {BEAM}, {}", start.name()),
        ours: each(WITHIN),
        beside: match has_peer {
            true => format!("{}, PyTorch, beams as a batch", each(PEER)),
            false => "PyTorch, beams as a batch".to_owned(),
        },
    }
}

fn of_the_program(seconds: Spread) -> Row {
    Row {
        figure: Some(seconds),
        goal: SECONDS,
        work: "caption, seconds from program start to its end".to_owned(),
        ours: milliseconds(seconds.median()),
        beside: String::new(),
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.0} ms", 1e3 * seconds)
}
