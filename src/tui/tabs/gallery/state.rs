//! The state of the Gallery tab.

use super::attention::AttentionPanel;
use crate::evaluation::{CaptionedImage, Report};
use crate::metrics::Metric;
use crate::search::{SearchSettings, WrittenCaption};
use crate::text::counted;
use crate::tui::{
    CaptionRequest, EvaluationKey, GalleryImages, GalleryRequest, GallerySlot, ListMove, Pending,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
pub enum ImageSort {
    #[default]
    #[strum(serialize = "dataset order")]
    DatasetOrder,
    #[strum(serialize = "best first")]
    BestFirst,
    #[strum(serialize = "worst first")]
    WorstFirst,
}

#[derive(Clone, Debug)]
pub struct LoadedGallery {
    pub of: EvaluationKey,
    /// The report's head at the time of the request: shows whether it has been written again since.
    pub head: Option<Arc<Report>>,
    pub images: Option<Result<Arc<GalleryImages>, String>>,
}

/// The hypotheses of a caption, best first.
pub type Hypotheses = Result<Vec<WrittenCaption>, String>;

#[derive(Clone, Debug, Default)]
pub struct GalleryPage {
    pub main: Option<LoadedGallery>,
    pub comparison: Option<LoadedGallery>,
    /// The image to show as soon as the images are loaded.
    pub image_to_show: Option<String>,
    /// Indices of the images that pass the filter, in the current order.
    pub shown: Vec<usize>,
    pub index: usize,
    /// Filter: images whose captions contain all of these words.
    pub words: String,
    pub sort: ImageSort,
    /// An image file shown instead of the images of the evaluation.
    pub image_file: Option<PathBuf>,
    pub shows_hypotheses: bool,
    pub search_override: Option<SearchSettings>,
    pub attention: AttentionPanel,
    pub hypotheses: Pending<CaptionRequest, Hypotheses>,
}

impl GalleryPage {
    pub fn evaluation_key(&self) -> Option<&EvaluationKey> {
        self.main.as_ref().map(|loaded| &loaded.of)
    }

    /// `None` until it is loaded.
    pub fn images(&self) -> Option<&Result<Arc<GalleryImages>, String>> {
        self.main.as_ref()?.images.as_ref()
    }

    pub fn loaded_images(&self) -> Option<&GalleryImages> {
        Some(self.images()?.as_ref().ok()?.as_ref())
    }

    pub fn captions(&self) -> &[CaptionedImage] {
        self.loaded_images().map_or(&[], |images| &images.report.captions)
    }

    fn current(&self) -> Option<usize> {
        self.shown.get(self.index).copied()
    }

    pub fn captioned(&self) -> Option<&CaptionedImage> {
        self.captions().get(self.current()?)
    }

    pub fn comparison(&self) -> Option<(&EvaluationKey, Result<&CaptionedImage, &str>)> {
        let loaded = self.comparison.as_ref()?;
        let image = &self.captioned()?.image;
        let caption = match loaded.images.as_ref()? {
            Ok(images) => {
                let mut captions = images.report.captions.iter();
                captions
                    .find(|other| other.image == *image)
                    .ok_or("no caption for this image")
            }
            Err(why) => Err(why.as_str()),
        };
        Some((&loaded.of, caption))
    }

    pub fn file(&self) -> Option<&Path> {
        match &self.image_file {
            Some(path) => Some(path),
            None => self.loaded_images()?.files.get(self.current()?)?.as_deref(),
        }
    }

    /// The hypotheses of the current image, `None` until the worker answers, and the request for them.
    pub fn hypotheses(&self) -> Option<(&CaptionRequest, Option<&Hypotheses>)> {
        let Pending { request, answer } = &self.hypotheses;
        let request = request.as_ref()?;
        (Some(request.image.as_path()) == self.file()).then_some((request, answer.as_ref()))
    }

    /// The caption of the current image: from the evaluation, or for an image file the best hypothesis.
    pub fn caption(&self) -> Option<&str> {
        match &self.image_file {
            None => Some(&self.captioned()?.caption),
            Some(_) => {
                let (_, hypotheses) = self.hypotheses()?;
                Some(&hypotheses?.as_ref().ok()?.first()?.caption)
            }
        }
    }

    pub fn open_at(&mut self, of: EvaluationKey, image: &str) {
        self.image_file = None;
        self.words.clear();
        if self.evaluation_key() == Some(&of) {
            self.filter_and_sort();
            self.show(image);
        } else {
            self.image_to_show = Some(image.to_owned());
            self.put(GallerySlot::Main, of);
        }
    }

    pub fn slot(&mut self, slot: GallerySlot) -> &mut Option<LoadedGallery> {
        match slot {
            GallerySlot::Main => &mut self.main,
            GallerySlot::Comparison => &mut self.comparison,
        }
    }

    pub fn put(&mut self, slot: GallerySlot, of: EvaluationKey) {
        *self.slot(slot) = Some(LoadedGallery {
            of,
            head: None,
            images: None,
        });
        if slot == GallerySlot::Main {
            self.shown.clear();
            self.search_override = None;
        }
    }

    fn show(&mut self, image: &str) {
        let captions = self.captions();
        let is_named = |index: &usize| captions.get(*index).is_some_and(|known| known.image == image);
        if let Some(index) = self.shown.iter().position(is_named) {
            self.index = index;
        }
    }

    pub fn loaded(&mut self, request: &GalleryRequest, images: Result<Arc<GalleryImages>, String>) {
        let slot = self.slot(request.slot).as_mut();
        if let Some(loaded) = slot.filter(|loaded| loaded.of == request.of) {
            loaded.images = Some(images);
        }
        if request.slot == GallerySlot::Main {
            self.filter_and_sort();
            if let Some(image) = self.image_to_show.take() {
                self.show(&image);
            }
        }
    }

    /// Filters and sorts the images, and stays at the current one.
    pub fn filter_and_sort(&mut self) {
        let current = self.captioned().map(|captioned| captioned.image.clone());
        let captions = self.captions();
        let words = self.words.to_lowercase();
        let contains_words = |caption: &String| {
            let caption = caption.to_lowercase();
            words.split_whitespace().all(|word| caption.contains(word))
        };
        let is_shown = |index: &usize| {
            let CaptionedImage {
                caption, references, ..
            } = &captions[*index];
            contains_words(caption) || references.iter().any(contains_words)
        };
        let mut shown: Vec<usize> = (0..captions.len()).filter(is_shown).collect();
        let score = |index: &usize| captions[*index].scores.score(Metric::CIDER_D);
        match self.sort {
            ImageSort::DatasetOrder => {}
            ImageSort::BestFirst => shown.sort_by(|one, other| score(other).total_cmp(&score(one))),
            ImageSort::WorstFirst => shown.sort_by(|one, other| score(one).total_cmp(&score(other))),
        }
        self.shown = shown;
        self.index = 0;
        if let Some(image) = current {
            self.show(&image);
        }
    }

    /// Keeps the images whose caption or references contain all of these words.
    pub fn filter(&mut self, words: &str) {
        self.words = words.to_owned();
        self.filter_and_sort();
    }

    pub fn jump(&mut self, to: &str) -> Result<(), String> {
        let captions = self.captions();
        let begins = |index: &usize| captions[*index].image.starts_with(to);
        let by_number = || {
            to.parse::<usize>()
                .ok()?
                .checked_sub(1)
                .filter(|index| *index < self.shown.len())
        };
        let index = self.shown.iter().position(begins).or_else(by_number);
        self.index = index.ok_or_else(|| {
            format!(
                "no image named {to} among {}",
                counted(self.shown.len() as u64, "images")
            )
        })?;
        self.image_file = None;
        Ok(())
    }

    pub fn go(&mut self, direction: ListMove) {
        self.image_file = None;
        self.index = direction.from(self.index, self.shown.len());
    }
}
