//! A network on as many images at a time as its device has room for.

use crate::vision::backbones::BackboneError;

/// How many images go through a network together: fewer, once there was no room for as many.
pub struct Fitting<'a> {
    at_once: usize,
    tell: &'a dyn Fn(usize),
}

impl<'a> Fitting<'a> {
    /// Begins with any number. `tell` is told each time that it is halved, of how many go together from then on.
    pub fn new(tell: &'a dyn Fn(usize)) -> Self {
        Self {
            at_once: usize::MAX,
            tell,
        }
    }

    /// What `network` makes of the pixels of so many images, one after another. It is given pixels with the number of
    /// images; where it has no room for them, it is given half as many, now and in calls to come.
    ///
    /// # Errors
    /// Those of the network; lack of room only where there is none for a single image.
    pub fn run(
        &mut self,
        pixels: &[f32],
        images: usize,
        mut network: impl FnMut(&[f32], usize) -> Result<Vec<f32>, BackboneError>,
    ) -> Result<Vec<f32>, BackboneError> {
        let of_an_image = pixels.len() / images.max(1);
        let mut features = Vec::new();
        let mut done = 0;
        while done < images {
            let count = self.at_once.min(images - done);
            let piece = &pixels[done * of_an_image..][..count * of_an_image];
            match network(piece, count) {
                Ok(found) => {
                    features.extend(found);
                    done += count;
                }
                Err(error) if error.is_out_of_memory() && count > 1 => {
                    self.at_once = count / 2;
                    (self.tell)(self.at_once);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(features)
    }
}

/// What to tell the user of it.
pub fn halved_to(at_once: usize) -> String {
    format!("the device has no memory for more: {at_once} images go through the network together")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const OF_A_IMAGE: usize = 3;

    /// The sum of each image's pixels, by a device with room for some images; the calls are counted by their size.
    fn network(
        room: usize,
        calls: &RefCell<Vec<usize>>,
    ) -> impl Fn(&[f32], usize) -> Result<Vec<f32>, BackboneError> {
        move |pixels, images| {
            calls.borrow_mut().push(images);
            assert_eq!(pixels.len(), images * OF_A_IMAGE);
            match images <= room {
                true => Ok(pixels
                    .chunks(OF_A_IMAGE)
                    .map(|image| image.iter().sum())
                    .collect()),
                false => Err(BackboneError::device("CUDA_ERROR_OUT_OF_MEMORY")),
            }
        }
    }

    #[test]
    fn batches_are_halved_until_there_is_room_and_stay_so() {
        let pixels: Vec<f32> = (0..10 * OF_A_IMAGE).map(|at| at as f32).collect();
        let (calls, told) = (RefCell::default(), RefCell::new(Vec::new()));
        let tell = |at_once| told.borrow_mut().push(at_once);
        let mut fitting = Fitting::new(&tell);
        let roomy = fitting.run(&pixels, 10, network(10, &calls)).unwrap();
        assert!(told.borrow().is_empty());
        let narrow = fitting.run(&pixels, 10, network(3, &calls)).unwrap();
        assert_eq!(narrow, roomy);
        assert_eq!(*told.borrow(), [5, 2]);
        fitting
            .run(&pixels[..4 * OF_A_IMAGE], 4, network(3, &calls))
            .unwrap();
        assert_eq!(*calls.borrow(), [10, 10, 5, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn no_room_for_a_single_image_is_an_error() {
        let calls = RefCell::default();
        let error = Fitting::new(&|_| {}).run(&[0.0; 4 * OF_A_IMAGE], 4, network(0, &calls));
        assert!(error.unwrap_err().is_out_of_memory());
        assert_eq!(*calls.borrow(), [4, 2, 1]);
    }
}
