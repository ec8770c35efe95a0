//! The last part of preparing: every image of the data set through the network, into a feature store.

use std::cell::Cell;
use std::path::Path;

use super::target::Replace;
use crate::cli::Context;
use crate::cli::failure::WithHint;
use crate::cli::interrupt::Interrupted;
use crate::cli::job::Job;
use crate::cli::progress::Task;
use crate::cli::terminal::display_path;
use crate::data::{Dataset, Split};
use crate::jobs::TaskProgress;
use crate::nn::Backend;
use crate::vision::augment::View;
use crate::vision::features::adaptive_batch::{Fitting, halved_to};
use crate::vision::features::extraction::{self, Batching, Source};
use crate::vision::features::extractor::ImageEncoder;
use crate::vision::features::store::{
    FeatureDtype, FeatureSpec, FeatureWriter, StoreError, note_weights_file,
};

/// How features are made and kept.
pub(super) struct Extraction<'a, D: Backend> {
    pub(super) encoder: &'a ImageEncoder<D>,
    /// The file that the encoder's weights came from.
    pub(super) weights: &'a Path,
    pub(super) dtype: FeatureDtype,
    pub(super) batching: Batching,
    pub(super) replace: Replace,
}

/// Extracts the features of every image that the store under `directory` lacks.
///
/// # Errors
/// [`Interrupted`] once the user has asked to stop; what is done is kept then, as with any other error.
pub(super) fn extract<D: Backend>(
    extraction: Extraction<'_, D>,
    data_set: &Dataset,
    directory: &Path,
    job: &Job<'_>,
    context: &Context,
) -> anyhow::Result<()> {
    let Extraction {
        encoder,
        weights,
        dtype,
        batching,
        replace,
    } = extraction;
    let store = directory.join("features").join(encoder.store_name());
    let mut writer = open(&store, encoder.spec(dtype), replace)?;
    note_weights_file(&store, weights)?;

    let images = sources(data_set, encoder.preprocessing().view);
    let done = images.iter().filter(|image| writer.contains(image.key)).count();
    let progress = context.progress(Task {
        label: "extracting features".into(),
        unit: "images",
        total: Some(images.len() as u64),
        done: done as u64,
    });
    let told = Cell::new(done);
    let tell_of_halving = |at_once| {
        let line = halved_to(at_once);
        context.notice(&line);
        job.message(line);
    };
    let mut fitting = Fitting::new(&tell_of_halving);
    let end = extraction::extract(
        &images,
        encoder.preprocessing(),
        batching,
        |pixels, images| fitting.run(pixels, images, |pixels, images| encoder.features(pixels, images)),
        &mut writer,
        &|news| {
            progress.advance((news.done - told.replace(news.done)) as u64);
            job.progress(TaskProgress {
                task: "extracting features".into(),
                done: news.done as u64,
                total: news.total as u64,
                unit: "images".into(),
            });
        },
        &|| job.poll_command(),
    )?;
    if let extraction::Extraction::Interrupted { done, total } = end {
        drop(progress);
        context.notice(&format!(
            "the features of {done} of {total} images are kept; the same command goes on from there"
        ));
        return Err(Interrupted.into());
    }
    progress.finish();
    let rows = writer.finish()?;
    let encoder = encoder.shape();
    job.message(format!(
        "features of {rows} images are in {}",
        display_path(&store)
    ));
    context.tell(&format!(
        "features       {rows} images of {encoder} numbers in {}\n",
        display_path(&store)
    ))?;
    Ok(())
}

/// The images to look at: all, or in other ways those that are learned from.
fn sources(data_set: &Dataset, view: View) -> Vec<Source<'_>> {
    data_set
        .images
        .iter()
        .filter(|image| view == View::Usual || image.split == Split::Train)
        .map(|image| Source {
            key: &image.key,
            path: &image.path,
        })
        .collect()
}

fn open(store: &Path, spec: FeatureSpec, replace: Replace) -> anyhow::Result<FeatureWriter> {
    match FeatureWriter::open_or_resume(store, spec.clone()) {
        Err(StoreError::Differs { .. }) if replace == Replace::Other => {
            Ok(FeatureWriter::start_afresh(store, spec)?)
        }
        Err(error @ StoreError::Differs { .. }) => Err(error).hint("--force starts these features afresh"),
        opened => Ok(opened?),
    }
}
