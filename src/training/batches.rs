//! Which captions are read together, and in which order.

use super::settings::Sampler;
use crate::nn::random_stream;
use rand::seq::SliceRandom;

/// Batches of a pool are sorted by length among themselves; a larger pool means less waste and less chance.
const BATCHES_A_POOL: usize = 50;

/// A caption as batching sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// The place of its image.
    pub image: usize,
    /// Its words.
    pub length: usize,
}

/// The batches of an epoch, as places in `examples`. The same seed and epoch give the same batches.
pub(super) fn plan(
    examples: &[Example],
    size: usize,
    sampler: Sampler,
    seed: u64,
    epoch: usize,
) -> Vec<Vec<usize>> {
    let mut rng = random_stream(seed, "order of captions", epoch as u64);
    match sampler {
        Sampler::Bucketed => {
            let mut order: Vec<usize> = (0..examples.len()).collect();
            order.shuffle(&mut rng);
            let mut batches: Vec<Vec<usize>> = Vec::with_capacity(examples.len() / size + 1);
            for pool in order.chunks_mut(size * BATCHES_A_POOL) {
                pool.sort_by_key(|&at| examples[at].length);
                batches.extend(pool.chunks(size).map(<[usize]>::to_vec));
            }
            batches.shuffle(&mut rng);
            batches
        }
        Sampler::ByImage => {
            let mut images = by_image(examples);
            images.shuffle(&mut rng);
            gather(images, size)
        }
    }
}

/// The places of every image's captions.
fn by_image(examples: &[Example]) -> Vec<Vec<usize>> {
    let images = examples
        .iter()
        .map(|example| example.image + 1)
        .max()
        .unwrap_or(0);
    let mut of_image = vec![Vec::new(); images];
    for (at, example) in examples.iter().enumerate() {
        of_image[example.image].push(at);
    }
    of_image.retain(|captions| !captions.is_empty());
    of_image
}

/// Whole groups together until a batch has `size` captions.
fn gather(groups: Vec<Vec<usize>>, size: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for group in groups {
        match batches.last_mut() {
            Some(batch) if batch.len() + group.len() <= size => batch.extend(group),
            _ => batches.push(group),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn examples(count: usize) -> Vec<Example> {
        (0..count)
            .map(|at| Example {
                image: at / 5,
                length: at * 37 % 19,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn every_caption_comes_once(count in 1usize..700, size in 5usize..70, seed: u64, images: bool) {
            let sampler = if images { Sampler::ByImage } else { Sampler::Bucketed };
            let batches = plan(&examples(count), size, sampler, seed, 3);
            prop_assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= size));
            let mut all = batches.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let plan = |epoch| plan(&examples(300), 16, Sampler::Bucketed, 9, epoch);
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn captions_of_a_batch_have_similar_lengths() {
        let examples = examples(3000);
        let spread = |batch: &Vec<usize>| {
            let lengths = batch.iter().map(|&at| examples[at].length);
            lengths.clone().max().unwrap() - lengths.min().unwrap()
        };
        let batches = plan(&examples, 64, Sampler::Bucketed, 1, 0);
        let mean = batches.iter().map(spread).sum::<usize>() as f32 / batches.len() as f32;
        assert!(mean < 2.0, "mean spread {mean} of 18");
    }

    #[test]
    fn images_stay_together() {
        let batches = plan(&examples(300), 20, Sampler::ByImage, 1, 0);
        assert!(
            batches
                .iter()
                .all(|batch| batch.len() == 20 && batch.chunks(5).all(|c| c[4] == c[0] + 4))
        );
    }
}
