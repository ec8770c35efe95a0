//! Feature extraction: the images of a dataset through a CNN into a feature store.

use std::cell::Cell;
use std::path::Path;

use super::target::Replace;
use crate::cli::Context;
use crate::cli::exit_code::WithHint;
use crate::cli::interrupt::Interrupted;
use crate::cli::job::Job;
use crate::cli::progress::Task;
use crate::cli::terminal::display_path;
use crate::data::{Dataset, Split};
use crate::files::ConfinedPath;
use crate::jobs::TaskProgress;
use crate::nn::Backend;
use crate::text::counted;
use crate::vision::augment::Augmentation;
use crate::vision::features::adaptive_batch::{AdaptiveBatch, halved_message};
use crate::vision::features::extraction::{self, Batching, ExtractionOutcome, ExtractionTarget, ImageFile};
use crate::vision::features::extractor::FeatureExtractor;
use crate::vision::features::store::{
    FeatureDtype, FeatureSpec, FeatureWriter, StoreError, record_weights_path,
};

const TASK: &str = "extracting features";

/// Which features to extract, and how.
pub(super) struct Extraction<'a, D: Backend> {
    pub(super) extractor: &'a FeatureExtractor<D>,
    /// The file of the extractor's weights.
    pub(super) weights: &'a Path,
    pub(super) augmentations: Vec<Augmentation>,
    pub(super) dtype: FeatureDtype,
    pub(super) batching: Batching,
    pub(super) replace: Replace,
}

/// Extracts the features that the stores under `directory` lack.
///
/// Each image is decoded once here, for all its augmentations, and once before, by the validation. They cannot be one
/// pass: the splits, and so the images to augment, are known only after all images are validated.
///
/// # Errors
/// [`Interrupted`] after Ctrl-C. Finished features are kept, after any error.
pub(super) fn extract<D: Backend>(
    extraction: &Extraction<'_, D>,
    dataset: &Dataset,
    directory: &ConfinedPath,
    job: &Job<'_>,
    context: &Context,
) -> anyhow::Result<()> {
    let extractor = extraction.extractor;
    let images = dataset.images.iter();
    let files: Vec<ImageFile<'_>> = images
        .map(|image| ImageFile {
            key: &image.key,
            path: &image.path,
        })
        .collect();
    let (directories, mut stores): (Vec<ConfinedPath>, Vec<ExtractionTarget>) =
        extraction.open_stores(dataset, directory)?.into_iter().unzip();
    let total: usize = stores.iter().map(|store| store.images.len()).sum();
    // With several stores each image counts once per augmentation.
    let unit = if stores.len() == 1 {
        "images"
    } else {
        "augmented images"
    };
    let done = stores.iter().map(|store| store.rows_done(&files)).sum();
    let progress = context.progress(Task {
        done: done as u64,
        ..Task::new(TASK, unit, total)
    });
    let shown = Cell::new(done);
    let on_batch_halved = |batch_size| {
        let line = halved_message(batch_size);
        context.notice(&line);
        job.message(line);
    };
    let mut adaptive = AdaptiveBatch::new(&on_batch_halved);
    let outcome = extraction::extract(
        &files,
        &mut stores,
        extraction.batching,
        |pixels, images| {
            adaptive.run(pixels, images, |pixels, images| {
                extractor.features(pixels, images)
            })
        },
        &|news| {
            progress.advance((news.done - shown.replace(news.done)) as u64);
            job.progress(TaskProgress {
                task: TASK.into(),
                done: news.done as u64,
                total: news.total as u64,
                unit: unit.into(),
            });
        },
        &|| job.poll_command(),
    )?;
    if let ExtractionOutcome::Interrupted { done, total } = outcome {
        drop(progress);
        context.notice(&format!(
            "the features of {done} of {total} {unit} are kept; the same command resumes from there"
        ));
        return Err(Interrupted.into());
    }
    progress.finish();
    for (directory, store) in directories.iter().zip(stores) {
        let images = counted(store.writer.finish()? as u64, "images");
        let (shape, directory) = (extractor.shape(), display_path(directory.as_path()));
        job.message(format!("features of {images} are in {directory}"));
        context.print_lossy(&format!(
            "features       {images} of {shape} numbers in {directory}\n"
        ))?;
    }
    Ok(())
}

impl<D: Backend> Extraction<'_, D> {
    /// The stores and their directories: one of all original images, and one of the training images for each augmentation.
    fn open_stores(
        &self,
        dataset: &Dataset,
        directory: &ConfinedPath,
    ) -> anyhow::Result<Vec<(ConfinedPath, ExtractionTarget)>> {
        let open_store = |&augmentation: &Augmentation| {
            let extractor = self.extractor.with_augmentation(augmentation);
            let directory = directory.join("features").join(extractor.store_name());
            let writer = open(&directory, extractor.spec(self.dtype), self.replace)?;
            record_weights_path(&directory, self.weights)?;
            let images = dataset.images.iter().enumerate();
            let images = images.filter(|(_, image)| augmentation.is_none() || image.split == Split::Train);
            let images = images.map(|(i, _)| i).collect();
            let preprocessing = extractor.preprocessing().clone();
            Ok((
                directory,
                ExtractionTarget {
                    preprocessing,
                    writer,
                    images,
                },
            ))
        };
        self.augmentations.iter().map(open_store).collect()
    }
}

pub(super) fn open(
    store: &ConfinedPath,
    spec: FeatureSpec,
    replace: Replace,
) -> anyhow::Result<FeatureWriter> {
    match FeatureWriter::open_or_resume(store, spec.clone()) {
        Err(StoreError::Differs { .. }) if replace == Replace::Other => {
            Ok(FeatureWriter::create_new(store, spec)?)
        }
        Err(error @ StoreError::Differs { .. }) => Err(error).hint("--force replaces these features"),
        opened => Ok(opened?),
    }
}
