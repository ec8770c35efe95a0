//! `cutline caption`: images, each with its caption.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::attention::WordObject;
use super::ensemble::EnsembleArgs;
use super::inline_image::{InlineImageArgs, draw};
use super::search::SearchArgs;
use super::terminal::{self, Role, display_path, display_safe};
use super::{Context, attention, image_paths, json, output};
use crate::data::{Dataset, Image, ImageNames};
use crate::nn::Backend;
use crate::nn::device::{Opened, on_device};
use crate::search::{
    Attention, AttentionError, Captioner, EncoderInput, Preprocessor, SearchSettings, Strategy,
    WrittenCaption,
};
use crate::text::counted;
use crate::training::TrainedRun;
use crate::vision::features::feature_file::FeatureFile;
use crate::vision::image_io;

/// Images per batch, where the output is not interactive.
const BATCH: usize = 16;

/// Caption images with a run or a packed file
///
/// On a terminal each image is drawn above its caption, followed by the references if the run's dataset has the image.
/// In a pipe each image is one line: path, tab, caption. An unreadable image is reported, the others are captioned,
/// and the exit code is 1.
///
/// --attention shows the attention weights of an attention decoder for each word: on a terminal the image once per word,
/// bright where the weight is high; in a pipe one line per word, starting with a tab: the word, the region with the
/// highest weight, and the weight. In an ensemble the first member with attention is shown.
///
/// --features-from captions features of new images instead of the images themselves: all that are in the file, or those of
/// the images named. The images need not exist.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline caption flickr8k-merge-001 image.jpg
  cutline caption flickr8k-merge-001 *.jpg --beam-size 5 > captions.tsv
  cutline caption captioner.cutline image.jpg
  cutline caption flickr8k-merge-001 photos/ --write txt
  find photos -newer last -name '*.jpg' | cutline caption flickr8k-merge-001 -
  cutline caption flickr8k-merge-001 image.jpg --temperature 0.8 --seed 3
  cutline caption flickr8k-merge-001 image.jpg --ensemble flickr8k-inject-001
  cutline caption flickr8k-soft-attention-001 image.jpg --attention
  cutline caption flickr8k-merge-001 image.jpg --weights ~/vgg16.safetensors
  cutline caption coco-top-down-001 --features-from clip.npz > captions.tsv")]
pub(super) struct Caption {
    #[command(flatten)]
    members: EnsembleArgs,
    /// Images: JPEG, PNG, GIF, WebP, TIFF or BMP; a directory with all images in it and below; or `-` for names of
    /// these on standard input, one per line
    #[arg(value_name = "IMAGE", required_unless_present = "features_from")]
    images: Vec<PathBuf>,
    /// Features of the images that another program made, for a run on such features; the forms are those of prepare
    #[arg(long, value_name = "FILE", conflicts_with_all = ["weights", "write"])]
    features_from: Option<PathBuf>,
    /// Names of the images of an .npy file [default: the .txt or .json file of its name beside it]
    #[arg(long, value_name = "FILE", requires = "features_from")]
    feature_names: Option<PathBuf>,
    /// The backbone's weights, if the file has moved since `prepare`; repeat for the runs of --ensemble, in their order
    #[arg(long, value_name = "FILE")]
    weights: Vec<PathBuf>,
    /// Show the attention weights of each word; the images are 24 columns wide [see --width]
    #[arg(long)]
    attention: bool,
    /// Print JSON Lines: objects with `image`, `caption`, `log_probability`, `alternatives`, `references` if known, and,
    /// with --attention, `attention`: each `word` with its `weights`, row by row
    #[arg(long)]
    json: bool,
    /// Also write each caption to a file beside its image: photo.txt for photo.jpg, or photo.json with the object of
    /// --json. Images that have this file already are skipped
    #[arg(long, value_name = "FORMAT", value_enum)]
    write: Option<Sidecar>,
    /// Replace the files of --write that exist
    #[arg(long, requires = "write")]
    force: bool,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    inline_image: InlineImageArgs,
}

