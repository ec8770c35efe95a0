//! `cutline prepare`: validates, splits, tokenizes and extracts features.

mod extract;
mod import;
mod report;
mod target;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::exit_code::WithHint;
use super::job::{Job, detach, lock_job, run_locked_job};
use super::preprocessing::PreprocessingFlags;
use super::progress::Task;
use super::terminal::{display_path, display_safe};
use super::train::SMALL_CNN_FOLLOWS;
use super::{Context, by_name, choices};
use crate::data::synthetic::{self, ScenesSettings};
use crate::data::webdataset::{self, Shards, Unpacked};
use crate::data::{
    self, ColumnNames, DataSource, Dataset, DatasetError, Format, PrepareReport, PrepareSettings,
    PrepareStage, ProblemKind, Problems, RawDataset, Split, SplitsFrom, build,
};
use crate::files::ConfinedPath;
use crate::jobs::{JobDirectory, JobInfo, JobKind, Name};
use crate::nn::Backend;
use crate::nn::device::{DeviceChoice, Opened, on_device};
use crate::text::{Cleaning, Tokenizer, counted, is_without_spaces};
use crate::training::lacks_features;
use crate::vision::augment::Augmentation;
use crate::vision::backbones::{BackboneKind, FeatureKind};
use crate::vision::features::extraction::Batching;
use crate::vision::features::extractor::FeatureExtractor;
use crate::vision::features::feature_file::{FeatureFile, FeatureFileError};
use crate::vision::features::store::FeatureDtype;
use crate::vision::image_io;
use crate::vision::weights::WeightFile;
use extract::{Extraction, extract};
use import::Import;
use target::{ImageOrigin, Replace, Target};

const CHECKING: &str = "checking images";
const IMAGES: &str = "images";
/// Interval of progress events while images are checked.
const BETWEEN_UPDATES: Duration = Duration::from_millis(20);

