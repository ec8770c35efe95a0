//! From a list of images to rows in a feature store: decoding on all threads, the network on the caller's.

use super::store::{FeatureWriter, StoreError};
use crate::vision::image_io::{self, ImageReadError};
use crate::vision::preprocess::Preprocessing;
use rayon::prelude::*;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How images are handed to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Images that go through it together.
    pub size: NonZeroUsize,
    /// Batches that wait decoded for it; with the one being decoded and the one in the network, what is in memory at a
    /// time.
    pub ahead: usize,
}

/// An image to extract features of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// Under which its features are stored.
    pub key: &'a str,
    /// Where it lies.
    pub path: &'a Path,
}

/// How far an extraction has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Images whose features are stored.
    pub done: usize,
    /// Images in the list.
    pub total: usize,
    /// Of those done, the ones that an earlier extraction had stored.
    pub resumed: usize,
    /// Time since the start.
    pub elapsed: Duration,
}

impl Progress {
    /// Speed of this extraction; zero until its first batch is stored.
    pub fn images_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            (self.done - self.resumed) as f64 / seconds
        } else {
            0.0
        }
    }

    /// Time still needed at this speed; `None` until the first batch is stored.
    pub fn remaining(&self) -> Option<Duration> {
        let seconds = (self.total - self.done) as f64 / self.images_per_second();
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// How an extraction ended that met no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extraction {
    /// Every image of the list is stored; [`FeatureWriter::finish`] may follow.
    Complete,
    /// It was asked to stop. What is done is stored; the same call again goes on from there.
    Interrupted {
        /// Images stored.
        done: usize,
        /// Images in the list.
        total: usize,
    },
}