impl Caption {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        on_device!(context.open_device()?, |device| self.caption(device, context))?
    }

    fn caption<D: Backend>(&self, device: &Opened<D>, context: &Context) -> anyhow::Result<()> {
        let members = self.members.open_members(&device.device, context)?;
        let first = &members.first;
        let search = first.search(self.search.apply_to(first.search_settings())?)?;
        let format = self.format(context);
        let references = match format {
            OutputFormat::Lines => References::default(),
            OutputFormat::Json | OutputFormat::Shown => first
                .run()
                .map(|run| References::of(run, context))
                .unwrap_or_default(),
        };
        let name = first.name();
        let features = self.features()?;
        let captioner = match &features {
            Some(_) => members.feature_captioner()?,
            None => members.captioner(&self.weights)?,
        };
        if self.attention {
            let cannot = || format!("{name} has no attention weights to show");
            captioner.check_attends().with_context(cannot)?;
        }

        let paths = match &features {
            Some(NamedFeatures { file, .. }) if self.images.is_empty() => {
                file.names().iter().map(PathBuf::from).collect()
            }
            _ => self.without_written(image_paths::expand(&self.images)?, context)?,
        };
        let mut failed = 0;
        for paths in paths.chunks(batch_size(format, search.settings())) {
            let (images, errors) = match &features {
                Some(features) => sorted_out(paths.iter().map(|path| features.read(path, &captioner))),
                None => read(paths, &captioner.preprocessor(), format),
            };
            for error in &errors {
                print_error(error.as_ref(), context);
            }
            failed += errors.len();
            if images.is_empty() {
                continue;
            }
            let (images, pixels): (Vec<_>, Vec<_>) = images.into_iter().unzip();
            let captions = captioner.captions(&pixels, &search)?;
            for ((image, pixels), captions) in images.into_iter().zip(&pixels).zip(&captions) {
                let captioned = Captioned {
                    references: references.of_image(image.path),
                    image,
                    captions,
                    attention: self.attention(&captioner, pixels, captions)?,
                };
                if let Some(sidecar) = self.write
                    && let Err(error) = self.write_beside(&captioned, sidecar)
                {
                    print_error(error.as_ref(), context);
                    failed += 1;
                }
                match format {
                    OutputFormat::Lines => context.print(&captioned.lines())?,
                    OutputFormat::Json => context.print(&json::line(&captioned.object())?)?,
                    OutputFormat::Shown => self.show(&captioned, context)?,
                }
            }
        }
        match paths.len() {
            _ if failed == 0 => Ok(()),
            all if failed == all => anyhow::bail!("no image could be captioned"),
            all => anyhow::bail!("{failed} of {all} images failed; the others are captioned"),
        }
    }

    fn features(&self) -> anyhow::Result<Option<NamedFeatures>> {
        let Some(path) = &self.features_from else {
            return Ok(None);
        };
        let file = FeatureFile::open(path, self.feature_names.as_deref())?;
        let names = ImageNames::new(file.names().iter().map(String::as_str));
        Ok(Some(NamedFeatures { file, names }))
    }

    /// The images to caption with `--write`: those without a file beside them, which may be a reference, or all with
    /// `--force`.
    ///
    /// # Errors
    /// If a file could not be written.
    fn without_written(&self, paths: Vec<PathBuf>, context: &Context) -> anyhow::Result<Vec<PathBuf>> {
        let Some(sidecar) = self.write else {
            return Ok(paths);
        };
        let is_written = |path: &PathBuf| !self.force && sidecar.of(path).exists();
        let (written, left): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_written);
        if let Some(first) = written.first() {
            context.notice(&format!(
                "skipped {} with a file of captions already, such as {}; replace these files with --force",
                counted(written.len() as u64, "images"),
                display_path(&sidecar.of(first))
            ));
        }
        let mut directories = BTreeSet::new();
        for path in &left {
            if path.exists() && directories.insert(path.parent()) {
                output::check(&sidecar.of(path))?;
            }
        }
        Ok(left)
    }

    fn write_beside(&self, captioned: &Captioned<'_>, sidecar: Sidecar) -> anyhow::Result<()> {
        let path = sidecar.of(captioned.image.path);
        let content = match sidecar {
            Sidecar::Txt => format!("{}\n", best(captioned.captions).0),
            Sidecar::Json => json::line(&captioned.object())?,
        };
        output::write(&path, content.as_bytes())
    }

    fn format(&self, context: &Context) -> OutputFormat {
        if self.json {
            OutputFormat::Json
        } else if context.terminal.stdout.is_terminal {
            OutputFormat::Shown
        } else {
            OutputFormat::Lines
        }
    }

    /// The attention weights of the first caption, with `--attention`.
    fn attention<D: Backend>(
        &self,
        captioner: &Captioner<D>,
        pixels: &EncoderInput,
        captions: &[WrittenCaption],
    ) -> Result<Option<Attention>, AttentionError> {
        self.attention
            .then(|| captioner.attention(pixels, best(captions).0))
            .transpose()
    }

    fn show(&self, captioned: &Captioned<'_>, context: &Context) -> anyhow::Result<()> {
        let paint = context.terminal.stdout.paint;
        let path = display_path(captioned.image.path);
        context.print(&format!("{}\n", paint.text(Role::Quiet, &path)))?;
        let image = captioned.image.image.as_ref();
        let image = image.filter(|_| context.terminal.stdout.draws);
        match (image, &captioned.attention) {
            (Some(image), Some(attention)) => attention::draw(image, attention, &self.inline_image, context)?,
            (Some(image), None) => draw(image.clone(), &self.inline_image, &context.terminal)?,
            (None, Some(attention)) => context.print(&attention::lines(attention))?,
            (None, None) => {}
        }
        let caption = display_safe(best(captioned.captions).0);
        let mut text = format!("{}\n", paint.text(Role::Heading, &caption));
        for reference in captioned.references {
            let line = format!("  reference: {}", display_safe(reference));
            let _ = writeln!(text, "{}", paint.text(Role::Quiet, &line));
        }
        context.print(&text)?;
        Ok(())
    }
}