/// Prepare a dataset: validate, split, tokenize and extract CNN features
///
/// SOURCE is a directory or a captions file in a format that is detected, tar shards of a WebDataset (a file, a directory
/// of them, or `-` for standard input), which are unpacked, a dataset that `cutline fetch` has fetched, by its name, or
/// `scenes`, the built-in dataset. Problems
/// (captions without an image, images that do not decode, duplicates, captions that are empty after cleaning) are
/// listed, never dropped silently. Extraction resumes after an interruption. Preparing again with another backbone adds
/// its features to the dataset.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline prepare flickr8k --backbone mobilenet_v2
  cutline prepare ~/flickr8k --check
  cutline prepare ~/flickr8k --backbone vgg16 --weights ~/vgg16.safetensors --detach
  cutline prepare ~/flickr8k --backbone vgg16 --hflip
  cutline prepare dataset_coco.json --name coco --format karpathy --images ~/coco
  cutline prepare shards/ --name web
  cat shards/*.tar | cutline prepare - --name web
  cutline prepare ~/flickr8k --name flickr8k --features-from clip.npz
  cutline prepare scenes --name scenes")]
pub(super) struct Prepare {
    /// A directory, a captions file, a tar file, `-` for a tar stream on standard input, a name of `cutline fetch --list`, or
    /// `scenes`
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// Name of the dataset; it is saved in `datasets/NAME` [default: after SOURCE]
    #[arg(long, value_name = "NAME", required_if_eq("source", "-"))]
    name: Option<Name>,
    /// Only report statistics and problems; write nothing
    #[arg(long)]
    check: bool,
    /// Replace a dataset of that name with other content, and features from other weights
    #[arg(long)]
    force: bool,
    /// Prepare in a background process that survives the terminal
    #[arg(long, conflicts_with = "check")]
    detach: bool,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    scenes: Scenes,
    #[command(flatten)]
    text: Text,
    #[command(flatten)]
    features: Features,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Source files")]
struct Files {
    /// Format of the source [default: detected]
    #[arg(long, value_name = "FORMAT", value_parser = choices::format())]
    format: Option<Format>,
    /// Directory of the images [default: next to the captions]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Captions file [default: found in SOURCE]
    #[arg(long, value_name = "FILE")]
    captions: Option<PathBuf>,
    /// Split lists: files of image names, whose own names contain the split (train, dev or val, test), or files with an
    /// image and its split on each line, or the same in JSON
    #[arg(long, value_name = "FILE", num_args = 1..)]
    splits: Vec<PathBuf>,
    /// Draw the splits (80/10/10) even if the source has some, such as all images of a single COCO file in dev
    #[arg(long, conflicts_with_all = ["splits", "split_column"])]
    random_splits: bool,
    /// Column of a table, or key of an object, with the image's name [default: detected]
    #[arg(long, value_name = "COLUMN")]
    image_column: Option<String>,
    /// Column or key with a caption, or a list of captions [default: detected]
    #[arg(long, value_name = "COLUMN")]
    caption_column: Option<String>,
    /// Column or key with the split [default: detected]
    #[arg(long, value_name = "COLUMN")]
    split_column: Option<String>,
    /// Random seed for the splits (80/10/10) if the source has none, and for the images of `scenes`
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Accept a captions file that ends in the middle of a caption, without that caption
    #[arg(long)]
    allow_truncated: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Built-in dataset")]
struct Scenes {
    /// Number of images of `scenes` [default: 4000]
    #[arg(long, value_name = "N")]
    num_images: Option<usize>,
    /// Width and height of the images of `scenes` in pixels [default: 64]
    #[arg(long, value_name = "N")]
    size: Option<u32>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Text")]
struct Text {
    /// Minimum count of a word in the training split to be in the vocabulary
    #[arg(long, value_name = "N", default_value_t = 5)]
    min_count: u64,
    /// Keep upper case
    #[arg(long)]
    keep_case: bool,
    /// Keep punctuation
    #[arg(long)]
    keep_punctuation: bool,
    /// Keep symbols (characters that are neither letters, digits nor punctuation)
    #[arg(long)]
    keep_symbols: bool,
    /// Keep digits
    #[arg(long)]
    keep_digits: bool,
    /// How captions are split into tokens: `icu` finds words in languages without spaces, `chars` takes each character
    #[arg(long, value_name = "NAME", value_parser = choices::named::<Tokenizer>(), default_value = "words")]
    tokenizer: Tokenizer,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Features")]
struct Features {
    /// CNN that extracts features; without one, no features are extracted
    #[arg(long, value_name = "BACKBONE", value_parser = choices::named::<BackboneKind>())]
    backbone: Option<BackboneKind>,
    /// Its weights, with the parameter names of Keras, PyTorch or timm: .safetensors, .pth, .h5, .keras or .npz, or a name of
    /// `cutline fetch --list` [default: those that are named as the backbone there]
    #[arg(long, value_name = "FILE", requires = "backbone")]
    weights: Option<PathBuf>,
    /// Layer whose output is stored [default: the backbone's usual layer]
    #[arg(long, value_name = "LAYER", requires = "backbone")]
    layer: Option<String>,
    /// pooled: one vector per image (global average pooling); grid: one vector per region of the feature map
    #[arg(long, value_name = "KIND", value_parser = choices::named::<FeatureKind>(), default_value_t)]
    features: FeatureKind,
    /// Data type of the features on disk; f16 takes half the space
    #[arg(long, value_name = "DTYPE", value_parser = choices::named::<FeatureDtype>(), default_value = "f32")]
    dtype: FeatureDtype,
    #[command(flatten)]
    preprocessing: PreprocessingFlags,
    /// Also store features of horizontally flipped training images, for augment.hflip_prob
    #[arg(long, requires = "backbone")]
    hflip: bool,
    /// Also store features of N random crops of each training image, for augment.random_crops
    #[arg(long, value_name = "N", default_value_t = 0, requires = "backbone")]
    random_crops: u32,
    /// Features that another program made, instead of a CNN: a .safetensors, .npz or .h5 file with an array for each image,
    /// named after it; an .npy file with a row for each image; or a folder with such a file for each image
    #[arg(long, value_name = "FILE", conflicts_with_all = ["backbone", "weights", "features", "batch_size"])]
    features_from: Option<PathBuf>,
    /// Names of the images of an .npy file, one on each line in the order of its rows, or a JSON array [default: the .txt
    /// or .json file of its name beside it]
    #[arg(long, value_name = "FILE", requires = "features_from")]
    feature_names: Option<PathBuf>,
    /// Images per batch [default: 8 on the CPU, 64 on a GPU]; halved when GPU memory runs out
    #[arg(long, value_name = "N")]
    batch_size: Option<NonZeroUsize>,
}

impl Files {
    fn splits_from(&self) -> SplitsFrom {
        match self.random_splits {
            true => SplitsFrom::Drawn,
            false => SplitsFrom::Source,
        }
    }
}

/// A CNN and the file of its weights.
struct LoadedExtractor<D: Backend> {
    extractor: FeatureExtractor<D>,
    weights: PathBuf,
}

/// Where the features of images come from.
enum FeatureOrigin<D: Backend> {
    Backbone(LoadedExtractor<D>),
    Elsewhere(Import),
}

impl Prepare {
    pub(super) fn run(mut self, context: &Context) -> anyhow::Result<()> {
        self.name = Some(self.name());
        self.source = by_name::dataset(&self.source, context)?;
        let device = context.open_device_of(self.device(context))?;
        on_device!(device, |device| self.prepare(device, context))?
    }

    /// The given name, or one after the source.
    fn name(&self) -> Name {
        let stem = self.source.file_stem().unwrap_or(self.source.as_os_str());
        let after_source = || Name::sanitized(&stem.to_string_lossy());
        self.name.clone().unwrap_or_else(after_source)
    }

    /// The device for feature extraction. A GPU is not opened for a command that only checks or detaches.
    fn device(&self, context: &Context) -> DeviceChoice {
        match self.features.backbone {
            Some(_) if !self.check && !self.detach => context.device,
            _ => DeviceChoice::Cpu,
        }
    }
}

impl Prepare {
    fn prepare<D: Backend>(&self, device: &Opened<D>, context: &Context) -> anyhow::Result<()> {
        // Errors of the command line first: checking the images takes long.
        self.check_scenes_flags()?;
        let elsewhere = self.features.elsewhere()?;
        let extractor = self.features.extractor(&device.device, context)?;
        if let Some(LoadedExtractor { extractor, .. }) = &extractor {
            extractor.notes().iter().for_each(|note| context.notice(note));
        }
        if self.check {
            return self.only_check(elsewhere, context);
        }
        let directory = context.root.dataset_dir(&self.name());
        let job = JobDirectory::new(directory.join("prepare"));
        if self.detach {
            if self.source == Path::new("-") {
                bail!("a background process has no standard input; prepare without --detach, or from a file");
            }
            return detach(&job, context);
        }
        let replace = if self.force { Replace::Other } else { Replace::Same };
        let target = Target::new(directory, replace);
        let mut lock = None;
        let mut reading = if self.source().is_scenes() {
            let origin = ImageOrigin::scenes(&self.scenes_settings())?;
            lock = Some(lock_job(&job)?);
            target.admit(&origin)?;
            self.draw_scenes(target.directory(), context)?
        } else if let Some(shards) = self.shards()? {
            lock = Some(lock_job(&job)?);
            self.unpack_into(&target, &shards, context)?
        } else {
            self.read(&self.source(), context)?
        };
        self.reject_truncated(&reading.problems)?;
        let features = match (extractor, elsewhere) {
            (Some(extractor), _) => Some(FeatureOrigin::Backbone(extractor)),
            (None, Some(file)) => Some(FeatureOrigin::Elsewhere(Import::of_images(file, &mut reading)?)),
            (None, None) => None,
        };
        let lock = lock.map_or_else(|| lock_job(&job), Ok)?;
        let (lacks, lacks_features) =
            run_locked_job(&job, lock, self.job_info(&device.name), context, |job| {
                let dataset = self.build(reading, &target, features.as_ref(), job, context)?;
                let lacks = lacks_for_training(&dataset);
                if let Some(lacks) = lacks {
                    job.warn(lacks);
                }
                Ok((lacks, lacks_features(target.directory(), &dataset)))
            })?;
        let directory = display_path(target.directory().as_path());
        context.notice(&match lacks {
            Some(lacks) => format!("the dataset is in {directory}\nwarning: {lacks}"),
            None => {
                let (name, root) = (self.name(), context.root_flag());
                format!("the dataset is in {directory}; next: cutline train {name}{root}")
            }
        });
        if lacks_features {
            context.notice(SMALL_CNN_FOLLOWS);
        }
        Ok(())
    }
}

/// Unpacked shards as a source.
fn unpacked_source(directory: &ConfinedPath) -> DataSource {
    DataSource {
        captions: Some(directory.join(webdataset::CAPTIONS).into()),
        images: Some(directory.join(IMAGES).into()),
        ..DataSource::new(directory)
    }
}

impl Prepare {
    fn job_info(&self, device: &str) -> JobInfo {
        JobInfo {
            kind: JobKind::Prepare,
            device: device.to_owned(),
            dataset: self.name().to_string(),
            data_hash: None,
            settings: serde_json::json!({
                "source": self.source.display().to_string(),
                "text": self.settings(),
                "backbone": self.features.backbone.map(|backbone| backbone.to_string()),
                "features_from": self.features.features_from,
            }),
            step: 0,
        }
    }

    /// Saves the dataset and extracts its features.
    fn build<D: Backend>(
        &self,
        reading: RawDataset,
        target: &Target,
        features: Option<&FeatureOrigin<D>>,
        job: &Job<'_>,
        context: &Context,
    ) -> anyhow::Result<Dataset> {
        let (dataset, report) = self.examine(reading, context, &|done, total| {
            job.progress(crate::jobs::TaskProgress {
                task: CHECKING.into(),
                done,
                total,
                unit: IMAGES.into(),
            });
        })?;
        target.save(&dataset, &report)?;
        job.message(format!(
            "{}; problems are listed in {}",
            counted(dataset.images.len() as u64, "images"),
            display_path(target.directory().join(PrepareReport::FILE).as_path())
        ));
        context.print_lossy(&report::render(self.name().as_str(), &report, &context.terminal))?;
        if !report.problems.is_empty() {
            let list = target.directory().join(PrepareReport::FILE);
            context.print_lossy(&format!(
                "\nall problems are listed in {}\n",
                display_path(list.as_path())
            ))?;
        }
        let (dtype, replace) = (self.features.dtype, target.replace());
        match features {
            None => {}
            Some(FeatureOrigin::Elsewhere(import)) => {
                import.copy(&dataset, target.directory(), (dtype, replace), job, context)?;
            }
            Some(FeatureOrigin::Backbone(LoadedExtractor { extractor, weights })) => {
                let extraction = Extraction {
                    extractor,
                    weights,
                    augmentations: self.features.augmentations(),
                    dtype,
                    batching: self.features.batching::<D>(),
                    replace,
                };
                extract(&extraction, &dataset, target.directory(), job, context)?;
            }
        }
        Ok(dataset)
    }

    /// Whether this command would prepare `scenes` exactly as they are on disk.
    pub(super) fn has_scenes(&self, context: &Context) -> anyhow::Result<bool> {
        let target = Target::new(context.root.dataset_dir(&self.name()), Replace::Same);
        let scenes = self.scenes_settings();
        Ok(target.holds(&ImageOrigin::scenes(&scenes)?)?
            && target.existing().is_some_and(|existing| {
                existing.manifest.settings == self.settings()
                    && existing.images.len() == scenes.images
                    && existing.images.iter().all(|image| image.path.is_file())
            }))
    }

    fn only_check(&self, elsewhere: Option<FeatureFile>, context: &Context) -> anyhow::Result<()> {
        let drawn = tempfile::tempdir()?;
        let mut reading = if self.source().is_scenes() {
            self.draw_scenes(&drawn.path().into(), context)?
        } else if let Some(shards) = self.shards()? {
            self.unpack(&drawn.path().into(), &shards, context)?
        } else {
            self.read(&self.source(), context)?
        };
        if let Some(file) = elsewhere {
            Import::of_images(file, &mut reading)?;
        }
        let (dataset, report) = self.examine(reading, context, &|_, _| {})?;
        context.print(&report::render(self.name().as_str(), &report, &context.terminal))?;
        if let Some(lacks) = lacks_for_training(&dataset) {
            context.notice(&format!("warning: {lacks}"));
        }
        context.notice("check only: nothing was written");
        self.reject_truncated(&report.problems)
    }

    fn check_scenes_flags(&self) -> anyhow::Result<()> {
        let has_flags = self.scenes.num_images.is_some() || self.scenes.size.is_some();
        if has_flags && !self.source().is_scenes() {
            bail!("--num-images and --size are for the built-in dataset; remove them, or prepare `scenes`");
        }
        Ok(())
    }

    fn source(&self) -> DataSource {
        DataSource {
            path: self.source.clone(),
            format: self.files.format,
            images: self.files.images.clone(),
            captions: self.files.captions.clone(),
            splits: self.files.splits.clone(),
            splits_from: self.files.splits_from(),
            columns: ColumnNames {
                image: self.files.image_column.clone(),
                caption: self.files.caption_column.clone(),
                split: self.files.split_column.clone(),
                ..ColumnNames::default()
            },
        }
    }

    fn settings(&self) -> PrepareSettings {
        let usual = PrepareSettings::default();
        PrepareSettings {
            minimum_count: self.text.min_count,
            seed: self.files.seed.unwrap_or(usual.seed),
            splits: self.files.splits_from(),
            cleaning: Cleaning {
                lowercase: !self.text.keep_case,
                remove_punctuation: !self.text.keep_punctuation,
                remove_symbols: !self.text.keep_symbols,
                remove_digits: !self.text.keep_digits,
                tokenizer: self.text.tokenizer,
            },
            ..usual
        }
    }

    fn scenes_settings(&self) -> ScenesSettings {
        let usual = ScenesSettings::default();
        ScenesSettings {
            images: self.scenes.num_images.unwrap_or(usual.images),
            size: self.scenes.size.unwrap_or(usual.size),
            seed: self.files.seed.unwrap_or(usual.seed),
        }
    }

    /// The shards of a WebDataset, unless the source has captions in another format.
    fn shards(&self) -> anyhow::Result<Option<Shards>> {
        if self.files.captions.is_some() || self.files.format.is_some() {
            return Ok(None);
        }
        let shards = Shards::find(&self.source)?;
        // Only a directory with shards is also looked through for captions.
        let has_no_captions = || matches!(self.source().recognize(), Err(DatasetError::NotRecognized { .. }));
        Ok(shards.filter(|_| !self.source.is_dir() || has_no_captions()))
    }

    /// Unpacks shards into the dataset's directory, unless it holds them already.
    fn unpack_into(&self, target: &Target, shards: &Shards, context: &Context) -> anyhow::Result<RawDataset> {
        let origin = ImageOrigin::shards(shards);
        let directory = target.directory();
        let is_unpacked = *shards != Shards::Stdin
            && target.holds(&origin)?
            && directory.join(webdataset::CAPTIONS).is_file();
        match is_unpacked {
            true => self.read(&unpacked_source(directory), context),
            false => {
                target.admit(&origin)?;
                self.unpack(directory, shards, context)
            }
        }
    }

    fn unpack(
        &self,
        directory: &ConfinedPath,
        shards: &Shards,
        context: &Context,
    ) -> anyhow::Result<RawDataset> {
        let total = shards.bytes().unwrap_or(0);
        let progress = context.progress(Task::new("unpacking shards", "bytes", total as usize));
        let unpacked = shards.unpack(directory, &mut |bytes| progress.advance(bytes))?;
        progress.finish();
        let Unpacked {
            samples,
            without_caption,
            skipped,
            unended,
        } = unpacked;
        context.notice(&format!(
            "{shards}: {} with captions; skipped {} without one and {}",
            counted(samples as u64, "images"),
            counted(without_caption as u64, "images"),
            counted(skipped as u64, "other entries")
        ));
        if unended > 0 {
            context.notice(&format!(
                "warning: {} without the zero bytes that end a tar file: it may be cut short; compare its size with that of its \
                 source",
                counted(unended as u64, "shards")
            ));
        }
        self.read(&unpacked_source(directory), context)
    }

    fn read(&self, source: &DataSource, context: &Context) -> anyhow::Result<RawDataset> {
        let read = source.read()?;
        read.notes
            .iter()
            .for_each(|note| context.notice(&display_safe(note)));
        Ok(read)
    }

    fn draw_scenes(&self, directory: &ConfinedPath, context: &Context) -> anyhow::Result<RawDataset> {
        let settings = self.scenes_settings();
        let progress = context.progress(Task::new("drawing scenes", "images", settings.images));
        let images = synthetic::write(&settings, directory, |_| progress.advance(1))?;
        progress.finish();
        Ok(RawDataset::drawn(images))
    }

    /// A file truncated in its last line usually lacks more than that line.
    fn reject_truncated(&self, problems: &Problems) -> anyhow::Result<()> {
        let Some(torn) = problems.of_kind(ProblemKind::TruncatedLine).first() else {
            return Ok(());
        };
        if self.files.allow_truncated {
            return Ok(());
        }
        let truncated: anyhow::Result<()> = Err(anyhow::anyhow!(
            "{}: the file ends in the middle of a caption ({})",
            display_safe(&torn.location),
            display_safe(&torn.detail)
        ));
        truncated.hint(
            "download the file again: later captions are missing too; or skip this one with --allow-truncated",
        )
    }

    /// Validates and builds the dataset. `on_progress` gets the number of checked images and the total.
    fn examine(
        &self,
        reading: RawDataset,
        context: &Context,
        on_progress: &dyn Fn(u64, u64),
    ) -> anyhow::Result<(Dataset, PrepareReport)> {
        let total = reading.images.len();
        let progress = context.progress(Task::new(CHECKING, IMAGES, total));
        let checked = AtomicU64::new(0);
        let decode = |path: &Path| {
            let decoded = image_io::decode(path);
            decoded.map(drop).map_err(|error| error.kind.to_string())
        };
        let count = |news: data::PrepareProgress| {
            if news.stage == PrepareStage::Checking {
                progress.advance(1);
                checked.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (settings, source, name) = (self.settings(), self.source(), self.name());
        // Worker threads check images; the event log belongs to this thread.
        let outcome = thread::scope(|scope| {
            let work = scope.spawn(|| build(&settings, &source, reading, name.as_str(), &decode, &count));
            while !work.is_finished() {
                on_progress(checked.load(Ordering::Relaxed), total as u64);
                thread::sleep(BETWEEN_UPDATES);
            }
            work.join()
        });
        progress.finish();
        match outcome {
            Ok(outcome) => Ok(outcome?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What a dataset lacks for training, if anything.
fn lacks_for_training(dataset: &Dataset) -> Option<&'static str> {
    let has_captions = |split| dataset.images(split).any(|image| !image.captions.is_empty());
    if !has_captions(Split::Train) {
        Some("it cannot be trained on: no image of the training split has a caption")
    } else if !has_captions(Split::Dev) {
        Some(
            "it cannot be trained on: its dev split has no captions; add images, give --splits, or draw the splits with --random-splits",
        )
    } else if dataset.vocabulary.words().next().is_none() {
        Some("the vocabulary is empty; prepare again with a lower --min-count")
    } else if is_one_word_each(dataset) {
        Some(
            "captions are about one word each; if the language is written without spaces, prepare again with --tokenizer icu",
        )
    } else {
        None
    }
}

/// Whether splitting at whitespace finds hardly any boundary. In languages with spaces, some captions may be of one word.
fn is_one_word_each(dataset: &Dataset) -> bool {
    const ENOUGH: usize = 10;
    let captions = || dataset.images.iter().flat_map(|image| &image.captions);
    let tokens: usize = captions().map(|caption| caption.tokens.len()).sum();
    let is_unspaced = || {
        captions()
            .flat_map(|caption| &caption.tokens)
            .any(|token| is_without_spaces(token))
    };
    let count = captions().count();
    2 * tokens < 3 * count && (count >= ENOUGH || is_unspaced())
}

impl Features {
    fn augmentations(&self) -> Vec<Augmentation> {
        let hflip = self.hflip.then_some(Augmentation::HFlip);
        let crops = (1..=self.random_crops).map(Augmentation::Crop);
        [Augmentation::None]
            .into_iter()
            .chain(hflip)
            .chain(crops)
            .collect()
    }

    fn batching<D: Backend>(&self) -> Batching {
        Batching {
            size: self.batch_size.unwrap_or(D::INFERENCE_BATCH),
            prefetch: D::PREFETCHED_BATCHES,
        }
    }

    fn elsewhere(&self) -> Result<Option<FeatureFile>, FeatureFileError> {
        let open = |path: &PathBuf| FeatureFile::open(path, self.feature_names.as_deref());
        self.features_from.as_ref().map(open).transpose()
    }

    fn extractor<D: Backend>(
        &self,
        device: &D,
        context: &Context,
    ) -> anyhow::Result<Option<LoadedExtractor<D>>> {
        let Some(backbone) = self.backbone else {
            return Ok(None);
        };
        let weights = by_name::weights(self.weights.as_deref(), backbone, context)?;
        let file = WeightFile::open(&weights)?;
        let extractor =
            FeatureExtractor::load(backbone, &file, self.layer.as_deref(), self.features, device)?;
        Ok(Some(LoadedExtractor {
            extractor: extractor.with_choice(self.preprocessing.choice())?,
            weights,
        }))
    }
}
