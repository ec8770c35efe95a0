//! Batches that are halved when the device is out of memory.

use crate::vision::backbones::BackboneError;

/// Splits batches for a network. When the device is out of memory, this and all later batches are halved.
pub struct AdaptiveBatch<'a> {
    limit: usize,
    on_batch_halved: &'a dyn Fn(usize),
}

impl<'a> AdaptiveBatch<'a> {
    /// No limit at first. `on_batch_halved` is called with every new limit.
    pub fn new(on_batch_halved: &'a dyn Fn(usize)) -> Self {
        Self {
            limit: usize::MAX,
            on_batch_halved,
        }
    }

    /// The outputs of `network` for these images. `network` takes pixels and the number of images.
    ///
    /// # Errors
    /// Those of the network; out of memory if a single image does not fit.
    pub fn run(
        &mut self,
        pixels: &[f32],
        images: usize,
        mut network: impl FnMut(&[f32], usize) -> Result<Vec<f32>, BackboneError>,
    ) -> Result<Vec<f32>, BackboneError> {
        let image_len = pixels.len() / images.max(1);
        let mut features = Vec::new();
        let mut done = 0;
        while done < images {
            let count = self.limit.min(images - done);
            let piece = &pixels[done * image_len..][..count * image_len];
            match network(piece, count) {
                Ok(outputs) => {
                    features.extend(outputs);
                    done += count;
                }
                Err(error) if error.is_out_of_memory() && count > 1 => {
                    self.limit = count / 2;
                    (self.on_batch_halved)(self.limit);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(features)
    }
}

/// The notice for the user.
pub fn halved_message(batch_size: usize) -> String {
    format!("out of device memory: batch size reduced to {batch_size}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const IMAGE_LEN: usize = 3;

    /// The sum of each image's pixels, on a device with memory for `room` images. Records the size of each call.
    fn network(
        room: usize,
        calls: &RefCell<Vec<usize>>,
    ) -> impl Fn(&[f32], usize) -> Result<Vec<f32>, BackboneError> {
        move |pixels, images| {
            calls.borrow_mut().push(images);
            assert_eq!(pixels.len(), images * IMAGE_LEN);
            match images <= room {
                true => Ok(pixels.chunks(IMAGE_LEN).map(|image| image.iter().sum()).collect()),
                false => Err(BackboneError::device("CUDA_ERROR_OUT_OF_MEMORY")),
            }
        }
    }

    #[test]
    fn batches_are_halved_until_they_fit_and_stay_halved() {
        let pixels: Vec<f32> = (0..10 * IMAGE_LEN).map(|i| i as f32).collect();
        let (calls, limits) = (RefCell::default(), RefCell::new(Vec::new()));
        let on_batch_halved = |limit| limits.borrow_mut().push(limit);
        let mut adaptive = AdaptiveBatch::new(&on_batch_halved);
        let roomy = adaptive.run(&pixels, 10, network(10, &calls)).unwrap();
        assert!(limits.borrow().is_empty());
        let narrow = adaptive.run(&pixels, 10, network(3, &calls)).unwrap();
        assert_eq!(narrow, roomy);
        assert_eq!(*limits.borrow(), [5, 2]);
        adaptive
            .run(&pixels[..4 * IMAGE_LEN], 4, network(3, &calls))
            .unwrap();
        assert_eq!(*calls.borrow(), [10, 10, 5, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn single_image_out_of_memory_is_an_error() {
        let calls = RefCell::default();
        let error = AdaptiveBatch::new(&|_| {}).run(&[0.0; 4 * IMAGE_LEN], 4, network(0, &calls));
        assert!(error.unwrap_err().is_out_of_memory());
        assert_eq!(*calls.borrow(), [4, 2, 1]);
    }
}
