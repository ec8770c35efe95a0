//! Extraction of features from image files into stores. All threads decode and preprocess, the caller's thread runs the
//! network.
//!
//! Each image is decoded once for all stores, of which each has another augmentation. Only preprocessed squares are kept,
//! as bytes: the memory depends neither on the size of images nor on their number.

use super::store::{FeatureWriter, StoreError};
use crate::vision::image_io::{self, ImageReadError};
use crate::vision::preprocess::Preprocessing;
use image::RgbImage;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// The batching of images for the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Images in a batch.
    pub size: NonZeroUsize,
    /// The number of batches that wait for the network, besides the one in preparation.
    pub prefetch: usize,
}

/// An image to extract features from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageFile<'a> {
    /// Its key in the feature stores.
    pub key: &'a str,
    /// Its file.
    pub path: &'a Path,
}

/// A store to fill.
#[derive(Debug)]
pub struct ExtractionTarget {
    /// The preprocessing of images.
    pub preprocessing: Preprocessing,
    /// Open for appending.
    pub writer: FeatureWriter,
    /// Indices of the image files in the order of the rows, ascending.
    pub images: Vec<usize>,
}

/// The progress of an extraction, in rows of all stores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExtractionProgress {
    /// Rows stored.
    pub done: usize,
    /// Rows of the complete stores.
    pub total: usize,
    /// Rows stored by an earlier extraction.
    pub resumed: usize,
    /// Time since the start.
    pub elapsed: Duration,
}

