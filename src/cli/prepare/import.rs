//! Features made elsewhere: found by the names of images, and copied into a feature store.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{bail, ensure};

use super::extract::open;
use super::target::Replace;
use crate::cli::Context;
use crate::cli::interrupt::Interrupted;
use crate::cli::job::Job;
use crate::cli::progress::Task;
use crate::cli::terminal::{display_path, display_safe};
use crate::data::{Dataset, ImageNames, ProblemKind, RawDataset};
use crate::files::ConfinedPath;
use crate::jobs::{Name, TaskProgress};
use crate::text::counted;
use crate::vision::features::feature_file::{FeatureFile, FeatureShape};
use crate::vision::features::store::{FeatureDtype, FeatureSpec, MAX_VARIABLE_REGIONS};

const TASK: &str = "copying features";
const UNIT: &str = "images";
/// Rows written between two syncs with the disk.
const ROWS_AT_ONCE: usize = 256;

/// The features of a source's images.
pub(super) struct Import {
    file: FeatureFile,
    /// The index in the file of each image, by its key.
    indices: HashMap<String, usize>,
    shape: FeatureShape,
    /// Whether images have fewer regions than that.
    has_variable_regions: bool,
}

impl Import {
    /// Finds the features of all images, and takes images without features out of the source, which lists them.
    ///
    /// # Errors
    /// If no image has features, or their shapes differ.
    pub(super) fn of_images(file: FeatureFile, source: &mut RawDataset) -> anyhow::Result<Self> {
        let names = ImageNames::new(file.names().iter().map(String::as_str));
        let found: Vec<Option<usize>> = source.images.iter().map(|image| names.find(&image.key)).collect();
        let mut uses: HashMap<usize, usize> = HashMap::new();
        for &index in found.iter().flatten() {
            *uses.entry(index).or_default() += 1;
        }
        let mut indices = HashMap::new();
        for (image, index) in source.images.iter().zip(found) {
            let detail = match index.map(|index| (index, uses[&index])) {
                Some((index, uses)) if uses == 1 || file.names()[index] == image.key => {
                    indices.insert(image.key.clone(), index);
                    continue;
                }
                Some((index, uses)) => {
                    format!("{:?} can be the features of {uses} images", file.names()[index])
                }
                None => format!("no features have its name in {}", file.path().display()),
            };
            let kind = ProblemKind::ImageWithoutFeatures;
            source.problems.add_image(kind, &image.key, &image.path, detail);
        }
        let images: Vec<_> = source.images.iter().map(|image| image.key.clone()).collect();
        source.images.retain(|image| indices.contains_key(&image.key));
        if source.images.is_empty() {
            let example = |names: &[String]| {
                names
                    .first()
                    .map_or(String::new(), |name| display_safe(name).into_owned())
            };
            bail!(
                "{}: no image has features in this file; the images have names such as {:?}, the features {:?}",
                display_path(file.path()),
                example(&images),
                example(file.names())
            );
        }
        let (shape, has_variable_regions) = common_shape(&file, source, &indices)?;
        Ok(Self {
            file,
            indices,
            shape,
            has_variable_regions,
        })
    }

    /// Copies the features of a dataset's images into a store under `directory`, or those that it lacks.
    ///
    /// # Errors
    /// [`Interrupted`] after Ctrl-C. Copied features are kept, after any error.
    pub(super) fn copy(
        &self,
        dataset: &Dataset,
        directory: &ConfinedPath,
        (dtype, replace): (FeatureDtype, Replace),
        job: &Job<'_>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let directory = directory
            .join("features")
            .join(store_name(self.file.path()).as_str());
        let spec = self.spec(dtype);
        let mut writer = open(&directory, spec.clone(), replace)?;
        let missing = dataset.images.iter().filter(|image| !writer.contains(&image.key));
        let missing: Vec<&str> = missing.map(|image| image.key.as_str()).collect();
        let total = dataset.images.len();
        let mut done = total - missing.len();
        let progress = context.progress(Task {
            done: done as u64,
            ..Task::new(TASK, UNIT, total)
        });
        for keys in missing.chunks(ROWS_AT_ONCE) {
            if job.poll_command().is_break() {
                drop(progress);
                context.notice(&format!(
                    "the features of {done} of {total} images are kept; the same command resumes from there"
                ));
                return Err(Interrupted.into());
            }
            for &key in keys {
                let (_, features) = self.file.read(self.indices[key])?;
                writer.append(key, &spec.row(&features))?;
            }
            writer.flush()?;
            done += keys.len();
            progress.advance(keys.len() as u64);
            job.progress(TaskProgress {
                task: TASK.into(),
                done: done as u64,
                total: total as u64,
                unit: UNIT.into(),
            });
        }
        progress.finish();
        let images = counted(writer.finish()? as u64, "images");
        let FeatureShape { regions, channels } = self.shape;
        let at_most = if self.has_variable_regions { "up to " } else { "" };
        let directory = display_path(directory.as_path());
        job.message(format!("features of {images} are in {directory}"));
        Ok(context.print_lossy(&format!(
            "features       {images} of {at_most}{regions}x{channels} numbers in {directory}\n"
        ))?)
    }

    fn spec(&self, dtype: FeatureDtype) -> FeatureSpec {
        FeatureSpec {
            backbone: file_name(self.file.path()),
            layer: String::new(),
            weights: self.file.hash().to_owned(),
            preprocessing: None,
            regions: self.shape.regions,
            variable_regions: self.has_variable_regions,
            channels: self.shape.channels,
            dtype,
        }
    }
}

/// The shape of the image with the most regions, and whether others have fewer.
fn common_shape(
    file: &FeatureFile,
    source: &RawDataset,
    indices: &HashMap<String, usize>,
) -> anyhow::Result<(FeatureShape, bool)> {
    let mut most = 1;
    let mut varies = false;
    let mut first: Option<(&str, FeatureShape)> = None;
    for image in &source.images {
        let shape = file.shape(indices[&image.key])?;
        let &mut (other, common) = first.get_or_insert((&image.key, shape));
        ensure!(
            shape.channels == common.channels,
            "{}: image {:?} has {} channels, and image {:?} {}; give features of one network and layer",
            display_path(file.path()),
            image.key,
            shape.channels,
            other,
            common.channels,
        );
        most = most.max(shape.regions);
        varies |= shape != common;
    }
    ensure!(
        !varies || most <= MAX_VARIABLE_REGIONS,
        "{}: an image has {most} regions, and where their number varies, it may be at most {MAX_VARIABLE_REGIONS}; \
         keep the regions with the highest scores",
        display_path(file.path())
    );
    match first {
        Some((_, FeatureShape { channels, .. })) => Ok((
            FeatureShape {
                regions: most,
                channels,
            },
            varies,
        )),
        None => bail!(
            "{}: no image has features in this file",
            display_path(file.path())
        ),
    }
}

/// The name of the features' directory: that of the file without its extension.
fn store_name(path: &Path) -> Name {
    let name = match path.is_dir() {
        true => path.file_name(),
        false => path.file_stem(),
    };
    Name::sanitized(&name.unwrap_or_default().to_string_lossy())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
