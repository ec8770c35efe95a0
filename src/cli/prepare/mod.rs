//! `cutline prepare`: from captioned images on disk to a data set with vocabulary and features.

mod extract;
mod report;
mod target;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::compute::Compute;
use super::failure::WithHint;
use super::job::{Job, detach, run_job};
use super::progress::Task;
use super::terminal::{display_path, display_safe};
use super::{Context, choices};
use crate::data::synthetic::{self, ScenesSettings};
use crate::data::{
    self, DataSource, Dataset, Format, PrepareReport, PrepareSettings, PrepareStage, ProblemKind, Problems,
    RawDataset, Split, build,
};
use crate::files::ConfinedPath;
use crate::jobs::{JobDirectory, JobInfo, JobKind, Name};
use crate::nn::Backend;
use crate::nn::device::{DeviceChoice, Opened};
use crate::text::Cleaning;
use crate::vision::augment::Augmentation;
use crate::vision::backbones::{BackboneKind, FeatureKind};
use crate::vision::features::extraction::Batching;
use crate::vision::features::extractor::FeatureExtractor;
use crate::vision::features::store::FeatureDtype;
use crate::vision::image_io;
use crate::vision::preprocess::CropMode;
use crate::vision::weights::WeightFile;
use extract::{Extraction, extract};
use target::{Replace, Target};

/// What is done before features are made.
const CHECKING: &str = "checking images";
/// What is counted.
const IMAGES: &str = "images";
/// How often it is looked how far the check is.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Turn captioned images into a data set: checked, split, tokenized, and looked at by a CNN
///
/// SOURCE is a directory or a captions file; its form is recognized, and `scenes` is the built-in data set.
/// Whatever does not fit together (a caption without an image, an image that does not decode, a duplicate, a
/// caption that is empty once cleaned) is listed, never dropped in silence. Features are kept as they are made:
/// an interrupted run goes on where it stopped. Prepared again with another backbone, the data set has both.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline prepare ~/flickr8k --name flickr8k --backbone vgg16 --weights ~/vgg16.safetensors
  cutline prepare ~/flickr8k --name flickr8k --check
  cutline prepare ~/flickr8k --name flickr8k --backbone vgg16 --weights ~/vgg16.safetensors --detach
  cutline prepare dataset_coco.json --name coco --format karpathy --images ~/coco
  cutline prepare scenes --name scenes")]
