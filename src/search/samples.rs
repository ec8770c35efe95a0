//! Several captions an image, drawn as likely as the decoder finds them: what training rewards.

use crate::decoders::{Writer, draw_word};
use crate::nn::cpu::slices::values;
use crate::nn::{Backend, DeviceResult, Regions, random_stream};
use crate::text::{END, START, TokenId};
use dfdx::prelude::HasShape;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// How many captions are drawn, how long they may be, and from which stream.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Captions for each image.
    pub count: usize,
    /// Words after which a caption is cut.
    pub longest: usize,
    /// Where draws start.
    pub seed: u64,
    /// Which of the draws of that seed these are.
    pub step: u64,
}

/// A caption that was drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its words, without markers.
    pub words: Vec<TokenId>,
    /// How it ended.
    pub end: SampleEnd,
}

/// How a caption ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleEnd {
    /// The end marker was drawn.
    Marker,
    /// It was as long as it may be.
    Cut,
}

/// Draws captions for all images of `regions`, `[images, regions, channels]`: `draw.count` for the first, as many for
/// the second, and so on.
///
/// Every word may be drawn, the unknown one and the other markers too. One that may not would never be made less likely,
/// and take all the probability that others lose.
///
/// # Errors
/// Those of the device.
pub fn draw_samples<D: Backend>(
    writer: &dyn Writer<D>,
    regions: Regions<D>,
    draw: Draw,
) -> DeviceResult<D, Vec<Sample>> {
    let images = regions.shape().0;
    let of_image: Vec<usize> = (0..images * draw.count).map(|row| row / draw.count).collect();
    let mut captions: Vec<Caption> = (0..of_image.len() as u64)
        .map(|row| Caption {
            words: Vec::with_capacity(draw.longest),
            stream: random_stream(draw.seed, "samples to reward", (draw.step << 20) | row),
        })
        .collect();
    let mut live: Vec<usize> = (0..captions.len()).collect();
    let mut state = writer.start(regions)?.select(&of_image)?;
    for _ in 0..draw.longest {
        let words: Vec<TokenId> = live.iter().map(|&row| captions[row].last()).collect();
        let (logits, after) = writer.step(state, &words)?;
        let width = logits.shape().1;
        let mut logits = values(&logits);
        let mut writing: Vec<&mut Caption> = live_captions(&mut captions, &live);
        let goes_on: Vec<bool> = writing
            .par_iter_mut()
            .zip(logits.par_chunks_exact_mut(width))
            .map(|(caption, logits)| caption.read_next(logits))
            .collect();
        let rows: Vec<usize> = (0..live.len()).filter(|&row| goes_on[row]).collect();
        live = rows.iter().map(|&row| live[row]).collect();
        if live.is_empty() {
            break; // a state of no rows cannot be selected
        }
        state = after.select(&rows)?;
    }
    let mut samples: Vec<Sample> = captions
        .into_iter()
        .map(|Caption { words, .. }| Sample {
            words,
            end: SampleEnd::Marker,
        })
        .collect();
    for row in live {
        samples[row].end = SampleEnd::Cut;
    }
    Ok(samples)
}

/// A caption in the making.
struct Caption {
    words: Vec<TokenId>,
    stream: ChaCha8Rng,
}

impl Caption {
    fn last(&self) -> TokenId {
        self.words.last().copied().unwrap_or(START)
    }

    /// Draws the next word; false if that is the end. The logits are used up.
    fn read_next(&mut self, logits: &mut [f32]) -> bool {
        let word = draw_word(logits, self.stream.random()) as TokenId;
        if word != END {
            self.words.push(word);
        }
        word != END
    }
}

/// The captions of these rows, which are in order.
fn live_captions<'a>(captions: &'a mut [Caption], live: &[usize]) -> Vec<&'a mut Caption> {
    let mut live = live.iter().copied().peekable();
    captions
        .iter_mut()
        .enumerate()
        .filter_map(|(row, caption)| live.next_if_eq(&row).map(|_| caption))
        .collect()
}
