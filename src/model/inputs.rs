//! The inputs of a model for the images of a dataset: stored features, or pixels.

use super::spec::EncoderSpec;
use crate::data::Image;
use crate::files::ConfinedPath;
use crate::vision::augment::Augmentation;
use crate::vision::features::store::{FeatureSpec, FeatureStore, StoreError};
use crate::vision::image_io::{ImageErrorKind, ImageReadError, decode, total_memory};
use crate::vision::preprocess::Preprocessing;
use rayon::prelude::*;
use std::path::PathBuf;

/// The encoder's inputs for a list of images, read by index.
#[derive(Debug)]
pub struct ImageInputs {
    values: InputValues,
    /// Numbers of one image.
    len: usize,
}

#[derive(Debug)]
enum InputValues {
    Stored {
        store: Box<FeatureStore>,
        /// The row of each image of the list.
        rows: Vec<usize>,
    },
    InMemory(Vec<f32>),
}

/// Why there are no inputs for the images of a dataset.
#[derive(Debug, thiserror::Error)]
pub enum InputsError {
    /// The features lack an image of the dataset.
    #[error(
        "the stored features do not hold image {key:?}; the dataset has changed since they were extracted: prepare it again"
    )]
    MissingImage {
        /// The image.
        key: String,
    },
    /// The dataset has no features of the model's specification.
    #[error(
        "{} holds no features of {features} with {regions} regions of {channels} channels; prepare the dataset with {flags}",
        directory.display(), regions = spec.regions, channels = spec.channels,
        features = describe(spec)[0], flags = describe(spec)[1]
    )]
    NoSuchFeatures {
        /// The dataset.
        directory: PathBuf,
        /// The features that the model reads.
        spec: Box<FeatureSpec>,
    },
    /// The features cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An image cannot be decoded.
    #[error("{0}{advice}", advice = where_moved(.0))]
    Image(#[from] ImageReadError),
    /// The pixels of all images do not fit in memory.
    #[error(
        "the pixels of {images} images need {needed} MB, more than half of this machine's memory of {memory} MB; prepare the dataset with --backbone, whose features are read from disk"
    )]
    TooManyImages {
        /// The images.
        images: usize,
        /// Megabytes of their pixels.
        needed: u64,
        /// Megabytes of the machine or container.
        memory: u64,
    },
}

/// What to do about an image that is no longer there.
fn where_moved(error: &ImageReadError) -> &'static str {
    match error.kind {
        ImageErrorKind::NotFound => {
            "; if the images of the dataset have moved, prepare it again: cutline prepare SOURCE --name NAME --images DIR"
        }
        _ => "",
    }
}

/// Whether `len` numbers for each image take at most half of the memory, in bytes.
fn check_memory(images: usize, len: usize, memory: u64) -> Result<(), InputsError> {
    let needed = (images as u64)
        .saturating_mul(len as u64)
        .saturating_mul(size_of::<f32>() as u64);
    match needed > memory / 2 {
        true => Err(InputsError::TooManyImages {
            images,
            needed: needed / 1_000_000,
            memory: memory / 1_000_000,
        }),
        false => Ok(()),
    }
}

/// These features, and the flags that prepare them, for an error.
fn describe(spec: &FeatureSpec) -> [String; 2] {
    let FeatureSpec { backbone, layer, .. } = spec;
    if spec.is_made_elsewhere() {
        return [
            format!("{backbone} (BLAKE3 {})", spec.weights),
            format!("--features-from and that very file, {backbone}"),
        ];
    }
    let [images, flag] = match spec.augmentation() {
        Augmentation::None => [String::new(), String::new()],
        Augmentation::HFlip => [" of flipped images", ", and --hflip"].map(str::to_owned),
        Augmentation::Crop(number) => [
            format!(" of random crop {number}"),
            format!(", and --random-crops {number} or more"),
        ],
    };
    [
        format!("{backbone} at layer {layer}{images}"),
        format!("that backbone and layer{flag}"),
    ]
}