/// Why an extraction ended early; `E` is the network's error. What was done before is stored.
#[derive(Debug, thiserror::Error)]
pub enum ExtractionError<E> {
    /// An image could not be decoded.
    #[error(transparent)]
    Image(#[from] ImageReadError),
    /// Features could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network failed.
    #[error("the network failed on the images from {key:?} on: {error}")]
    Network {
        /// The first image of the batch.
        key: String,
        /// What the network said.
        error: E,
    },
}

/// Extracts the features of every image that the store does not hold yet.
///
/// `forward` takes pixels `[images, size, size, 3]` with the number of images, and gives features `[images,
/// regions, channels]`. Rows are stored in the order of `images`. The list is cut into the same batches
/// whether an extraction was interrupted or not, and a batch that is partly stored goes through the network
/// whole, so that the store ends up with the same bytes even where a sum depends on the size of the batch.
///
/// `progress` is told after every batch. `before_batch` is asked before every batch whether to go on; it may take
/// its time.
///
/// # Errors
/// [`ExtractionError`] names the image at fault.
pub fn extract<E>(
    images: &[Source<'_>],
    preprocessing: &Preprocessing,
    batching: Batching,
    mut forward: impl FnMut(&[f32], usize) -> Result<Vec<f32>, E>,
    writer: &mut FeatureWriter,
    progress: &dyn Fn(Progress),
    before_batch: &dyn Fn() -> ControlFlow<()>,
) -> Result<Extraction, ExtractionError<E>> {
    let missing_in =
        |images: &[Source<'_>]| images.iter().filter(|image| !writer.contains(image.key)).count();
    let missing = missing_in(images);
    let batches: Vec<&[Source<'_>]> = images
        .chunks(batching.size.get())
        .filter(|images| missing_in(images) > 0)
        .collect();
    let resumed = images.len() - missing;
    let total = images.len();
    let mut done = resumed;
    let start = Instant::now();
    let end = each_batch(&batches, preprocessing, batching.ahead, |batch, pixels| {
        if before_batch().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let features = forward(pixels, batch.len()).map_err(|error| ExtractionError::Network {
            key: batch[0].key.to_owned(),
            error,
        })?;
        done += store(batch, &features, writer)?;
        progress(Progress {
            done,
            total,
            resumed,
            elapsed: start.elapsed(),
        });
        Ok::<_, ExtractionError<E>>(ControlFlow::Continue(()))
    })?;
    Ok(match end {
        ControlFlow::Continue(()) => Extraction::Complete,
        ControlFlow::Break(()) => Extraction::Interrupted { done, total },
    })
}

/// Gives `work` every batch with its pixels `[images, size, size, 3]`, until it breaks. Meanwhile the images of the next
/// batches, `ahead` of them and one, are decoded on all threads.
///
/// # Errors
/// Those of `work`; [`ImageReadError`] for the first image that cannot be decoded.
pub fn each_batch<'a, E: From<ImageReadError>>(
    batches: &[&[Source<'a>]],
    preprocessing: &Preprocessing,
    ahead: usize,
    mut work: impl FnMut(&[Source<'a>], &[f32]) -> Result<ControlFlow<()>, E>,
) -> Result<ControlFlow<()>, E> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(ahead);
        scope.spawn(|| decode_ahead(batches, preprocessing, sender));
        for batch in batches {
            let Some(pixels) = next_batch(&receiver)? else {
                break; // the decoder is gone, which it is only after an error that was passed on
            };
            if work(batch, &pixels)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

type Pixels = Result<Vec<f32>, ImageReadError>;

/// Decodes batch after batch until all are sent, one fails, or nobody takes them any more.
fn decode_ahead(batches: &[&[Source<'_>]], preprocessing: &Preprocessing, sender: SyncSender<Pixels>) {
    for batch in batches {
        let pixels = decode(batch, preprocessing);
        let failed = pixels.is_err();
        if sender.send(pixels).is_err() || failed {
            return;
        }
    }
}

/// The pixels of a batch `[images, size, size, 3]`, its images decoded in parallel.
fn decode(batch: &[Source<'_>], preprocessing: &Preprocessing) -> Pixels {
    let mut pixels = vec![0.0; batch.len() * preprocessing.pixels_len()];
    let results: Vec<Result<(), ImageReadError>> = pixels
        .par_chunks_mut(preprocessing.pixels_len())
        .zip(batch)
        .map(|(pixels, source)| {
            let image = image_io::decode(source.path)?;
            preprocessing.write_pixels(&image, pixels);
            Ok(())
        })
        .collect();
    // The first in order is reported, whichever thread met one first.
    results.into_iter().collect::<Result<(), _>>()?;
    Ok(pixels)
}

fn next_batch(receiver: &Receiver<Pixels>) -> Result<Option<Vec<f32>>, ImageReadError> {
    receiver.recv().ok().transpose()
}

/// Stores what the store lacks of a batch; gives how many images that were.
fn store(batch: &[Source<'_>], features: &[f32], writer: &mut FeatureWriter) -> Result<usize, StoreError> {
    let row_len = writer.spec().row_len();
    if features.len() != batch.len() * row_len {
        return Err(StoreError::RowLength {
            key: batch[0].key.to_owned(),
            expected: row_len,
            found: features.len().div_ceil(batch.len()),
        });
    }
    let mut stored = 0;
    for (source, row) in batch.iter().zip(features.chunks(row_len)) {
        if !writer.contains(source.key) {
            writer.append(source.key, row)?;
            stored += 1;
        }
    }
    writer.flush()?;
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::features::store::{FeatureDtype, FeatureSpec, FeatureStore};
    use image::{Rgb, RgbImage};
    use std::cell::{Cell, RefCell};
    use std::convert::Infallible;
    use std::fs;
    use std::path::PathBuf;

    const BATCHING: Batching = Batching {
        size: NonZeroUsize::new(4).unwrap(),
        ahead: 1,
    };
    const GO_ON: fn() -> ControlFlow<()> = || ControlFlow::Continue(());
    const IMAGES: usize = 10;

    /// Ten images, each of one color and a size of its own, so that they take different times to decode.
    fn images(dir: &Path) -> Vec<(String, PathBuf)> {
        (0..IMAGES)
            .map(|i| {
                let key = format!("{i}.png");
                let path = dir.join(&key);
                let side = if i % 3 == 0 { 300 } else { 8 };
                RgbImage::from_pixel(side, side, Rgb([i as u8 * 20, 0, 255]))
                    .save(&path)
                    .unwrap();
                (key, path)
            })
            .collect()
    }

    fn sources(images: &[(String, PathBuf)]) -> Vec<Source<'_>> {
        images.iter().map(|(key, path)| Source { key, path }).collect()
    }

    fn preprocessing() -> Preprocessing {
        Preprocessing::symmetric(8)
    }

    fn writer(dir: &Path) -> FeatureWriter {
        let spec = FeatureSpec {
            backbone: "toy".to_owned(),
            layer: "mean".to_owned(),
            weights: String::new(),
            preprocessing: preprocessing(),
            regions: 1,
            channels: 2,
            dtype: FeatureDtype::F32,
        };
        FeatureWriter::open_or_resume(dir, spec).unwrap()
    }

    /// The mean pixel, and the size of the batch it was in: what a network must not, but a matrix product may,
    /// depend on.
    fn forward(pixels: &[f32], images: usize) -> Result<Vec<f32>, Infallible> {
        let rows = pixels.chunks(pixels.len() / images);
        Ok(rows
            .flat_map(|image| [image.iter().sum::<f32>() / image.len() as f32, images as f32])
            .collect())
    }

    fn run(images: &[Source<'_>], writer: &mut FeatureWriter, progress: &dyn Fn(Progress)) {
        let end = extract(
            images,
            &preprocessing(),
            BATCHING,
            forward,
            writer,
            progress,
            &GO_ON,
        );
        assert_eq!(end.unwrap(), Extraction::Complete);
    }

    fn files(dir: &Path) -> [Vec<u8>; 2] {
        ["rows.bin", "index.jsonl"].map(|name| fs::read(dir.join(name)).unwrap())
    }

    #[test]
    fn images_become_rows_in_the_order_of_the_list() {
        let (pictures, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let images = images(pictures.path());
        let seen = RefCell::new(Vec::new());
        let mut writer = writer(store.path());
        run(&sources(&images), &mut writer, &|progress| {
            seen.borrow_mut().push((progress.done, progress.total));
        });
        writer.finish().unwrap();
        assert_eq!(*seen.borrow(), [(4, 10), (8, 10), (10, 10)]);
        let store = FeatureStore::open(store.path()).unwrap();
        assert!(store.keys().eq(images.iter().map(|(key, _)| key.as_str())));
        for (i, (key, _)) in images.iter().enumerate() {
            let mean = ((i as f32 * 20.0 + 255.0) / 3.0) / 127.5 - 1.0;
            let found = store.get(key).unwrap();
            assert!((found[0] - mean).abs() < 1e-5, "{key}: {} {mean}", found[0]);
        }
    }

    #[test]
    fn an_extraction_cut_anywhere_goes_on_to_the_same_bytes() {
        let (pictures, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let images = images(pictures.path());
        let images = sources(&images);
        run(&images, &mut writer(whole.path()), &|_| {});
        let [rows, index] = files(whole.path());
        for cut in (0..rows.len()).step_by(7).chain([rows.len()]) {
            let store = tempfile::tempdir().unwrap();
            drop(writer(store.path()));
            fs::write(store.path().join("rows.bin"), &rows[..cut]).unwrap();
            fs::write(store.path().join("index.jsonl"), &index).unwrap();
            let resumed = Cell::new(usize::MAX);
            run(&images, &mut writer(store.path()), &|progress| {
                resumed.set(progress.resumed)
            });
            assert_eq!(files(store.path()), [rows.clone(), index.clone()], "cut to {cut}");
            if cut < rows.len() {
                assert_eq!(resumed.get(), cut / 8, "whole rows are kept");
            }
        }
    }

    #[test]
    fn a_request_to_stop_is_met_between_batches() {
        let (pictures, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let images = images(pictures.path());
        let stop = Cell::new(ControlFlow::Continue(()));
        let mut writer = writer(store.path());
        let end = extract(
            &sources(&images),
            &preprocessing(),
            BATCHING,
            forward,
            &mut writer,
            &|_| stop.set(ControlFlow::Break(())),
            &|| stop.get(),
        );
        assert_eq!(end.unwrap(), Extraction::Interrupted { done: 4, total: 10 });
        assert_eq!(writer.len(), 4);
    }

    type Network<'a> = dyn Fn(&[f32], usize) -> Result<Vec<f32>, String> + 'a;

    #[test]
    fn errors_name_the_image_and_keep_what_was_done() {
        let (pictures, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let images = images(pictures.path());
        for broken in [6, 7] {
            fs::write(&images[broken].1, "no picture").unwrap();
        }
        let mut writer = writer(store.path());
        let mut attempt = |forward: &Network| {
            let images = sources(&images);
            extract(
                &images,
                &preprocessing(),
                BATCHING,
                forward,
                &mut writer,
                &|_| {},
                &GO_ON,
            )
            .unwrap_err()
        };
        let refused = attempt(&|_, _| Err("out of memory".to_owned()));
        assert!(
            refused.to_string().contains("\"0.png\" on: out of memory"),
            "{refused}"
        );
        let misshapen = attempt(&|_, images| Ok(vec![0.0; images * 3]));
        assert!(matches!(
            misshapen,
            ExtractionError::Store(StoreError::RowLength {
                expected: 2,
                found: 3,
                ..
            })
        ));
        let broken = attempt(&|pixels, images| Ok(forward(pixels, images).unwrap()));
        assert!(
            matches!(&broken, ExtractionError::Image(error) if error.path == images[6].1),
            "{broken}"
        );
        assert_eq!(writer.len(), 4);
    }

    #[test]
    fn speed_and_time_left_count_this_extraction_only() {
        let progress = Progress {
            done: 30,
            total: 50,
            resumed: 10,
            elapsed: Duration::from_secs(4),
        };
        assert_eq!(progress.images_per_second(), 5.0);
        assert_eq!(progress.remaining(), Some(Duration::from_secs(4)));
        let first = Progress { done: 10, ..progress };
        assert_eq!(first.remaining(), None);
    }
}
