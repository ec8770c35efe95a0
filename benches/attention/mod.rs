//! The training step of the decoder that attends, beside PyTorch's.

use crate::support::{Candidate, Failure, Goal, Library, Peer, Peers, Rounds, Row, Script, Table, timed};
use crate::training::baseline::targets;
use crate::training::captions::{batches, batches_of_images};
use crate::training::case::{DROPOUT, Images, LABEL_SMOOTHING, LEARNING_RATE, Training};
use cutline::decoders::{CaptionBatch, DecoderKind, DecoderSettings};
use serde_json::json;

/// Of our tokens a second, to PyTorch's.
const SPEED: Goal = Goal::AtLeast(2.0);

/// Units of the LSTM, dimensions of embeddings and of the comparison.
const HIDDEN: usize = 320;
/// Flickr8k's words seen five times, and the special tokens.
const VOCABULARY: usize = 2541;

/// EfficientNet-Lite0's grid, and as many images as have 80 captions.
const IMAGES: Images = Images {
    count: 16,
    regions: 49,
    channels: 1280,
};

const SCRIPT: Script = Script {
    file: "attention_torch.py",
    library: Library::Torch,
};

/// Indices of the candidates.
const OURS: usize = 0;
const PEER: usize = 1;

pub(crate) fn print(table: &mut Table, peers: &Peers) -> Result<(), Failure> {
    let (our_batches, their_batches) = (batches_of_images(IMAGES.count, VOCABULARY), batches(VOCABULARY));
    let mut training = Training::of(&settings(), VOCABULARY, IMAGES)?;
    let mut peer = start_peer(peers, &their_batches)?;
    let mut candidates: Vec<Candidate<'_>> = vec![Box::new(|| timed(|| training.train(&our_batches)))];
    candidates.extend(
        peer.as_mut()
            .map(|peer| -> Candidate<'_> { Box::new(|| peer.round()) }),
    );
    let rounds = Rounds::run(&mut candidates)?;
    drop(candidates);
    let rate = |batches, candidate| tokens(batches) / rounds.seconds(candidate);
    let beside = "PyTorch as usually written";
    table.print(Row {
        figure: peer.is_some().then(|| {
            let share = tokens(&our_batches) / tokens(&their_batches);
            rounds.ratio(PEER, OURS).times(share)
        }),
        goal: SPEED,
        work: format!(
            "training, soft-attention, hidden {HIDDEN}, {} regions",
            IMAGES.regions
        ),
        ours: format!("{:.0} tokens/s", rate(&our_batches, OURS)),
        beside: match peer {
            Some(_) => format!("{:.0} tokens/s, {beside}", rate(&their_batches, PEER)),
            None => beside.to_owned(),
        },
    });
    Ok(())
}

fn settings() -> DecoderSettings {
    DecoderSettings {
        kind: DecoderKind::SoftAttention,
        hidden_size: HIDDEN,
        embedding_size: HIDDEN,
        attention_size: HIDDEN,
        dropout: DROPOUT,
        ..DecoderSettings::default()
    }
}

fn tokens(batches: &[CaptionBatch]) -> f64 {
    batches.iter().map(CaptionBatch::tokens).sum::<usize>() as f64
}

/// It takes an image for each caption, and captions of similar length together.
fn start_peer(peers: &Peers, batches: &[CaptionBatch]) -> Result<Option<Peer>, Failure> {
    let order = json!({
        "hidden": HIDDEN,
        "vocabulary": VOCABULARY,
        "regions": IMAGES.regions,
        "channels": IMAGES.channels,
        "dropout": DROPOUT,
        "label_smoothing": LABEL_SMOOTHING,
        "learning_rate": LEARNING_RATE,
        "threads": rayon::current_num_threads(),
        "batches": batches.iter().map(targets).collect::<Vec<_>>(),
    });
    peers.start(SCRIPT, &order)
}