/// The directories of a dataset's features, `features/<name>/`, sorted by name, without those of augmented
/// images.
pub fn feature_directories(dataset: &ConfinedPath) -> Vec<ConfinedPath> {
    let mut directories = all_feature_directories(dataset);
    // A store that cannot be read stays in the list, for the error to show once it is chosen.
    let is_augmented = |path: &ConfinedPath| match FeatureSpec::read(path) {
        Ok(Some(spec)) => !spec.augmentation().is_none(),
        Ok(None) | Err(_) => false,
    };
    directories.retain(|path| !is_augmented(path));
    directories
}

fn all_feature_directories(dataset: &ConfinedPath) -> Vec<ConfinedPath> {
    dataset.join("features").subdirectories().unwrap_or_default()
}

impl ImageInputs {
    /// The inputs of an encoder for images of the dataset in `directory`.
    ///
    /// # Errors
    /// Fails if the dataset has no such features, or if an image does not decode.
    pub fn open<'a>(
        encoder: &EncoderSpec,
        directory: impl Into<ConfinedPath>,
        images: impl IntoIterator<Item = &'a Image>,
    ) -> Result<Self, InputsError> {
        let required = match encoder {
            EncoderSpec::SmallCnn(settings) => return Self::decoded(images, &settings.preprocessing()),
            EncoderSpec::Features(spec) | EncoderSpec::FineTuned { features: spec, .. } => spec,
        };
        let directory = directory.into();
        let mut unreadable = None;
        for features in all_feature_directories(&directory) {
            match FeatureStore::open(features) {
                Ok(store) if store.spec() == required => return Self::stored(store, images),
                Ok(_) => {}
                // An error matters only if no other store fits: one may be incomplete because it is being extracted.
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
        Err(match unreadable {
            Some(error) => error.into(),
            None => InputsError::NoSuchFeatures {
                directory: directory.into(),
                spec: Box::new(required.clone()),
            },
        })
    }

    fn stored<'a>(
        store: FeatureStore,
        images: impl IntoIterator<Item = &'a Image>,
    ) -> Result<Self, InputsError> {
        let row = |image: &Image| {
            store.row_of(&image.key).ok_or_else(|| InputsError::MissingImage {
                key: image.key.clone(),
            })
        };
        let rows = images.into_iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self {
            len: store.spec().row_len(),
            values: InputValues::Stored {
                store: Box::new(store),
                rows,
            },
        })
    }

    /// Decodes images on all threads and keeps their pixels in memory.
    fn decoded<'a>(
        images: impl IntoIterator<Item = &'a Image>,
        preprocessing: &Preprocessing,
    ) -> Result<Self, InputsError> {
        let images: Vec<&Image> = images.into_iter().collect();
        let len = preprocessing.pixels_len();
        check_memory(images.len(), len, total_memory())?;
        let mut pixels = vec![0.0; images.len() * len];
        pixels
            .par_chunks_exact_mut(len)
            .zip(images)
            .try_for_each(|(pixels, image)| {
                preprocessing.write_pixels(&decode(&image.path)?, pixels);
                Ok::<_, ImageReadError>(())
            })?;
        Ok(Self::in_memory(pixels, len))
    }

    /// Inputs from memory: `len` numbers for each image, one image after another.
    pub fn in_memory(values: Vec<f32>, len: usize) -> Self {
        Self {
            values: InputValues::InMemory(values),
            len,
        }
    }

    /// The inputs of the images at these indices, one after another.
    ///
    /// # Panics
    /// Panics if an index is out of range.
    pub fn read(&self, indices: &[usize]) -> Vec<f32> {
        let mut inputs = vec![0.0; indices.len() * self.len];
        for (inputs, &index) in inputs.chunks_exact_mut(self.len).zip(indices) {
            match &self.values {
                InputValues::Stored { store, rows } => store.read_into(rows[index], inputs),
                InputValues::InMemory(values) => {
                    inputs.copy_from_slice(&values[index * self.len..][..self.len])
                }
            }
        }
        inputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_larger_than_half_of_the_memory_are_rejected() {
        let len = 64 * 64 * 3;
        let half = 100 * len as u64 * 4;
        assert!(check_memory(100, len, 2 * half).is_ok());
        let error = check_memory(101, len, 2 * half).unwrap_err();
        assert!(error.to_string().contains("--backbone"), "{error}");
        assert!(check_memory(usize::MAX, len, u64::MAX).is_err());
    }
}
