//! What training reads: tokens and encoder inputs of the training and the dev split.

use super::batches::Example;
use crate::captioning::{NGramTable, PhotoInputs};
use crate::dataset::Photo;
use crate::text::{TokenId, Vocabulary};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A split as training sees it.
#[derive(Debug)]
pub struct TrainingSplit {
    /// The encoder's inputs; a photo's place here is its place in the split.
    pub inputs: PhotoInputs,
    /// Those of the same photos, mirrored, where training wants some.
    pub mirrored: Option<PhotoInputs>,
    /// The photos' keys.
    pub keys: Vec<String>,
    /// All captions, photo after photo.
    pub captions: Vec<EncodedCaption>,
    /// Every photo's captions in words, to score against.
    pub references: Vec<Vec<Vec<String>>>,
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
            mirrored: None,
        }
    }

    /// The inputs of some photos, a share of them mirrored.
    pub(super) fn inputs_of(&self, photos: &[usize], mirrored: f32, stream: &mut ChaCha8Rng) -> Vec<f32> {
        let Some(others) = self.mirrored.as_ref().filter(|_| mirrored > 0.0) else {
            return self.inputs.read(photos);
        };
        let read = |&photo: &usize| match stream.random::<f32>() < mirrored {
            true => others.read(&[photo]),
            false => self.inputs.read(&[photo]),
        };
        photos.iter().flat_map(read).collect()
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
