//! `cutline caption`: images, and under each the caption that a run gives it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::attention::WordObject;
use super::compute::Compute;
use super::ensemble::EnsembleArgs;
use super::picture::{PictureArgs, draw};
use super::search::SearchArgs;
use super::terminal::{self, Role, display_path, display_safe};
use super::{Context, attention, json};
use crate::data::{Dataset, Image};
use crate::nn::Backend;
use crate::nn::device::Opened;
use crate::search::{
    Attention, AttentionError, Captioner, EncoderInput, Preprocessor, SearchSettings, Strategy,
    WrittenCaption,
};
use crate::training::TrainedRun;
use crate::vision::image_io::{self, ImageReadError};

/// Images captioned in a batch, if the output is not shown one by one.
const BATCH: usize = 16;

/// Caption images with a run
///
/// On a terminal each image is drawn with its caption under it, and its references where the run's data set
/// knows them. Into a pipe one line an image is printed: the path, a tab, the caption. An image that cannot be
/// read is named, the others are captioned all the same, and the exit code is 1.
///
/// With --attention it is shown where a decoder that attends looked for each word: on a terminal the image once
/// for each word, bright where most weight lies; into a pipe a line a word, which begins with a tab: the word, the
/// region that weighs most, and its share. Of several runs (--ensemble) the first that attends is shown.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline caption flickr8k-merge-001 image.jpg
  cutline caption flickr8k-merge-001 *.jpg --beam-size 5 > captions.tsv
  cutline caption flickr8k-merge-001 image.jpg --temperature 0.8 --seed 3
  cutline caption flickr8k-merge-001 image.jpg --ensemble flickr8k-inject-001
  cutline caption flickr8k-soft-attention-001 image.jpg --attention
  cutline caption flickr8k-merge-001 image.jpg --weights ~/vgg16.safetensors")]
pub(super) struct Caption {
    #[command(flatten)]
    ensemble: EnsembleArgs,
    /// The images: JPEG, PNG, GIF, WebP, TIFF or BMP
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// The backbone's weights, where the file is no longer where `prepare` read it; may be given again, for the runs of
    /// --ensemble in their order
    #[arg(long, value_name = "FILE")]
    weights: Vec<PathBuf>,
    /// Show where the decoder looked for each word, if it attends; the pictures are 24 columns wide unless --width
    /// says otherwise
    #[arg(long)]
    attention: bool,
    /// Print JSON: one object a line with `image`, `caption`, `log_probability`, `alternatives`, where
    /// known `references`, and with --attention `attention`: each `word` with its `weights`, row by row
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    picture: PictureArgs,
}

impl Compute for Caption {
    type Output = ();

    fn compute<D: Backend>(self, on: &Opened<D>, context: &Context) -> anyhow::Result<()> {
        let runs = self.ensemble.open(&on.device, context)?;
        let run = &runs.first;
        let search = run.search(self.search.over(&run.record.settings.search)?)?;
        let form = self.form(context);
        let references = match form {
            Form::Lines => References::default(),
            Form::Json | Form::Shown => References::of(run, context),
        };
        let run = run.directory.name();
        let captioner = runs.captioner(&self.weights)?;
        if self.attention {
            let message = || format!("where {run} looks cannot be shown");
            captioner.check_attends().with_context(message)?;
        }

        let mut unread = 0;
        for paths in self.images.chunks(batch_size(form, search.settings())) {
            let (images, errors) = read(paths, &captioner.preprocessor(), form);
            for error in &errors {
                tell(error, context);
            }
            unread += errors.len();
            if images.is_empty() {
                continue;
            }
            let (images, pixels): (Vec<_>, Vec<_>) = images.into_iter().unzip();
            let found = captioner.captions(&pixels, &search)?;
            for ((image, pixels), captions) in images.into_iter().zip(&pixels).zip(&found) {
                let captioned = Captioned {
                    references: references.of_image(image.path),
                    image,
                    captions,
                    attention: self.attention(&captioner, pixels, captions)?,
                };
                match form {
                    Form::Lines => context.print(&captioned.lines())?,
                    Form::Json => context.print(&json::line(&captioned.object())?)?,
                    Form::Shown => self.show(&captioned, context)?,
                }
            }
        }
        match self.images.len() {
            _ if unread == 0 => {}
            all if unread == all => anyhow::bail!("no image could be read"),
            all => anyhow::bail!("{unread} of {all} images could not be read; the others are captioned"),
        }
        Ok(())
    }
}

