//! The data of a training: captions in token ids, encoder inputs, and the batches of an epoch.

use super::settings::Sampler;
use crate::data::Image;
use crate::decoders::CaptionBatch;
use crate::model::{AugmentSettings, ImageInputs};
use crate::nn::random_stream;
use crate::search::DocumentFrequencies;
use crate::text::{TokenId, Vocabulary};
use crate::vision::augment::Augmentation;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The bucketed sampler sorts by length within this many batches; more batches mean less padding and less randomness.
const BATCHES_PER_BUCKET: usize = 50;

/// A split in token ids, with its encoder inputs. Images are numbered in the order of the split.
#[derive(Debug)]
pub struct EncodedSplit {
    /// Encoder inputs of the original images.
    pub inputs: ImageInputs,
    augmented: AugmentedInputs,
    /// Keys of the images.
    pub keys: Vec<String>,
    /// All captions, sorted by image.
    pub captions: Vec<EncodedCaption>,
}

/// Encoder inputs of augmented images.
#[derive(Debug, Default)]
struct AugmentedInputs {
    flipped: Option<ImageInputs>,
    crops: Vec<ImageInputs>,
}

/// A caption in token ids, without start and end tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCaption {
    /// The number of its image.
    pub image: usize,
    /// Its words, truncated.
    pub words: Vec<TokenId>,
}

/// The dev split: as training reads it, and the captions in words to score against.
#[derive(Debug)]
pub struct DevSplit {
    /// The split in token ids.
    pub encoded: EncodedSplit,
    /// The captions of every image. Words outside the vocabulary count in the scores, so token ids do not suffice.
    pub references: Vec<Vec<Vec<String>>>,
}

impl DevSplit {
    /// Encodes the captions of `images`; see [`EncodedSplit::new`].
    pub fn new(inputs: ImageInputs, images: &[&Image], vocabulary: &Vocabulary, max_length: usize) -> Self {
        let tokens = |image: &&Image| {
            let captions = image.captions.iter();
            captions.map(|caption| caption.tokens.clone()).collect()
        };
        Self {
            encoded: EncodedSplit::new(inputs, images, vocabulary, max_length),
            references: images.iter().map(tokens).collect(),
        }
    }
}

impl EncodedSplit {
    /// Encodes the captions of `images`, truncated to `max_length` words; `inputs` are those of the same images.
    pub fn new(inputs: ImageInputs, images: &[&Image], vocabulary: &Vocabulary, max_length: usize) -> Self {
        let captions = images.iter().enumerate().flat_map(|(number, image)| {
            image.captions.iter().map(move |caption| {
                let mut words = vocabulary.encode(&caption.tokens);
                words.truncate(max_length);
                EncodedCaption { image: number, words }
            })
        });
        Self {
            keys: images.iter().map(|image| image.key.clone()).collect(),
            captions: captions.collect(),
            inputs,
            augmented: AugmentedInputs::default(),
        }
    }

    /// The number of images.
    pub fn images(&self) -> usize {
        self.keys.len()
    }

    /// Adds encoder inputs of the same images, augmented.
    pub fn add(&mut self, augmentation: Augmentation, inputs: ImageInputs) {
        match augmentation {
            Augmentation::None => self.inputs = inputs,
            Augmentation::HFlip => self.augmented.flipped = Some(inputs),
            Augmentation::Crop(_) => self.augmented.crops.push(inputs),
        }
    }

    /// Encoder inputs of some images, each with an augmentation of its own.
    pub(super) fn augmented_inputs(
        &self,
        images: &[usize],
        settings: &AugmentSettings,
        stream: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        let read = |&image: &usize| self.augment(settings, stream).read(&[image]);
        images.iter().flat_map(read).collect()
    }

    fn augment(&self, settings: &AugmentSettings, stream: &mut ChaCha8Rng) -> &ImageInputs {
        let crops = &self.augmented.crops;
        if !crops.is_empty() && stream.random::<f32>() < settings.random_crop_prob {
            return &crops[stream.random_range(0..crops.len())];
        }
        match &self.augmented.flipped {
            Some(flipped) if stream.random::<f32>() < settings.hflip_prob => flipped,
            _ => &self.inputs,
        }
    }

    /// The images of some captions, each once, in ascending order.
    pub(super) fn images_of(&self, captions: &[usize]) -> Vec<usize> {
        let mut images: Vec<usize> = captions.iter().map(|&i| self.captions[i].image).collect();
        images.sort_unstable();
        images.dedup();
        images
    }

    /// The images of some captions, each once, and the captions as a batch that refers to them.
    pub(super) fn batch(&self, captions: &[usize]) -> (Vec<usize>, CaptionBatch) {
        let images = self.images_of(captions);
        let batch = CaptionBatch::new(captions.iter().map(|&i| {
            let caption = &self.captions[i];
            let row = images.partition_point(|&image| image < caption.image);
            (row, caption.words.as_slice())
        }));
        (images, batch)
    }

    /// Document frequencies of the n-grams; a document is an image.
    pub fn ngrams(&self) -> DocumentFrequencies {
        let of_images = self.captions.chunk_by(|one, next| one.image == next.image);
        let words: Vec<Vec<Vec<TokenId>>> = of_images
            .map(|captions| captions.iter().map(|caption| caption.words.clone()).collect())
            .collect();
        DocumentFrequencies::from_images(words.iter().map(Vec::as_slice))
    }

