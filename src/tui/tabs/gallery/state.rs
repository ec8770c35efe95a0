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
    DataSetOrder,
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
    pub album: Option<Result<Arc<GalleryImages>, String>>,
}

/// A request to the caption worker and its answer.
#[derive(Clone, Debug)]
pub struct CaptionAttempt {
    pub request: CaptionRequest,
    /// The hypotheses, best first; `None` until the worker answers.
    pub captions: Option<Result<Vec<WrittenCaption>, String>>,
}

#[derive(Clone, Debug, Default)]
pub struct GalleryPage {
    pub main: Option<LoadedGallery>,
    pub beside: Option<LoadedGallery>,
    /// The image to show as soon as the images are loaded.
    pub image_to_show: Option<String>,
    /// Indices of the images that pass the filter, in the current order.
    pub shown: Vec<usize>,
    pub index: usize,
    /// Filter: images whose captions contain all of these words.
    pub words: String,
    pub sort: ImageSort,
    /// An image file shown instead of the images of the evaluation.
    pub own: Option<PathBuf>,
    /// Show all hypotheses of the beam.
    pub shows_hypotheses: bool,
    /// Search settings that replace those of the evaluation.
    pub tried: Option<SearchSettings>,
    /// Attention weights of the caption, while shown.
    pub attention: AttentionPanel,
    pub written: Option<CaptionAttempt>,
}

impl GalleryPage {
    pub fn of(&self) -> Option<&EvaluationKey> {
        self.main.as_ref().map(|slot_images| &slot_images.of)
    }

    /// `None` until it is loaded.
    pub fn album(&self) -> Option<&Result<Arc<GalleryImages>, String>> {
        self.main.as_ref()?.album.as_ref()
    }

    pub fn pages(&self) -> Option<&GalleryImages> {
        Some(self.album()?.as_ref().ok()?.as_ref())
    }

    /// The image file shown instead of the images of the evaluation.
    pub fn own(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// Images that pass the filter, and all images.
    pub fn count(&self) -> (usize, usize) {
        (
            self.shown.len(),
            self.pages().map_or(0, |album| album.report.captions.len()),
        )
    }

    pub fn index(&self) -> usize {
        self.index
    }

    pub fn current(&self) -> Option<usize> {
        self.shown.get(self.index).copied()
    }

    pub fn captioned(&self) -> Option<&CaptionedImage> {
        self.pages()?.report.captions.get(self.current()?)
    }

    /// The caption of the same image in the other evaluation.
    pub fn beside(&self) -> Option<(&EvaluationKey, Result<&CaptionedImage, &str>)> {
        let slot_images = self.beside.as_ref()?;
        let image = &self.captioned()?.image;
        let caption = match slot_images.album.as_ref()? {
            Ok(album) => {
                let mut captions = album.report.captions.iter();
                captions
                    .find(|other| other.image == *image)
                    .ok_or("no caption for this image")
            }
            Err(why) => Err(why.as_str()),
        };
        Some((&slot_images.of, caption))
    }

    pub fn file(&self) -> Option<&Path> {
        match &self.own {
            Some(path) => Some(path),
            None => self.pages()?.files.get(self.current()?)?.as_deref(),
        }
    }

    /// The hypotheses of the current image.
    pub fn written(&self) -> Option<&CaptionAttempt> {
        let written = self.written.as_ref()?;
        (Some(written.request.image.as_path()) == self.file()).then_some(written)
    }

    /// The caption of the current image: from the evaluation, or for an image file the best hypothesis.
    pub fn caption(&self) -> Option<&str> {
        match &self.own {
            None => Some(&self.captioned()?.caption),
            Some(_) => {
                let written = self.written()?.captions.as_ref()?.as_ref().ok()?;
                Some(&written.first()?.caption)
            }
        }
    }

    pub fn open_at(&mut self, of: EvaluationKey, image: &str) {
        self.own = None;
        self.words.clear();
        if self.of() == Some(&of) {
            self.arrange();
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
            album: None,
        });
        match slot {
            GallerySlot::Main => {
                self.main = slot_images;
                self.shown.clear();
                self.tried = None;
            }
            GallerySlot::Beside => self.beside = slot_images,
        }
    }

    pub fn show(&mut self, image: &str) {
        let captions = self.pages().map_or(&[][..], |album| &album.report.captions);
        let is_named = |index: &usize| captions.get(*index).is_some_and(|known| known.image == image);
        if let Some(index) = self.shown.iter().position(is_named) {
            self.index = index;
        }
    }

    pub fn loaded(&mut self, request: &GalleryRequest, album: Result<Arc<GalleryImages>, String>) {
        let slot_images = match request.slot {
            GallerySlot::Main => &mut self.main,
            GallerySlot::Beside => &mut self.beside,
        };
        if let Some(slot_images) = slot_images
            .as_mut()
            .filter(|slot_images| slot_images.of == request.of)
        {
            slot_images.album = Some(album);
        }
        if request.slot == GallerySlot::Main {
            self.arrange();
            if let Some(image) = self.image_to_show.take() {
                self.show(&image);
            }
        }
    }

    /// Filters and sorts the images, and stays at the current one.
    pub fn arrange(&mut self) {
        let current = self.captioned().map(|captioned| captioned.image.clone());
        let captions = self.pages().map_or(&[][..], |album| &album.report.captions);
        let words: Vec<String> = self
            .words
            .to_lowercase()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let contains_words = |captioned: &CaptionedImage| {
            let own = captioned.caption.to_lowercase();
            words.iter().all(|word| own.contains(word))
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
            ImageSort::DataSetOrder => {}
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
        self.arrange();
    }

    pub fn jump(&mut self, to: &str) -> Result<(), String> {
        let captions = self.pages().map_or(&[][..], |album| &album.report.captions);
        let begins = |index: &usize| captions[*index].image.starts_with(to);
        let by_number = || {
            to.parse::<usize>()
                .ok()?
                .checked_sub(1)
                .filter(|index| *index < self.shown.len())
        };
        let index = self.shown.iter().position(begins).or_else(by_number);
        self.index = index.ok_or_else(|| format!("no image named {to} among {} images", self.shown.len()))?;
        self.own = None;
        Ok(())
    }

    pub fn captioned_by(&mut self, request: &CaptionRequest, captions: Result<Vec<WrittenCaption>, String>) {
        if let Some(written) = self
            .written
            .as_mut()
            .filter(|written| written.request == *request)
        {
            written.captions = Some(captions);
        }
    }

    pub fn go(&mut self, direction: ListMove) {
        self.own = None;
        self.index = direction.from(self.index, self.shown.len());
    }
}