impl ExtractionProgress {
    /// The speed; zero before the first batch.
    pub fn rows_per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            (self.done - self.resumed) as f64 / seconds
        } else {
            0.0
        }
    }

    /// The remaining time; `None` before the first batch.
    pub fn remaining(&self) -> Option<Duration> {
        let seconds = (self.total - self.done) as f64 / self.rows_per_second();
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// The outcome of an extraction without errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `ExtractionProgress`")]
pub enum ExtractionOutcome {
    /// All rows are stored; [`FeatureWriter::finish`] may follow.
    Complete,
    /// It was stopped. The same call resumes it.
    Interrupted { done: usize, total: usize },
}

/// Why an extraction ended early; `E` is the network's error. Earlier batches are stored.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum ExtractionError<E> {
    #[error(transparent)]
    Image(#[from] ImageReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the network failed on the images from {key:?} on: {error}")]
    Network { key: String, error: E },
}

/// Extracts the features that are not stored yet.
///
/// `forward` maps pixels `[images, size, size, 3]` and the number of images to features `[images, regions, channels]`.
/// A resumed extraction has the same batches as an uninterrupted one, and the network runs on the whole of a batch that is
/// partly stored. So the stored bytes are the same even if a sum depends on the batch size.
///
/// `progress` is called after every batch, `before_batch` before every batch. `before_batch` may block, and stops the
/// extraction with a break.
///
/// # Errors
/// [`ExtractionError`] names the image at fault.
pub fn extract<E>(
    files: &[ImageFile<'_>],
    stores: &mut [ExtractionTarget],
    batching: Batching,
    mut forward: impl FnMut(&[f32], usize) -> Result<Vec<f32>, E>,
    progress: &dyn Fn(ExtractionProgress),
    before_batch: &dyn Fn() -> ControlFlow<()>,
) -> Result<ExtractionOutcome, ExtractionError<E>> {
    let plans: Vec<BatchPlan> = stores
        .iter()
        .map(|store| store.missing_batches(files, batching.size))
        .collect();
    let total = stores.iter().map(|store| store.images.len()).sum();
    let resumed = stores.iter().map(|store| store.rows_done(files)).sum();
    let mut done = resumed;
    let start = Instant::now();
    let end = for_each_batch(files, &plans, batching.prefetch, |batch| {
        if before_batch().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let images: Vec<ImageFile<'_>> = batch.images.iter().map(|&i| files[i]).collect();
        let features = forward(&batch.pixels, images.len()).map_err(|error| ExtractionError::Network {
            key: images[0].key.to_owned(),
            error,
        })?;
        done += append_missing(&images, &features, &mut stores[batch.plan].writer)?;
        progress(ExtractionProgress {
            done,
            total,
            resumed,
            elapsed: start.elapsed(),
        });
        Ok::<_, ExtractionError<E>>(ControlFlow::Continue(()))
    })?;
    Ok(match end {
        ControlFlow::Continue(()) => ExtractionOutcome::Complete,
        ControlFlow::Break(()) => ExtractionOutcome::Interrupted { done, total },
    })
}

impl ExtractionTarget {
    /// The number of images that are stored.
    pub fn rows_done(&self, files: &[ImageFile<'_>]) -> usize {
        let stored = |&&i: &&usize| self.writer.contains(files[i].key);
        self.images.iter().filter(stored).count()
    }

    /// The batches with an image that is not stored.
    fn missing_batches(&self, files: &[ImageFile<'_>], size: NonZeroUsize) -> BatchPlan {
        let is_incomplete = |batch: &&[usize]| batch.iter().any(|&i| !self.writer.contains(files[i].key));
        let batches = self.images.chunks(size.get()).filter(is_incomplete);
        BatchPlan {
            preprocessing: self.preprocessing.clone(),
            batches: batches.map(<[usize]>::to_vec).collect(),
        }
    }
}

/// Appends the rows of a batch that are not stored; returns their number.
fn append_missing(
    images: &[ImageFile<'_>],
    features: &[f32],
    writer: &mut FeatureWriter,
) -> Result<usize, StoreError> {
    let row_len = writer.spec().row_len();
    if features.len() != images.len() * row_len {
        return Err(StoreError::RowLength {
            key: images[0].key.to_owned(),
            expected: row_len,
            found: features.len().div_ceil(images.len()),
        });
    }
    let mut stored = 0;
    for (image, row) in images.iter().zip(features.chunks(row_len)) {
        if !writer.contains(image.key) {
            writer.append(image.key, row)?;
            stored += 1;
        }
    }
    writer.flush()?;
    Ok(stored)
}

/// Batches of images with the same preprocessing.
#[derive(Clone, Debug)]
pub struct BatchPlan {
    /// The preprocessing of the images.
    pub preprocessing: Preprocessing,
    /// Indices of image files, ascending within and across batches.
    pub batches: Vec<Vec<usize>>,
}

/// A preprocessed batch.
#[derive(Debug)]
pub struct Batch<'p> {
    /// The index of its plan.
    pub plan: usize,
    /// Indices of the image files.
    pub images: &'p [usize],
    /// `[images, size, size, 3]`
    pub pixels: Vec<f32>,
}

/// Calls `work` with the batches of all plans until it breaks, each plan's in order. Meanwhile the next `prefetch` + 1
/// batches are prepared on all threads. An image is decoded once for all plans.
///
/// # Errors
/// Those of `work`; [`ImageReadError`] for the first image that cannot be decoded.
pub fn for_each_batch<'p, E: From<ImageReadError>>(
    files: &[ImageFile<'_>],
    plans: &'p [BatchPlan],
    prefetch: usize,
    mut work: impl FnMut(Batch<'p>) -> Result<ControlFlow<()>, E>,
) -> Result<ControlFlow<()>, E> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(prefetch);
        scope.spawn(move || make_batches(files, plans, &sender));
        for batch in receiver {
            if work(batch?)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

type PreparedBatch<'p> = Result<Batch<'p>, ImageReadError>;

/// Decodes images until all batches are sent, an image fails, or the receiver is dropped.
fn make_batches<'p>(files: &[ImageFile<'_>], plans: &'p [BatchPlan], sender: &SyncSender<PreparedBatch<'p>>) {
    let mut plans_of_image: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (plan, BatchPlan { batches, .. }) in plans.iter().enumerate() {
        for &image in batches.iter().flatten() {
            plans_of_image.entry(image).or_default().push(plan);
        }
    }
    let images: Vec<(usize, Vec<usize>)> = plans_of_image.into_iter().collect();
    let batches = plans.iter().flat_map(|plan| &plan.batches);
    let decoded_together = batches.map(Vec::len).max().unwrap_or(1);
    let mut unfinished: Vec<UnfinishedBatch<'p>> = plans.iter().map(UnfinishedBatch::new).collect();
    for images in images.chunks(decoded_together) {
        // All are decoded before the first result is examined: the error is that of the first image in order, not in time.
        let decoded: Vec<Result<Squares, ImageReadError>> = images
            .par_iter()
            .map(|(image, plans_of_it)| squares(files[*image].path, plans, plans_of_it))
            .collect();
        for squares in decoded {
            let batches = squares.map(|squares| {
                let finish = |(plan, square): (usize, RgbImage)| unfinished[plan].push(plan, square);
                squares.into_iter().filter_map(finish).collect::<Vec<_>>()
            });
            let failed = batches.is_err();
            let sent = match batches {
                Ok(batches) => batches.into_iter().try_for_each(|batch| sender.send(Ok(batch))),
                Err(error) => sender.send(Err(error)),
            };
            if failed || sent.is_err() {
                return;
            }
        }
    }
}

/// Squares of one image, each with the index of its plan.
type Squares = Vec<(usize, RgbImage)>;

fn squares(path: &Path, plans: &[BatchPlan], chosen: &[usize]) -> Result<Squares, ImageReadError> {
    image_io::decode_and(path, |image| {
        let square = |&plan: &usize| (plan, plans[plan].preprocessing.square(&image).into_owned());
        chosen.iter().map(square).collect()
    })
}

/// The next batch of a plan.
struct UnfinishedBatch<'p> {
    preprocessing: &'p Preprocessing,
    batches: std::slice::Iter<'p, Vec<usize>>,
    squares: Vec<RgbImage>,
}

impl<'p> UnfinishedBatch<'p> {
    fn new(plan: &'p BatchPlan) -> Self {
        Self {
            preprocessing: &plan.preprocessing,
            batches: plan.batches.iter(),
            squares: Vec::new(),
        }
    }

    /// Adds the next image; returns the batch once it is full.
    fn push(&mut self, plan: usize, square: RgbImage) -> Option<Batch<'p>> {
        self.squares.push(square);
        let images = self.batches.as_slice().first()?;
        if self.squares.len() < images.len() {
            return None;
        }
        self.batches.next();
        let len = self.preprocessing.pixels_len();
        let mut pixels = vec![0.0; images.len() * len];
        let squares = pixels.par_chunks_mut(len).zip(&self.squares);
        squares.for_each(|(pixels, square)| self.preprocessing.normalize(square, pixels));
        self.squares.clear();
        Some(Batch { plan, images, pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::augment::Augmentation;
    use crate::vision::features::store::{FeatureDtype, FeatureSpec, FeatureStore};
    use image::{Rgb, RgbImage};
    use std::cell::{Cell, RefCell};
    use std::convert::Infallible;
    use std::fs;
    use std::path::PathBuf;
    use tempfile::TempDir;

    const BATCHING: Batching = Batching {
        size: NonZeroUsize::new(4).unwrap(),
        prefetch: 1,
    };
    const CONTINUE: fn() -> ControlFlow<()> = || ControlFlow::Continue(());
    const IMAGES: usize = 10;

    /// Ten images of one color each. Their sizes differ, so that they take different times to decode.
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

    fn sources(images: &[(String, PathBuf)]) -> Vec<ImageFile<'_>> {
        images.iter().map(|(key, path)| ImageFile { key, path }).collect()
    }

    fn target(dir: &Path, augmentation: Augmentation, images: Vec<usize>) -> ExtractionTarget {
        let preprocessing = Preprocessing {
            augmentation,
            ..Preprocessing::symmetric(8)
        };
        let spec = FeatureSpec {
            backbone: "toy".to_owned(),
            layer: "mean".to_owned(),
            weights: String::new(),
            preprocessing: Some(preprocessing.clone()),
            regions: 1,
            variable_regions: false,
            channels: 2,
            dtype: FeatureDtype::F32,
        };
        ExtractionTarget {
            writer: FeatureWriter::open_or_resume(dir, spec).unwrap(),
            preprocessing,
            images,
        }
    }

    /// A store of all images.
    fn store(dir: &Path) -> ExtractionTarget {
        target(dir, Augmentation::None, (0..IMAGES).collect())
    }

    /// The mean pixel and the batch size, which a network must not, but a matrix product may depend on.
    fn forward(pixels: &[f32], images: usize) -> Result<Vec<f32>, Infallible> {
        let rows = pixels.chunks(pixels.len() / images);
        Ok(rows
            .flat_map(|image| [image.iter().sum::<f32>() / image.len() as f32, images as f32])
            .collect())
    }

    fn run(files: &[ImageFile<'_>], stores: &mut [ExtractionTarget], progress: &dyn Fn(ExtractionProgress)) {
        let outcome = extract(files, stores, BATCHING, forward, progress, &CONTINUE);
        assert_eq!(outcome.unwrap(), ExtractionOutcome::Complete);
    }

    fn files(dir: &Path) -> [Vec<u8>; 2] {
        ["rows.bin", "index.jsonl"].map(|name| fs::read(dir.join(name)).unwrap())
    }

    #[test]
    fn rows_follow_the_order_of_the_images() {
        let (image_dir, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let images = images(image_dir.path());
        let seen = RefCell::new(Vec::new());
        let mut stores = [store(dir.path())];
        run(&sources(&images), &mut stores, &|progress| {
            seen.borrow_mut().push((progress.done, progress.total));
        });
        let [store] = stores;
        store.writer.finish().unwrap();
        assert_eq!(*seen.borrow(), [(4, 10), (8, 10), (10, 10)]);
        let store = FeatureStore::open(dir.path()).unwrap();
        assert!(store.keys().eq(images.iter().map(|(key, _)| key.as_str())));
        for (i, (key, _)) in images.iter().enumerate() {
            let mean = ((i as f32 * 20.0 + 255.0) / 3.0) / 127.5 - 1.0;
            let found = store.get(key).unwrap();
            assert!((found[0] - mean).abs() < 1e-5, "{key}: {} {mean}", found[0]);
        }
    }

    /// Stores of all images, and of two augmentations of some of them.
    fn three_stores(dirs: &[TempDir; 3]) -> [ExtractionTarget; 3] {
        let some = || (0..IMAGES).filter(|i| i % 3 != 1).collect();
        [
            store(dirs[0].path()),
            target(dirs[1].path(), Augmentation::HFlip, some()),
            target(dirs[2].path(), Augmentation::Crop(2), some()),
        ]
    }

    fn directories() -> [TempDir; 3] {
        std::array::from_fn(|_| tempfile::tempdir().unwrap())
    }

    #[test]
    fn stores_filled_together_equal_stores_filled_one_by_one() {
        let image_dir = tempfile::tempdir().unwrap();
        let images = images(image_dir.path());
        let (together, alone) = (directories(), directories());
        run(&sources(&images), &mut three_stores(&together), &|_| {});
        for store in &mut three_stores(&alone) {
            run(&sources(&images), std::slice::from_mut(store), &|_| {});
        }
        for (together, alone) in together.iter().zip(&alone) {
            assert_eq!(files(together.path()), files(alone.path()));
        }
    }

    #[test]
    fn interrupted_stores_resume_to_the_same_bytes_as_uninterrupted_ones() {
        let image_dir = tempfile::tempdir().unwrap();
        let images = images(image_dir.path());
        let (whole, stopped) = (directories(), directories());
        run(&sources(&images), &mut three_stores(&whole), &|_| {});
        let stop = |batches: usize| {
            let calls = Cell::new(0);
            let before_batch = || {
                calls.set(calls.get() + 1);
                if calls.get() > batches {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            let (images, mut stores) = (sources(&images), three_stores(&stopped));
            extract(&images, &mut stores, BATCHING, forward, &|_| {}, &before_batch).unwrap()
        };
        assert_eq!(stop(2), ExtractionOutcome::Interrupted { done: 8, total: 24 });
        while stop(1) != ExtractionOutcome::Complete {}
        for (whole, stopped) in whole.iter().zip(&stopped) {
            assert_eq!(files(whole.path()), files(stopped.path()));
        }
    }

    #[test]
    fn truncated_store_resumes_to_the_same_bytes() {
        let (image_dir, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let images = images(image_dir.path());
        let images = sources(&images);
        run(&images, &mut [store(whole.path())], &|_| {});
        let [rows, index] = files(whole.path());
        for cut in (0..rows.len()).step_by(7).chain([rows.len()]) {
            let dir = tempfile::tempdir().unwrap();
            drop(store(dir.path()));
            fs::write(dir.path().join("rows.bin"), &rows[..cut]).unwrap();
            fs::write(dir.path().join("index.jsonl"), &index).unwrap();
            let resumed = Cell::new(usize::MAX);
            run(&images, &mut [store(dir.path())], &|progress| {
                resumed.set(progress.resumed)
            });
            assert_eq!(
                files(dir.path()),
                [rows.clone(), index.clone()],
                "truncated to {cut}"
            );
            if cut < rows.len() {
                assert_eq!(resumed.get(), cut / 8, "whole rows are kept");
            }
        }
    }

    type Network<'a> = dyn Fn(&[f32], usize) -> Result<Vec<f32>, String> + 'a;

    #[test]
    fn errors_name_the_image_and_keep_earlier_batches() {
        let (image_dir, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let images = images(image_dir.path());
        for broken in [6, 7] {
            fs::write(&images[broken].1, "no image").unwrap();
        }
        let mut stores = [store(dir.path())];
        let mut attempt = |forward: &Network| {
            let images = sources(&images);
            extract(&images, &mut stores, BATCHING, forward, &|_| {}, &CONTINUE).unwrap_err()
        };
        let rejected = attempt(&|_, _| Err("out of memory".to_owned()));
        assert!(
            rejected.to_string().contains("\"0.png\" on: out of memory"),
            "{rejected}"
        );
        let misshapen = attempt(&|_, images| Ok(vec![0.0; images * 3]));
        let ExtractionError::Store(StoreError::RowLength { expected, found, .. }) = misshapen else {
            panic!("{misshapen}")
        };
        assert_eq!((expected, found), (2, 3));
        let broken = attempt(&|pixels, images| Ok(forward(pixels, images).unwrap()));
        assert!(
            matches!(&broken, ExtractionError::Image(error) if error.path == images[6].1),
            "{broken}"
        );
        assert_eq!(stores[0].writer.len(), 4);
    }

    #[test]
    fn speed_excludes_resumed_rows() {
        let progress = ExtractionProgress {
            done: 30,
            total: 50,
            resumed: 10,
            elapsed: Duration::from_secs(4),
        };
        assert_eq!(progress.rows_per_second(), 5.0);
        assert_eq!(progress.remaining(), Some(Duration::from_secs(4)));
        let first = ExtractionProgress { done: 10, ..progress };
        assert_eq!(first.remaining(), None);
    }
}