pub(super) struct Prepare {
    /// A directory or captions file, or `scenes`
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The name of the data set; it is written to `datasets/NAME`
    #[arg(long, value_name = "NAME")]
    name: Name,
    /// Report what was found and what does not fit together, and write nothing
    #[arg(long)]
    check: bool,
    /// Replace a data set of that name that has other content, and features made with other weights
    #[arg(long)]
    force: bool,
    /// Prepare in a process of its own that no closing terminal reaches
    #[arg(long, conflicts_with = "check")]
    detach: bool,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    scenes: Scenes,
    #[command(flatten)]
    text: Text,
    #[command(flatten)]
    features: Features,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Where things are")]
struct Places {
    /// The form of the source, where it is not recognized
    #[arg(long, value_name = "FORMAT", value_parser = choices::format())]
    format: Option<Format>,
    /// The directory of the images, where it is not found beside the captions
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// The captions file, where it is not found under SOURCE
    #[arg(long, value_name = "FILE")]
    captions: Option<PathBuf>,
    /// Split lists: files of image names, each telling its split by its own name (train, dev, test)
    #[arg(long, value_name = "FILE", num_args = 1..)]
    splits: Vec<PathBuf>,
    /// The seed that draws the splits (80/10/10) where the source brings none, and the images of `scenes`
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Leave out a last caption that is cut short, rather than take the file for an unfinished download
    #[arg(long)]
    allow_truncated: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The built-in data set")]
struct Scenes {
    /// How many images of `scenes` to draw; 4000 if not given
    #[arg(long, value_name = "N")]
    num_images: Option<usize>,
    /// Width and height of an image of `scenes` in pixels; 64 if not given
    #[arg(long, value_name = "N")]
    size: Option<u32>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Text")]
struct Text {
    /// How often a word must come in the training split to be in the vocabulary
    #[arg(long, value_name = "N", default_value_t = 5)]
    min_count: u64,
    /// Keep upper case
    #[arg(long)]
    keep_case: bool,
    /// Keep punctuation
    #[arg(long)]
    keep_punctuation: bool,
    /// Keep special characters
    #[arg(long)]
    keep_symbols: bool,
    /// Keep digits
    #[arg(long)]
    keep_digits: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Features")]
struct Features {
    /// The CNN that looks at the images; without one, no features are made
    #[arg(long, value_name = "BACKBONE", value_parser = choices::named::<BackboneKind>(), requires = "weights")]
    backbone: Option<BackboneKind>,
    /// Its weights, as Keras, PyTorch or timm name them: .safetensors, .pth or .h5
    #[arg(long, value_name = "FILE", requires = "backbone")]
    weights: Option<PathBuf>,
    /// The layer whose output is kept; the backbone's usual one if not given
    #[arg(long, value_name = "LAYER", requires = "backbone")]
    layer: Option<String>,
    /// One vector an image, or one for each region of the layer's map
    #[arg(long, value_name = "FORM", value_parser = choices::named::<FeatureKind>(), default_value_t)]
    features: FeatureKind,
    /// The form in which a number is kept on disk; f16 takes half the room
    #[arg(long, value_name = "DTYPE", value_parser = choices::named::<FeatureDtype>(), default_value = "f32")]
    dtype: FeatureDtype,
    /// How much of an image the CNN is shown; what it was trained on if not given. `squash` shows the sides of wide images
    /// too, out of proportion
    #[arg(long, value_name = "MODE", value_parser = choices::named::<CropMode>(), requires = "backbone")]
    crop_mode: Option<CropMode>,
    /// Also look at the training images in a mirror, for `augment.hflip_prob`
    #[arg(long, requires = "backbone")]
    hflip: bool,
    /// Also look at the training images through this many windows, each a part of them, for `augment.random_crops`
    #[arg(long, value_name = "N", default_value_t = 0, requires = "backbone")]
    random_crops: u32,
    /// How many images the CNN looks at together; 8 on the CPU and 64 on a GPU if not given. Where a GPU has no memory for
    /// as many, it is halved
    #[arg(long, value_name = "N")]
    batch_size: Option<NonZeroUsize>,
}

/// A network, and the file its weights came from.
struct Eye<D: Backend> {
    encoder: FeatureExtractor<D>,
    weights: PathBuf,
}

impl Prepare {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let device = self.device(context);
        context.compute_on(device, self)
    }

    /// Where to look at images. Nothing is opened for a command that only checks, or hands the work on.
    fn device(&self, context: &Context) -> DeviceChoice {
        match self.features.backbone {
            Some(_) if !self.check && !self.detach => context.device,
            _ => DeviceChoice::Cpu,
        }
    }
}

impl Compute for Prepare {
    type Output = ();

    fn compute<D: Backend>(self, on: &Opened<D>, context: &Context) -> anyhow::Result<()> {
        // First what may be wrong with the command line: checking the images takes its time.
        self.check_scenes_flags()?;
        let eye = self.features.eye(&on.device)?;
        if self.check {
            return self.only_check(context);
        }
        let directory = context.root.dataset_dir(&self.name);
        let job = JobDirectory::new(directory.join("prepare"));
        if self.detach {
            return detach(&job, context);
        }
        let replace = if self.force { Replace::Other } else { Replace::Same };
        let target = Target::new(directory, replace);
        let reading = if self.source().is_scenes() {
            target.admit_scenes(&self.scenes_settings())?;
            self.draw_scenes(target.directory(), context)?
        } else {
            self.read()?
        };
        self.refuse_torn(&reading.problems)?;
        let lacks = run_job(&job, self.job_info(&on.name), |job| {
            let data_set = self.make(reading, &target, eye.as_ref(), job, context)?;
            let lacks = lacks_for_training(&data_set);
            if let Some(lacks) = lacks {
                job.warn(lacks);
            }
            Ok(lacks)
        })?;
        let home = display_path(target.directory().as_path());
        context.notice(&match lacks {
            Some(lacks) => format!("the data set is in {home}\nwarning: {lacks}"),
            None => {
                let (name, root) = (&self.name, context.root_flag());
                format!("the data set is in {home}; next: cutline train {name}{root}")
            }
        });
        Ok(())
    }
}

impl Prepare {
    fn job_info(&self, device: &str) -> JobInfo {
        JobInfo {
            kind: JobKind::Prepare,
            device: device.to_owned(),
            data_set: self.name.to_string(),
            data_hash: None,
            settings: serde_json::json!({
                "source": self.source.display().to_string(),
                "text": self.settings(),
                "backbone": self.features.backbone.map(|backbone| backbone.to_string()),
            }),
            step: 0,
        }
    }

