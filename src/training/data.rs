//! What training reads: tokens and encoder inputs of the training and the dev split.

use super::batches::Example;
use super::settings::TrainingSettings;
use crate::captioning::{NGramTable, PhotoInputs};
use crate::dataset::Photo;
use crate::text::{TokenId, Vocabulary};
use crate::vision::view::View;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A split as training sees it.
#[derive(Debug)]
pub struct TrainingSplit {
    /// The encoder's inputs; a photo's place here is its place in the split.
    pub inputs: PhotoInputs,
    others: OtherViews,
    /// The photos' keys.
    pub keys: Vec<String>,
    /// All captions, photo after photo.
    pub captions: Vec<EncodedCaption>,
    /// Every photo's captions in words, to score against.
    pub references: Vec<Vec<Vec<String>>>,
}

/// The encoder's inputs of photos that are seen in other ways than they were taken.
#[derive(Debug, Default)]
struct OtherViews {
    mirrored: Option<PhotoInputs>,
    windows: Vec<PhotoInputs>,
}

/// A caption in token ids, without markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCaption {
    /// The place of its photo.
    pub photo: usize,
    /// Its words.
    pub words: Vec<TokenId>,
}

impl TrainingSplit {
    /// Encodes the captions of `photos`, whose inputs are `inputs`, in the same order. Captions are cut after
    /// `longest` words.
    pub fn new(inputs: PhotoInputs, photos: &[&Photo], vocabulary: &Vocabulary, longest: usize) -> Self {
        let captions = photos.iter().enumerate().flat_map(|(place, photo)| {
            photo.captions.iter().map(move |caption| {
                let mut words = vocabulary.encode(&caption.tokens);
                words.truncate(longest);
                EncodedCaption { photo: place, words }
            })
        });
        let tokens = |photo: &&Photo| {
            photo
                .captions
                .iter()
                .map(|caption| caption.tokens.clone())
                .collect()
        };
        Self {
            keys: photos.iter().map(|photo| photo.key.clone()).collect(),
            captions: captions.collect(),
            references: photos.iter().map(tokens).collect(),
            inputs,
            others: OtherViews::default(),
        }
    }

    /// Adds the inputs of the same photos, in the same order, seen in another way.
    pub fn add(&mut self, view: View, inputs: PhotoInputs) {
        match view {
            View::Usual => self.inputs = inputs,
            View::Mirrored => self.others.mirrored = Some(inputs),
            View::Window(_) => self.others.windows.push(inputs),
        }
    }

    /// The inputs of some photos, each in a view that is drawn for it.
    pub(super) fn inputs_of(
        &self,
        photos: &[usize],
        settings: &TrainingSettings,
        stream: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        let read = |&photo: &usize| self.draw_view(settings, stream).read(&[photo]);
        photos.iter().flat_map(read).collect()
    }

    fn draw_view(&self, settings: &TrainingSettings, stream: &mut ChaCha8Rng) -> &PhotoInputs {
        let windows = &self.others.windows;
        if !windows.is_empty() && stream.random::<f32>() < settings.windowed {
            return &windows[stream.random_range(0..windows.len())];
        }
        match &self.others.mirrored {
            Some(mirrored) if stream.random::<f32>() < settings.mirrored => mirrored,
            _ => &self.inputs,
        }
    }

    /// In how many photos each n-gram of the captions is written of.
    pub fn ngrams(&self) -> NGramTable {
        let of_photos = self.captions.chunk_by(|one, next| one.photo == next.photo);
        let words: Vec<Vec<Vec<TokenId>>> = of_photos
            .map(|captions| captions.iter().map(|caption| caption.words.clone()).collect())
            .collect();
        NGramTable::of(words.iter().map(Vec::as_slice))
    }

    /// The captions as batching sees them.
    pub fn examples(&self) -> Vec<Example> {
        let example = |caption: &EncodedCaption| Example {
            photo: caption.photo,
            length: caption.words.len(),
        };
        self.captions.iter().map(example).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::random_stream;

    const PHOTOS: usize = 3000;

    /// Inputs of one number, the same for every photo.
    fn inputs(value: f32) -> PhotoInputs {
        PhotoInputs::in_memory(vec![value; PHOTOS], 1)
    }

    fn shares(views: &[View], settings: &TrainingSettings) -> [f32; 4] {
        let mut split = TrainingSplit {
            inputs: inputs(0.0),
            others: OtherViews::default(),
            keys: Vec::new(),
            captions: Vec::new(),
            references: Vec::new(),
        };
        for &view in views {
            let value = match view {
                View::Usual => 0.0,
                View::Mirrored => 1.0,
                View::Window(number) => 1.0 + number as f32,
            };
            split.add(view, inputs(value));
        }
        let photos: Vec<usize> = (0..PHOTOS).collect();
        let seen = split.inputs_of(&photos, settings, &mut random_stream(3, "views", 1));
        [0.0, 1.0, 2.0, 3.0].map(|view| seen.iter().filter(|&&x| x == view).count() as f32 / PHOTOS as f32)
    }

    #[track_caller]
    fn assert_shares(found: [f32; 4], expected: [f32; 4]) {
        for (one, other) in found.into_iter().zip(expected) {
            assert!((one - other).abs() < 0.04, "{found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn photos_are_seen_in_the_shares_that_are_asked_for() {
        let settings = TrainingSettings {
            mirrored: 0.25,
            windows: 2,
            windowed: 0.6,
            ..TrainingSettings::default()
        };
        let (mirrored, one, two) = (View::Mirrored, View::Window(1), View::Window(2));
        let of = |views: &[View]| shares(views, &settings);
        assert_shares(of(&[mirrored, one, two]), [0.3, 0.1, 0.3, 0.3]);
        assert_shares(of(&[mirrored]), [0.75, 0.25, 0.0, 0.0]);
        assert_shares(of(&[one, two]), [0.4, 0.0, 0.3, 0.3]);
        assert_eq!(of(&[]), [1.0, 0.0, 0.0, 0.0]);
    }
}
