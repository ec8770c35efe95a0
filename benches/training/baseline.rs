//! Who trains the merge decoder on captions of the same lengths.

use super::captions::{self, CAPTIONS};
use super::case::{CHANNELS, Case, LABEL_SMOOTHING, LEARNING_RATE};
use crate::support::{Failure, Library, Peer, Peers, Script};
use cutline::decoders::{CaptionBatch, DecoderKind};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// A way to train it elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Baseline {
    /// Captions in shuffled order, padded to the longest of their batch; Adam as it comes.
    TorchAsUsuallyWritten,
    /// No padding anywhere, captions sorted by length as ours are, the fused Adam.
    TorchAtItsBest,
    /// Every prefix of every caption a sample, padded to the longest caption there is; targets one-hot.
    KerasAsPublished,
}

/// Captions of a batch of the published scripts: some 380 samples.
const PUBLISHED_CAPTIONS: usize = 32;

impl Baseline {
    pub(crate) const ALL: [Self; 3] = [
        Self::TorchAsUsuallyWritten,
        Self::TorchAtItsBest,
        Self::KerasAsPublished,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TorchAsUsuallyWritten => "PyTorch as usually written",
            Self::TorchAtItsBest => "PyTorch at its best",
            Self::KerasAsPublished => "Keras as published",
        }
    }

    fn script(self) -> Script {
        match self {
            Self::TorchAsUsuallyWritten | Self::TorchAtItsBest => Script {
                file: "training_torch.py",
                library: Library::Torch,
            },
            Self::KerasAsPublished => Script {
                file: "training_keras.py",
                library: Library::TensorFlow,
            },
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::TorchAsUsuallyWritten => "padded",
            Self::TorchAtItsBest => "packed",
            Self::KerasAsPublished => "prefixes",
        }
    }

    /// How it groups the captions that we train on in `batches`; a caption is its number of targets.
    fn batches(self, batches: &[CaptionBatch]) -> Vec<Vec<usize>> {
        let ours: Vec<Vec<usize>> = batches.iter().map(targets).collect();
        match self {
            Self::TorchAtItsBest => ours,
            Self::TorchAsUsuallyWritten => {
                let mut all = ours.concat();
                all.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
                all.chunks(CAPTIONS).map(<[usize]>::to_vec).collect()
            }
            // It is slow: one batch, whose captions are spread over all lengths.
            Self::KerasAsPublished => {
                let all = ours.concat();
                let every = all.len() / PUBLISHED_CAPTIONS;
                let captions = all.into_iter().skip(every / 2).step_by(every);
                vec![captions.take(PUBLISHED_CAPTIONS).collect()]
            }
        }
    }

    /// `None` where it does not know the decoder, or is not here.
    pub(crate) fn start(
        self,
        peers: &Peers,
        case: Case,
        batches: &[CaptionBatch],
    ) -> Result<Option<Started>, Failure> {
        if case.kind != DecoderKind::Merge {
            return Ok(None);
        }
        let batches = self.batches(batches);
        let order = json!({
            "form": self.form(),
            "hidden": case.hidden,
            "vocabulary": case.vocabulary,
            "channels": CHANNELS,
            "dropout": case.dropout,
            "label_smoothing": LABEL_SMOOTHING,
            "learning_rate": LEARNING_RATE,
            "threads": rayon::current_num_threads(),
            "batches": batches,
            "longest": captions::LONGEST,
        });
        let peer = peers.start(self.script(), &order)?;
        Ok(peer.map(|peer| Started {
            baseline: self,
            tokens: batches.iter().flatten().sum(),
            peer,
        }))
    }
}

/// A baseline that waits for its turn.
pub(crate) struct Started {
    pub(crate) baseline: Baseline,
    /// Targets that it trains on in a round, padding not counted.
    pub(crate) tokens: usize,
    pub(crate) peer: Peer,
}

/// Targets of every caption, longest first.
pub(crate) fn targets(batch: &CaptionBatch) -> Vec<usize> {
    let packing = &batch.packing;
    (0..packing.sequences())
        .map(|caption| {
            (0..packing.steps())
                .take_while(|&step| packing.live(step) > caption)
                .count()
        })
        .collect()
}