    /// Makes the data set from what was read.
    fn make<D: Backend>(
        &self,
        reading: RawDataset,
        target: &Target,
        eye: Option<&Eye<D>>,
        job: &Job<'_>,
        context: &Context,
    ) -> anyhow::Result<Dataset> {
        let (data_set, report) = self.examine(reading, context, &|done, total| {
            job.progress(crate::jobs::TaskProgress {
                task: CHECKING.into(),
                done,
                total,
                unit: IMAGES.into(),
            });
        })?;
        target.save(&data_set, &report)?;
        job.message(format!(
            "{} images; what does not fit together is listed in {}",
            data_set.images.len(),
            display_path(target.directory().join(PrepareReport::FILE).as_path())
        ));
        let paint = context.terminal.stdout_paint();
        context.tell(&report::render(self.name.as_str(), &report, paint))?;
        if !report.problems.is_empty() {
            let list = target.directory().join(PrepareReport::FILE);
            context.tell(&format!(
                "\nevery problem is listed in {}\n",
                display_path(list.as_path())
            ))?;
        }
        let Some(Eye { encoder, weights }) = eye else {
            return Ok(data_set);
        };
        let extraction = Extraction {
            extractor: encoder,
            weights,
            augmentations: self.features.augmentations(),
            dtype: self.features.dtype,
            batching: self.features.batching::<D>(),
            replace: target.replace(),
        };
        extract(&extraction, &data_set, target.directory(), job, context)?;
        Ok(data_set)
    }

    /// Whether a data set drawn by the program is there already, as this command would make it.
    pub(super) fn has_scenes(&self, context: &Context) -> anyhow::Result<bool> {
        let target = Target::new(context.root.dataset_dir(&self.name), Replace::Same);
        let scenes = self.scenes_settings();
        Ok(target.holds_scenes(&scenes)?
            && target.existing().is_some_and(|existing| {
                existing.manifest.settings == self.settings()
                    && existing.images.len() == scenes.images
                    && existing.images.iter().all(|image| image.path.is_file())
            }))
    }

    fn only_check(&self, context: &Context) -> anyhow::Result<()> {
        let drawn = tempfile::tempdir()?;
        let reading = if self.source().is_scenes() {
            self.draw_scenes(&drawn.path().into(), context)?
        } else {
            self.read()?
        };
        let (_, report) = self.examine(reading, context, &|_, _| {})?;
        let paint = context.terminal.stdout_paint();
        context.print(&report::render(self.name.as_str(), &report, paint))?;
        context.notice("checked only: nothing was written");
        self.refuse_torn(&report.problems)
    }

    fn check_scenes_flags(&self) -> anyhow::Result<()> {
        let given = self.scenes.num_images.is_some() || self.scenes.size.is_some();
        if given && !self.source().is_scenes() {
            bail!(
                "--num-images and --size are for the built-in data set; leave them out, or prepare `scenes`"
            );
        }
        Ok(())
    }

    fn source(&self) -> DataSource {
        DataSource {
            path: self.source.clone(),
            format: self.places.format,
            images: self.places.images.clone(),
            captions: self.places.captions.clone(),
            splits: self.places.splits.clone(),
        }
    }

    fn settings(&self) -> PrepareSettings {
        let usual = PrepareSettings::default();
        PrepareSettings {
            minimum_count: self.text.min_count,
            seed: self.places.seed.unwrap_or(usual.seed),
            cleaning: Cleaning {
                lowercase: !self.text.keep_case,
                remove_punctuation: !self.text.keep_punctuation,
                remove_special: !self.text.keep_symbols,
                remove_digits: !self.text.keep_digits,
            },
            ..usual
        }
    }

