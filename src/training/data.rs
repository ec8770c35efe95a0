//! What training reads: tokens and encoder inputs of the training and the dev split.

use super::batches::Example;
use super::settings::AugmentSettings;
use crate::data::Image;
use crate::model::ImageInputs;
use crate::search::DocumentFrequencies;
use crate::text::{TokenId, Vocabulary};
use crate::vision::augment::Augmentation;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A split as training sees it.
#[derive(Debug)]
pub struct TrainingSplit {
    /// The encoder's inputs; an image's place here is its place in the split.
    pub inputs: ImageInputs,
    others: OtherViews,
    /// The images' keys.
    pub keys: Vec<String>,
    /// All captions, image after image.
    pub captions: Vec<EncodedCaption>,
    /// Every image's captions in words, to score against.
    pub references: Vec<Vec<Vec<String>>>,
}

/// The encoder's inputs of images that are seen in other ways than they were taken.
#[derive(Debug, Default)]
struct OtherViews {
    mirrored: Option<ImageInputs>,
    windows: Vec<ImageInputs>,
}

/// A caption in token ids, without markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCaption {
    /// The place of its image.
    pub image: usize,
    /// Its words.
    pub words: Vec<TokenId>,
}

impl TrainingSplit {
    /// Encodes the captions of `images`, whose inputs are `inputs`, in the same order. Captions are cut after
    /// `longest` words.
    pub fn new(inputs: ImageInputs, images: &[&Image], vocabulary: &Vocabulary, longest: usize) -> Self {
        let captions = images.iter().enumerate().flat_map(|(place, image)| {
            image.captions.iter().map(move |caption| {
                let mut words = vocabulary.encode(&caption.tokens);
                words.truncate(longest);
                EncodedCaption { image: place, words }
            })
        });
        let tokens = |image: &&Image| {
            image
                .captions
                .iter()
                .map(|caption| caption.tokens.clone())
                .collect()
        };
        Self {
            keys: images.iter().map(|image| image.key.clone()).collect(),
            captions: captions.collect(),
            references: images.iter().map(tokens).collect(),
            inputs,
            others: OtherViews::default(),
        }
    }

    /// Adds the inputs of the same images, in the same order, seen in another way.
    pub fn add(&mut self, view: Augmentation, inputs: ImageInputs) {
        match view {
            Augmentation::None => self.inputs = inputs,
            Augmentation::HFlip => self.others.mirrored = Some(inputs),
            Augmentation::Crop(_) => self.others.windows.push(inputs),
        }
    }

    /// The inputs of some images, each in a view that is drawn for it.
    pub(super) fn inputs_of(
        &self,
        images: &[usize],
        settings: &AugmentSettings,
        stream: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        let read = |&image: &usize| self.draw_view(settings, stream).read(&[image]);
        images.iter().flat_map(read).collect()
    }

    fn draw_view(&self, settings: &AugmentSettings, stream: &mut ChaCha8Rng) -> &ImageInputs {
        let windows = &self.others.windows;
        if !windows.is_empty() && stream.random::<f32>() < settings.random_crop_prob {
            return &windows[stream.random_range(0..windows.len())];
        }
        match &self.others.mirrored {
            Some(mirrored) if stream.random::<f32>() < settings.hflip_prob => mirrored,
            _ => &self.inputs,
        }
    }

    /// In how many images each n-gram of the captions is written of.
    pub fn ngrams(&self) -> DocumentFrequencies {
        let of_images = self.captions.chunk_by(|one, next| one.image == next.image);
        let words: Vec<Vec<Vec<TokenId>>> = of_images
            .map(|captions| captions.iter().map(|caption| caption.words.clone()).collect())
            .collect();
        DocumentFrequencies::of(words.iter().map(Vec::as_slice))
    }

    /// The captions as batching sees them.
    pub fn examples(&self) -> Vec<Example> {
        let example = |caption: &EncodedCaption| Example {
            image: caption.image,
            length: caption.words.len(),
        };
        self.captions.iter().map(example).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::random_stream;

    const IMAGES: usize = 3000;

    /// Inputs of one number, the same for every image.
    fn inputs(value: f32) -> ImageInputs {
        ImageInputs::in_memory(vec![value; IMAGES], 1)
    }

    fn shares(views: &[Augmentation], settings: &AugmentSettings) -> [f32; 4] {
        let mut split = TrainingSplit {
            inputs: inputs(0.0),
            others: OtherViews::default(),
            keys: Vec::new(),
            captions: Vec::new(),
            references: Vec::new(),
        };
        for &view in views {
            let value = match view {
                Augmentation::None => 0.0,
                Augmentation::HFlip => 1.0,
                Augmentation::Crop(number) => 1.0 + number as f32,
            };
            split.add(view, inputs(value));
        }
        let images: Vec<usize> = (0..IMAGES).collect();
        let seen = split.inputs_of(&images, settings, &mut random_stream(3, "views", 1));
        [0.0, 1.0, 2.0, 3.0].map(|view| seen.iter().filter(|&&x| x == view).count() as f32 / IMAGES as f32)
    }

    #[track_caller]
    fn assert_shares(found: [f32; 4], expected: [f32; 4]) {
        for (one, other) in found.into_iter().zip(expected) {
            assert!((one - other).abs() < 0.04, "{found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn images_are_seen_in_the_shares_that_are_asked_for() {
        let settings = AugmentSettings {
            hflip_prob: 0.25,
            random_crops: 2,
            random_crop_prob: 0.6,
        };
        let (mirrored, one, two) = (Augmentation::HFlip, Augmentation::Crop(1), Augmentation::Crop(2));
        let of = |views: &[Augmentation]| shares(views, &settings);
        assert_shares(of(&[mirrored, one, two]), [0.3, 0.1, 0.3, 0.3]);
        assert_shares(of(&[mirrored]), [0.75, 0.25, 0.0, 0.0]);
        assert_shares(of(&[one, two]), [0.4, 0.0, 0.3, 0.3]);
        assert_eq!(of(&[]), [1.0, 0.0, 0.0, 0.0]);
    }
}