/// An image with everything that is printed about it.
struct Captioned<'a> {
    image: ReadImage<'a>,
    captions: &'a [WrittenCaption],
    references: &'a [String],
    attention: Option<Attention>,
}

impl Captioned<'_> {
    /// The path and the caption, then one line per word with its attention.
    fn lines(&self) -> String {
        let caption = format!(
            "{}\t{}\n",
            display_path(self.image.path),
            display_safe(best(self.captions).0)
        );
        caption + &self.attention.as_ref().map(attention::lines).unwrap_or_default()
    }

    fn object(&self) -> Object<'_> {
        let (caption, log_probability) = best(self.captions);
        Object {
            image: self.image.path.to_string_lossy().into_owned(),
            caption,
            log_probability,
            alternatives: self.captions.get(1..).unwrap_or_default(),
            references: self.references,
            attention: self.attention.as_ref().map(attention::objects),
        }
    }
}

/// A file beside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sidecar {
    /// The caption.
    Txt,
    /// The object of `--json`.
    Json,
}

impl Sidecar {
    /// The path of an image's file.
    fn of(self, image: &Path) -> PathBuf {
        image.with_extension(match self {
            Self::Txt => "txt",
            Self::Json => "json",
        })
    }
}

/// How captions are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutputFormat {
    /// Path, tab, caption.
    Lines,
    /// One object per line.
    Json,
    /// The image, its caption and references.
    Shown,
}

/// 1 on a terminal, so that captions appear one by one, and 1 for sampling: random draws depend on an image's index in the
/// batch, and must not depend on the other images of the command line.
fn batch_size(format: OutputFormat, search: &SearchSettings) -> usize {
    if format == OutputFormat::Shown || search.strategy == Strategy::Sample {
        1
    } else {
        BATCH
    }
}

struct ReadImage<'a> {
    path: &'a Path,
    /// Only if it will be drawn.
    image: Option<RgbImage>,
}

/// An image and its input.
type ReadInput<'a> = (ReadImage<'a>, EncoderInput);

