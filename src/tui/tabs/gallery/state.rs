//! The state of the Gallery tab.

use super::attention::AttentionPanel;
use crate::evaluation::{CaptionedImage, Report};
use crate::metrics::Metric;
use crate::search::{SearchSettings, WrittenCaption};
use crate::tui::message::{CaptionRequest, EvaluationKey, GalleryImages, GalleryRequest, GallerySlot};
use crate::tui::navigation::ListMove;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
pub enum ImageSort {
    #[default]
    #[strum(serialize = "data set order")]
    DatasetOrder,
    #[strum(serialize = "best first")]
    BestFirst,
    #[strum(serialize = "worst first")]
    WorstFirst,
}

/// The images of an evaluation, once they are loaded.
#[derive(Clone, Debug)]
pub struct LoadedGallery {
    pub of: EvaluationKey,
    /// The report's head at the time of the request: shows whether it has been written again since.
    pub head: Option<Arc<Report>>,
    pub images: Option<Result<Arc<GalleryImages>, String>>,
}

/// A request to the caption worker and its answer.
#[derive(Clone, Debug)]
pub struct HypothesesRequest {
    pub request: CaptionRequest,
    /// The hypotheses, best first; `None` until the worker answers.
    pub captions: Option<Result<Vec<WrittenCaption>, String>>,
}

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
    /// Show all hypotheses of the beam.
    pub shows_hypotheses: bool,
    /// Search settings that replace those of the evaluation.
    pub search_override: Option<SearchSettings>,
    /// Attention weights of the caption, while shown.
    pub attention: AttentionPanel,
    pub hypotheses: Option<HypothesesRequest>,
}

impl GalleryPage {
    pub fn of(&self) -> Option<&EvaluationKey> {
        self.main.as_ref().map(|slot_images| &slot_images.of)
    }

    /// `None` until it is loaded.
    pub fn images(&self) -> Option<&Result<Arc<GalleryImages>, String>> {
        self.main.as_ref()?.images.as_ref()
    }

    pub fn loaded_images(&self) -> Option<&GalleryImages> {
        Some(self.images()?.as_ref().ok()?.as_ref())
    }

    /// The image file shown instead of the images of the evaluation.
    pub fn image_file(&self) -> Option<&Path> {
        self.image_file.as_deref()
    }

    /// Images that pass the filter, and all images.
    pub fn count(&self) -> (usize, usize) {
        (
            self.shown.len(),
            self.loaded_images()
                .map_or(0, |images| images.report.captions.len()),
        )
    }

    pub fn index(&self) -> usize {
        self.index
    }

    pub fn current(&self) -> Option<usize> {
        self.shown.get(self.index).copied()
    }

    pub fn captioned(&self) -> Option<&CaptionedImage> {
        self.loaded_images()?.report.captions.get(self.current()?)
    }

    /// The caption of the same image in the other evaluation.
    pub fn comparison(&self) -> Option<(&EvaluationKey, Result<&CaptionedImage, &str>)> {
        let slot_images = self.comparison.as_ref()?;
        let image = &self.captioned()?.image;
        let caption = match slot_images.images.as_ref()? {
            Ok(images) => {
                let mut captions = images.report.captions.iter();
                captions
                    .find(|other| other.image == *image)
                    .ok_or("no caption for this image")
            }
            Err(why) => Err(why.as_str()),
        };
        Some((&slot_images.of, caption))
    }

    pub fn file(&self) -> Option<&Path> {
        match &self.image_file {
            Some(path) => Some(path),
            None => self.loaded_images()?.files.get(self.current()?)?.as_deref(),
        }
    }

    /// The hypotheses of the current image.
    pub fn hypotheses(&self) -> Option<&HypothesesRequest> {
        let hypotheses = self.hypotheses.as_ref()?;
        (Some(hypotheses.request.image.as_path()) == self.file()).then_some(hypotheses)
    }

    /// The caption of the current image: from the evaluation, or for an image file the best hypothesis.
    pub fn caption(&self) -> Option<&str> {
        match &self.image_file {
            None => Some(&self.captioned()?.caption),
            Some(_) => {
                let hypotheses = self.hypotheses()?.captions.as_ref()?.as_ref().ok()?;
                Some(&hypotheses.first()?.caption)
            }
        }
    }

    pub fn open_at(&mut self, of: EvaluationKey, image: &str) {
        self.image_file = None;
        self.words.clear();
        if self.of() == Some(&of) {
            self.filter_and_sort();
            self.show(image);
        } else {
            self.image_to_show = Some(image.to_owned());
            self.put(GallerySlot::Main, of);
        }
    }

    pub fn put(&mut self, slot: GallerySlot, of: EvaluationKey) {
        let slot_images = Some(LoadedGallery {
            of,
            head: None,
            images: None,
        });
        match slot {
            GallerySlot::Main => {
                self.main = slot_images;
                self.shown.clear();
                self.search_override = None;
            }
            GallerySlot::Comparison => self.comparison = slot_images,
        }
    }

    pub fn show(&mut self, image: &str) {
        let captions = self
            .loaded_images()
            .map_or(&[][..], |images| &images.report.captions);
        let is_named = |index: &usize| captions.get(*index).is_some_and(|known| known.image == image);
        if let Some(index) = self.shown.iter().position(is_named) {
            self.index = index;
        }
    }

    pub fn loaded(&mut self, request: &GalleryRequest, images: Result<Arc<GalleryImages>, String>) {
        let slot_images = match request.slot {
            GallerySlot::Main => &mut self.main,
            GallerySlot::Comparison => &mut self.comparison,
        };
        if let Some(slot_images) = slot_images
            .as_mut()
            .filter(|slot_images| slot_images.of == request.of)
        {
            slot_images.images = Some(images);
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
        let captions = self
            .loaded_images()
            .map_or(&[][..], |images| &images.report.captions);
        let words: Vec<String> = self
            .words
            .to_lowercase()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let contains_words = |captioned: &CaptionedImage| {
            let caption = captioned.caption.to_lowercase();
            words.iter().all(|word| caption.contains(word))
                || captioned.references.iter().any(|reference| {
                    let reference = reference.to_lowercase();
                    words.iter().all(|word| reference.contains(word))
                })
        };
        let mut shown: Vec<usize> = (0..captions.len())
            .filter(|&index| contains_words(&captions[index]))
            .collect();
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
        let captions = self
            .loaded_images()
            .map_or(&[][..], |images| &images.report.captions);
        let begins = |index: &usize| captions[*index].image.starts_with(to);
        let by_number = || {
            to.parse::<usize>()
                .ok()?
                .checked_sub(1)
                .filter(|index| *index < self.shown.len())
        };
        let index = self.shown.iter().position(begins).or_else(by_number);
        self.index = index.ok_or_else(|| format!("no image named {to} among {} images", self.shown.len()))?;
        self.image_file = None;
        Ok(())
    }

    pub fn set_hypotheses(
        &mut self,
        request: &CaptionRequest,
        captions: Result<Vec<WrittenCaption>, String>,
    ) {
        if let Some(hypotheses) = self
            .hypotheses
            .as_mut()
            .filter(|hypotheses| hypotheses.request == *request)
        {
            hypotheses.captions = Some(captions);
        }
    }

    pub fn go(&mut self, direction: ListMove) {
        self.image_file = None;
        self.index = direction.from(self.index, self.shown.len());
    }
}
