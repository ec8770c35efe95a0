//! Batches of captions of random words, as long as people's captions are.

use cutline::decoders::CaptionBatch;
use cutline::text::TokenId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Captions of a batch.
pub(crate) const CAPTIONS: usize = 64;

/// Batches that a round trains on: evenly spread from the shortest captions to the longest.
const BATCHES: usize = 5;

/// Captions that are sorted by length among themselves before they are cut into batches, as in a training.
const POOL: usize = 50 * CAPTIONS;

/// The fewest words that a caption has in the histogram.
const SHORTEST: usize = 2;

/// How many of Flickr8k's 30,000 training captions have 2, 3, ... 30 words after the usual cleaning; the longer
/// ones, cut to 30, are among the last. With the end token, 11.8 targets in the mean.
const HISTOGRAM: [u32; 29] = [
    15, 125, 342, 856, 1952, 2502, 2925, 3310, 3315, 3136, 2764, 2334, 1865, 1336, 973, 684, 520, 367, 214,
    135, 105, 79, 51, 36, 19, 10, 9, 8, 13,
];

/// The longest caption with its start and end tokens: what those pad to who pad to the longest of the dataset.
pub(crate) const LONGEST: usize = SHORTEST + HISTOGRAM.len() - 1 + 2;

/// The first token that is a word: those before are special.
const FIRST_WORD: TokenId = 4;

/// Captions that people have written for an image.
const OF_A_IMAGE: usize = 5;

/// The same for every decoder and every peer that is measured: a caption of each image, all of similar length.
pub(crate) fn batches(vocabulary: usize) -> Vec<CaptionBatch> {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut lengths = lengths(&mut rng);
    lengths.sort_unstable();
    let batches = lengths.chunks(CAPTIONS);
    let every = batches.len() / BATCHES;
    batches
        .skip(every / 2)
        .step_by(every)
        .map(|lengths| batch(lengths, vocabulary, &mut rng))
        .collect()
}

/// As many batches, captions as they come, each of `images` images with all their captions.
pub(crate) fn batches_of_images(images: usize, vocabulary: usize) -> Vec<CaptionBatch> {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let lengths = lengths(&mut rng);
    lengths
        .chunks_exact(images * OF_A_IMAGE)
        .take(BATCHES)
        .map(|lengths| {
            let captions = random_captions(lengths, vocabulary, &mut rng);
            let of_images = captions.iter().enumerate();
            CaptionBatch::new(of_images.map(|(at, words)| (at / OF_A_IMAGE, words.as_slice())))
        })
        .collect()
}

fn lengths(rng: &mut ChaCha8Rng) -> Vec<usize> {
    let total: u32 = HISTOGRAM.iter().sum();
    let mut draw = || {
        let mut place = rng.random_range(0..total);
        let mut words = SHORTEST;
        for captions in HISTOGRAM {
            if place < captions {
                break;
            }
            place -= captions;
            words += 1;
        }
        words
    };
    (0..POOL).map(|_| draw()).collect()
}

/// Every caption of an image of its own.
fn batch(lengths: &[usize], vocabulary: usize, rng: &mut ChaCha8Rng) -> CaptionBatch {
    let captions = random_captions(lengths, vocabulary, rng);
    CaptionBatch::new(captions.iter().map(Vec::as_slice).enumerate())
}

fn random_captions(lengths: &[usize], vocabulary: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<TokenId>> {
    let mut caption = |&words: &usize| {
        (0..words)
            .map(|_| rng.random_range(FIRST_WORD..vocabulary as TokenId))
            .collect()
    };
    lengths.iter().map(&mut caption).collect()
}