    /// The batches of an epoch, as indices of captions. The same seed and epoch give the same batches.
    pub(super) fn batches(&self, sampler: Sampler, size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
        let mut rng = random_stream(seed, "order of captions", epoch as u64);
        match sampler {
            Sampler::Bucketed => bucketed(&self.captions, size, &mut rng),
            Sampler::ByImage => {
                let mut images = captions_by_image(&self.captions);
                images.shuffle(&mut rng);
                join_groups(images, size)
            }
        }
    }
}

/// Batches of captions of similar length.
fn bucketed(captions: &[EncodedCaption], size: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..captions.len()).collect();
    order.shuffle(rng);
    let mut batches: Vec<Vec<usize>> = Vec::with_capacity(captions.len() / size + 1);
    for bucket in order.chunks_mut(size * BATCHES_PER_BUCKET) {
        bucket.sort_by_key(|&i| captions[i].words.len());
        batches.extend(bucket.chunks(size).map(<[usize]>::to_vec));
    }
    batches.shuffle(rng);
    batches
}

/// The indices of every image's captions.
fn captions_by_image(captions: &[EncodedCaption]) -> Vec<Vec<usize>> {
    let images = captions.iter().map(|caption| caption.image + 1).max();
    let mut by_image = vec![Vec::new(); images.unwrap_or(0)];
    for (i, caption) in captions.iter().enumerate() {
        by_image[caption.image].push(i);
    }
    by_image.retain(|captions| !captions.is_empty());
    by_image
}

/// Joins whole groups into batches of at most `size` captions.
fn join_groups(groups: Vec<Vec<usize>>, size: usize) -> Vec<Vec<usize>> {
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

    const IMAGES: usize = 3000;

    /// Inputs of one number, the same for every image.
    fn inputs(value: f32) -> ImageInputs {
        ImageInputs::in_memory(vec![value; IMAGES], 1)
    }

    fn split(captions: usize) -> EncodedSplit {
        let caption = |i: usize| EncodedCaption {
            image: i / 5,
            words: vec![0; i * 37 % 19],
        };
        EncodedSplit {
            inputs: inputs(0.0),
            augmented: AugmentedInputs::default(),
            keys: Vec::new(),
            captions: (0..captions).map(caption).collect(),
        }
    }

    fn fractions(augmentations: &[Augmentation], settings: &AugmentSettings) -> [f32; 4] {
        let mut split = split(0);
        for &augmentation in augmentations {
            let value = match augmentation {
                Augmentation::None => 0.0,
                Augmentation::HFlip => 1.0,
                Augmentation::Crop(number) => 1.0 + number as f32,
            };
            split.add(augmentation, inputs(value));
        }
        let images: Vec<usize> = (0..IMAGES).collect();
        let drawn = split.augmented_inputs(&images, settings, &mut random_stream(3, "views", 1));
        [0.0, 1.0, 2.0, 3.0].map(|view| drawn.iter().filter(|&&x| x == view).count() as f32 / IMAGES as f32)
    }

    #[track_caller]
    fn assert_near(fractions: [f32; 4], expected: [f32; 4]) {
        for (one, other) in fractions.into_iter().zip(expected) {
            assert!(
                (one - other).abs() < 0.04,
                "{fractions:?} instead of {expected:?}"
            );
        }
    }

    #[test]
    fn augmentations_are_drawn_with_their_probabilities() {
        let settings = AugmentSettings {
            hflip_prob: 0.25,
            random_crops: 2,
            random_crop_prob: 0.6,
        };
        let (flip, one, two) = (Augmentation::HFlip, Augmentation::Crop(1), Augmentation::Crop(2));
        let of = |augmentations: &[Augmentation]| fractions(augmentations, &settings);
        assert_near(of(&[flip, one, two]), [0.3, 0.1, 0.3, 0.3]);
        assert_near(of(&[flip]), [0.75, 0.25, 0.0, 0.0]);
        assert_near(of(&[one, two]), [0.4, 0.0, 0.3, 0.3]);
        assert_eq!(of(&[]), [1.0, 0.0, 0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn epoch_contains_every_caption_once(count in 1usize..700, size in 5usize..70, seed: u64, by_image: bool) {
            let sampler = if by_image { Sampler::ByImage } else { Sampler::Bucketed };
            let batches = split(count).batches(sampler, size, seed, 3);
            prop_assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= size));
            let mut all = batches.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn batches_repeat_for_an_epoch_and_differ_between_epochs() {
        let split = split(300);
        let batches = |epoch| split.batches(Sampler::Bucketed, 16, 9, epoch);
        assert_eq!(batches(1), batches(1));
        assert_ne!(batches(1), batches(2));
    }

    #[test]
    fn bucketed_batches_have_similar_lengths() {
        let split = split(3000);
        let spread = |batch: &Vec<usize>| {
            let lengths = batch.iter().map(|&i| split.captions[i].words.len());
            lengths.clone().max().unwrap() - lengths.min().unwrap()
        };
        let batches = split.batches(Sampler::Bucketed, 64, 1, 0);
        let mean = batches.iter().map(spread).sum::<usize>() as f32 / batches.len() as f32;
        assert!(mean < 2.0, "mean spread {mean} of 18");
    }

    #[test]
    fn by_image_batches_keep_images_together() {
        let batches = split(300).batches(Sampler::ByImage, 20, 1, 0);
        assert!(
            batches
                .iter()
                .all(|batch| batch.len() == 20 && batch.chunks(5).all(|c| c[4] == c[0] + 4))
        );
    }
}
