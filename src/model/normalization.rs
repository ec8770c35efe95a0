//! Normalization of features to mean 0 and deviation 1, for each channel.
//!
//! Pooled features are all positive and similar (MobileNetV2's have a mean cosine of 0.56 between images), so
//! most of a decoder's input only says that there is an image. Subtracting the mean leaves what distinguishes images, and
//! an equal scale lets every channel be learned at the same rate (LeCun et al. 1998, "Efficient BackProp", section 4.3).
//! Mean and scale are those of the training images and are saved with the weights.

use super::inputs::ImageInputs;
use crate::vision::features::store::FeatureSpec;
use serde::Serialize;

/// Images that are read at a time.
const CHUNK: usize = 256;
/// The least deviation of a channel, as a fraction of the root mean square of all: a channel that hardly varies is noise and
/// stays small.
const LEAST_DEVIATION: f64 = 0.01;

/// The mean and the reciprocal deviation of each channel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureNormalization {
    /// Of each channel.
    pub mean: Vec<f32>,
    /// The reciprocal of each channel's deviation.
    pub scale: Vec<f32>,
}

impl FeatureNormalization {
    /// No change.
    pub(super) fn identity(channels: usize) -> Self {
        Self {
            mean: vec![0.0; channels],
            scale: vec![1.0; channels],
        }
    }

    /// Measures the first `images` of `inputs`, over all regions.
    pub fn fit(inputs: &ImageInputs, images: usize, channels: usize) -> Self {
        Self::fit_parts(inputs, images, channels, |image| image)
    }

    /// [`fit`](Self::fit) for stored features, without padding.
    pub(super) fn fit_stored(inputs: &ImageInputs, images: usize, spec: &FeatureSpec) -> Self {
        Self::fit_parts(inputs, images, spec.channels, |image| spec.real_regions(image))
    }

    /// Measures a part of each image.
    fn fit_parts(
        inputs: &ImageInputs,
        images: usize,
        channels: usize,
        part: impl for<'i> Fn(&'i [f32]) -> &'i [f32],
    ) -> Self {
        let mut moments = ChannelMoments::new(channels);
        let indices: Vec<usize> = (0..images).collect();
        for indices in indices.chunks(CHUNK) {
            let read = inputs.read(indices);
            for image in read.chunks_exact(read.len() / indices.len()) {
                moments.count(part(image));
            }
        }
        moments.normalization()
    }

    /// Normalizes `features`, `[.., channels]`, in place.
    pub(super) fn apply(&self, features: &mut [f32]) {
        for region in features.chunks_exact_mut(self.mean.len()) {
            for ((value, mean), scale) in region.iter_mut().zip(&self.mean).zip(&self.scale) {
                *value = (*value - mean) * scale;
            }
        }
    }
}

/// Sums of each channel's values and of their squares, relative to the first value: features far from zero lose no digits.
struct ChannelMoments {
    origin: Option<Vec<f32>>,
    sums: Vec<[f64; 2]>,
    regions: f64,
}

impl ChannelMoments {
    fn new(channels: usize) -> Self {
        Self {
            origin: None,
            sums: vec![[0.0; 2]; channels],
            regions: 0.0,
        }
    }

    /// Adds `features`, `[.., channels]`.
    fn count(&mut self, features: &[f32]) {
        let channels = self.sums.len();
        let origin = self.origin.get_or_insert_with(|| features[..channels].to_vec());
        for region in features.chunks_exact(channels) {
            for ((sums, value), origin) in self.sums.iter_mut().zip(region).zip(origin.iter()) {
                let from_origin = f64::from(value - origin);
                sums[0] += from_origin;
                sums[1] += from_origin * from_origin;
            }
            self.regions += 1.0;
        }
    }

    fn normalization(self) -> FeatureNormalization {
        let Self {
            origin,
            sums,
            regions,
        } = self;
        let Some(origin) = origin else {
            return FeatureNormalization::identity(sums.len());
        };
        let variance = |[sum, squares]: &[f64; 2]| {
            let mean = sum / regions;
            (squares / regions - mean * mean).max(0.0)
        };
        let mean_variance = sums.iter().map(variance).sum::<f64>() / sums.len() as f64;
        if mean_variance == 0.0 {
            return FeatureNormalization::identity(sums.len());
        }
        let least = LEAST_DEVIATION * mean_variance.sqrt();
        FeatureNormalization {
            mean: origin
                .iter()
                .zip(&sums)
                .map(|(origin, [sum, _])| (f64::from(*origin) + sum / regions) as f32)
                .collect(),
            scale: sums
                .iter()
                .map(|sums| (1.0 / variance(sums).sqrt().max(least)) as f32)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normalized(values: Vec<f32>, channels: usize) -> Vec<f32> {
        let mut features = values.clone();
        let images = values.len() / channels;
        FeatureNormalization::fit(&ImageInputs::in_memory(values, channels), images, channels)
            .apply(&mut features);
        features
    }

    #[test]
    fn constant_channel_becomes_zero_and_noise_stays_small() {
        let values: Vec<f32> = (0..1000)
            .flat_map(|n| [7.0, n as f32, 3.0 + 1e-4 * (n % 2) as f32])
            .collect();
        let features = normalized(values, 3);
        for region in features.chunks_exact(3) {
            assert_eq!(region[0], 0.0);
            assert!(region[2].abs() < 0.1, "{region:?}");
        }
    }

    #[test]
    fn identical_images_stay_unchanged() {
        let alike = [1.0, -2.0].repeat(5);
        assert_eq!(normalized(alike.clone(), 2), alike);
    }

    proptest! {
        #[test]
        fn channels_have_mean_zero_and_deviation_one(
            values in prop::collection::vec(-1.0_f32..1.0, 60..600),
            offset in -1000.0_f32..1000.0,
        ) {
            let channels = 3;
            let regions = values.len() / channels;
            let shifted: Vec<f32> = values[..regions * channels].iter().map(|value| value + offset).collect();
            let features = normalized(shifted, channels);
            for channel in 0..channels {
                let values: Vec<f64> =
                    features.iter().skip(channel).step_by(channels).map(|&value| f64::from(value)).collect();
                let mean = values.iter().sum::<f64>() / regions as f64;
                let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / regions as f64;
                prop_assert!(mean.abs() < 1e-3, "mean {mean}");
                prop_assert!((variance - 1.0).abs() < 1e-3, "variance {variance}");
            }
        }
    }
}