    fn scenes_settings(&self) -> ScenesSettings {
        let usual = ScenesSettings::default();
        ScenesSettings {
            images: self.scenes.num_images.unwrap_or(usual.images),
            size: self.scenes.size.unwrap_or(usual.size),
            seed: self.places.seed.unwrap_or(usual.seed),
        }
    }

    fn read(&self) -> anyhow::Result<RawDataset> {
        Ok(self.source().read()?)
    }

    fn draw_scenes(&self, directory: &ConfinedPath, context: &Context) -> anyhow::Result<RawDataset> {
        let settings = self.scenes_settings();
        let progress = context.progress(Task {
            label: "drawing scenes".into(),
            unit: "images",
            total: Some(settings.images as u64),
            done: 0,
        });
        let images = synthetic::write(&settings, directory, |_| progress.advance(1))?;
        progress.finish();
        Ok(RawDataset::drawn(images))
    }

    /// A file that was cut in its last line lacks more than that line, most of the time.
    fn refuse_torn(&self, problems: &Problems) -> anyhow::Result<()> {
        let Some(torn) = problems.of(ProblemKind::TornLine).first() else {
            return Ok(());
        };
        if self.places.allow_truncated {
            return Ok(());
        }
        let refused: anyhow::Result<()> = Err(anyhow::anyhow!(
            "{}: the file ends in the middle of a caption ({})",
            display_safe(&torn.location),
            display_safe(&torn.detail)
        ));
        refused.hint(
            "fetch the file again: captions after this one are missing too, if there were any; \
             or leave this one out with --allow-truncated",
        )
    }

    /// Checks what was read. `tell` is told now and then how many images have been looked at, and of how many.
    fn examine(
        &self,
        reading: RawDataset,
        context: &Context,
        tell: &dyn Fn(u64, u64),
    ) -> anyhow::Result<(Dataset, PrepareReport)> {
        let total = reading.images.len() as u64;
        let progress = context.progress(Task {
            label: CHECKING.into(),
            unit: IMAGES,
            total: Some(total),
            done: 0,
        });
        let checked = AtomicU64::new(0);
        let decode = |path: &Path| {
            let decoded = image_io::decode(path);
            decoded.map(drop).map_err(|error| error.fault.to_string())
        };
        let count = |news: data::PrepareProgress| {
            if news.stage == PrepareStage::Checking {
                progress.advance(1);
                checked.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (settings, source, name) = (self.settings(), self.source(), self.name.as_str());
        // The images are checked on all threads; news is told from this one.
        let outcome = thread::scope(|scope| {
            let work = scope.spawn(|| build(&settings, &source, reading, name, &decode, &count));
            while !work.is_finished() {
                tell(checked.load(Ordering::Relaxed), total);
                thread::sleep(BETWEEN_LOOKS);
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

/// What a data set lacks to be learned from, if anything.
fn lacks_for_training(data_set: &Dataset) -> Option<&'static str> {
    let has_captions = |split| data_set.images(split).any(|image| !image.captions.is_empty());
    if !has_captions(Split::Train) {
        Some("nothing can be learned from it: no image of the training split has a caption")
    } else if !has_captions(Split::Dev) {
        Some(
            "nothing can be trained on it: its dev split has no captions; give it more images, or split lists",
        )
    } else if data_set.vocabulary.words().next().is_none() {
        Some("no word is frequent enough for the vocabulary; prepare again with a lower --min-count")
    } else {
        None
    }
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

    /// How images go through the network on this device.
    fn batching<D: Backend>(&self) -> Batching {
        Batching {
            size: self.batch_size.unwrap_or(D::INFERENCE_BATCH),
            prefetch: D::PREFETCHED_BATCHES,
        }
    }

    fn eye<D: Backend>(&self, device: &D) -> anyhow::Result<Option<Eye<D>>> {
        let (Some(backbone), Some(weights)) = (self.backbone, &self.weights) else {
            return Ok(None);
        };
        let file = WeightFile::open(weights)?;
        let encoder = FeatureExtractor::load(backbone, &file, self.layer.as_deref(), self.features, device)?;
        Ok(Some(Eye {
            encoder: encoder.with_crop_mode(self.crop_mode),
            weights: weights.clone(),
        }))
    }
}