/// Decodes images on all threads; the second list has the errors.
fn read<'a>(
    paths: &'a [PathBuf],
    preprocessor: &Preprocessor<'_>,
    format: OutputFormat,
) -> (Vec<ReadInput<'a>>, Vec<anyhow::Error>) {
    let results: Vec<anyhow::Result<_>> = paths
        .par_iter()
        .map(|path| {
            let image = image_io::decode(path)?;
            let pixels = preprocessor.apply(&image);
            let image = (format == OutputFormat::Shown).then_some(image);
            Ok((ReadImage { path, image }, pixels))
        })
        .collect();
    sorted_out(results)
}

/// Features made elsewhere, and the images that they are of.
struct NamedFeatures {
    file: FeatureFile,
    names: ImageNames,
}

impl NamedFeatures {
    fn read<'a, D: Backend>(
        &self,
        path: &'a Path,
        captioner: &Captioner<D>,
    ) -> anyhow::Result<ReadInput<'a>> {
        let name = path.to_string_lossy();
        let found = self.names.find(&name);
        let index = found.with_context(|| {
            let file = display_path(self.file.path());
            format!("{}: {file} has no features with this name", display_path(path))
        })?;
        let (shape, features) = self.file.read(index)?;
        let input = captioner.feature_input(&name, shape, &features)?;
        Ok((ReadImage { path, image: None }, input))
    }
}

/// The images that could be read, and the errors of the others.
fn sorted_out<T>(results: impl IntoIterator<Item = anyhow::Result<T>>) -> (Vec<T>, Vec<anyhow::Error>) {
    let (mut images, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(image) => images.push(image),
            Err(error) => errors.push(error),
        }
    }
    (images, errors)
}

fn print_error(error: &dyn std::error::Error, context: &Context) {
    let label = context.terminal.stderr.paint.text(Role::Failure, "error:");
    terminal::print_to_stderr(&format!("{label} {}", display_safe(&error.to_string())));
}

/// The first caption and its log-probability.
fn best(captions: &[WrittenCaption]) -> (&str, f64) {
    captions.first().map_or(("", f64::NEG_INFINITY), |best| {
        (&best.caption, best.log_probability)
    })
}

#[derive(Serialize)]
struct Object<'a> {
    image: String,
    caption: &'a str,
    log_probability: f64,
    /// The other captions of the search, best first.
    alternatives: &'a [WrittenCaption],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    references: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<Vec<WordObject<'a>>>,
}

/// The reference captions of a dataset.
#[derive(Default)]
struct References {
    by_path: HashMap<PathBuf, Vec<String>>,
    /// File name -> files of the dataset.
    by_name: HashMap<String, Vec<PathBuf>>,
}

impl References {
    /// References from the run's dataset; none if it is missing, because captioning does not need it.
    fn of<D: Backend>(run: &TrainedRun<D>, context: &Context) -> Self {
        let directory = run.dataset_directory(&context.root).ok();
        let dataset = directory.and_then(|directory| Dataset::load(&directory).ok());
        let mut references = Self::default();
        for image in dataset.into_iter().flat_map(|dataset| dataset.images) {
            references.add(image);
        }
        references
    }

    fn add(&mut self, image: Image) {
        if let Some(name) = image.path.file_name() {
            let files = self
                .by_name
                .entry(name.to_string_lossy().into_owned())
                .or_default();
            files.push(image.path.clone());
        }
        let captions = image.captions.into_iter().map(|caption| caption.raw);
        self.by_path.insert(image.path, captions.collect());
    }

    /// The references of a file of the dataset, or of a copy with the same name.
    fn of_image(&self, path: &Path) -> &[String] {
        let canonical = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let known = self.by_path.get(&canonical).or_else(|| {
            let name = path.file_name()?.to_string_lossy();
            let mut same_name = self.by_name.get(name.as_ref())?.iter();
            let original = same_name.find(|original| is_copy(path, original))?;
            self.by_path.get(original)
        });
        known.map_or(&[], Vec::as_slice)
    }
}

fn is_copy(path: &Path, original: &Path) -> bool {
    let len = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.len());
    len(path) == len(original)
        && matches!((fs::read(path), fs::read(original)), (Ok(one), Ok(other)) if one == other)
}