impl Caption {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        context.compute(self)
    }

    fn form(&self, context: &Context) -> Form {
        if self.json {
            Form::Json
        } else if context.terminal.stdout_is_terminal() {
            Form::Shown
        } else {
            Form::Lines
        }
    }

    /// Where the captioner looked for the words of the first caption, if that was asked for.
    fn attention<D: Backend>(
        &self,
        captioner: &Captioner<D>,
        pixels: &EncoderInput,
        captions: &[WrittenCaption],
    ) -> Result<Option<Attention>, AttentionError> {
        let wanted = self
            .attention
            .then(|| captioner.attention(pixels, best(captions).0));
        wanted.transpose()
    }

    fn show(&self, captioned: &Captioned<'_>, context: &Context) -> anyhow::Result<()> {
        let paint = context.terminal.stdout_paint();
        let path = display_path(captioned.image.path);
        context.print(&format!("{}\n", paint.text(Role::Quiet, &path)))?;
        let image = captioned.image.image.as_ref();
        let image = image.filter(|_| context.terminal.stdout_draws());
        match (image, &captioned.attention) {
            (Some(image), Some(attention)) => attention::draw(image, attention, &self.picture, context)?,
            (Some(image), None) => draw(image.clone(), &self.picture, &context.terminal)?,
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

/// An image with its captions.
struct Captioned<'a> {
    image: ReadImage<'a>,
    captions: &'a [WrittenCaption],
    references: &'a [String],
    /// Where it was asked for.
    attention: Option<Attention>,
}

impl Captioned<'_> {
    /// The path and the caption; then one line a word with its attention, if asked for.
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

/// How captions are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The path, a tab, the caption.
    Lines,
    /// An object a line.
    Json,
    /// The image, the caption under it, the references under that.
    Shown,
}

/// One where somebody looks on, and where words are drawn: an image's draws depend on its place in the batch,
/// and shall not depend on what other images are asked for.
fn batch_size(form: Form, search: &SearchSettings) -> usize {
    if form == Form::Shown || search.strategy == Strategy::Sample {
        1
    } else {
        BATCH
    }
}

struct ReadImage<'a> {
    path: &'a Path,
    /// Kept where it will be shown.
    image: Option<RgbImage>,
}

/// Decodes images on all threads; those that cannot be decoded stand in the second list.
fn read<'a>(
    paths: &'a [PathBuf],
    preprocessor: &Preprocessor<'_>,
    form: Form,
) -> (Vec<(ReadImage<'a>, EncoderInput)>, Vec<ImageReadError>) {
    let results: Vec<Result<_, ImageReadError>> = paths
        .par_iter()
        .map(|path| {
            let image = image_io::decode(path)?;
            let pixels = preprocessor.apply(&image);
            let image = (form == Form::Shown).then_some(image);
            Ok((ReadImage { path, image }, pixels))
        })
        .collect();
    let (mut images, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(image) => images.push(image),
            Err(error) => errors.push(error),
        }
    }
    (images, errors)
}

fn tell(error: &ImageReadError, context: &Context) {
    let label = context.terminal.stderr_paint().text(Role::Failure, "error:");
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
    /// The other captions that the search ended with.
    alternatives: &'a [WrittenCaption],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    references: &'a [String],
    /// Where the decoder looked for each word, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<Vec<WordObject<'a>>>,
}

/// The captions that people gave to the images of a data set, as far as it can be read.
#[derive(Default)]
struct References {
    by_path: HashMap<PathBuf, Vec<String>>,
    /// The data set's files of each name.
    by_name: HashMap<String, Vec<PathBuf>>,
}

impl References {
    /// Of the run's data set; none where it is gone, since captions are written without it.
    fn of<D: Backend>(run: &TrainedRun<D>, context: &Context) -> Self {
        let directory = run.data_set_directory(&context.root).ok();
        let data_set = directory.and_then(|directory| Dataset::load(&directory).ok());
        let mut references = Self::default();
        for image in data_set.into_iter().flat_map(|data_set| data_set.images) {
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

    /// Those of a file of the data set, or of a copy of one under the same name.
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
