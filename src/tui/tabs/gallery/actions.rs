//! What keys do in the Gallery tab, and what it loads.

use crate::jobs::{CheckpointKind, CheckpointRef};
use crate::search::SearchSettings;
use crate::tui::forms::prompts::Prompt;
use crate::tui::forms::search;
use crate::tui::popups::chooser::{Chooser, ChooserItem, ChooserPurpose};
use crate::tui::{
    Action, App, AttentionRequest, CaptionRequest, Effect, EvaluationKey, EvaluationListing, FormPurpose,
    GalleryRequest, GallerySlot, ListMove, Popup, cycle,
};
use std::path::PathBuf;
use std::sync::Arc;

impl App {
    /// Requests images, hypotheses and attention weights that are missing.
    pub fn load_gallery(&mut self) -> Vec<Effect> {
        if self.gallery.main.is_none()
            && let Some(of) = self.default_evaluation()
        {
            self.gallery.put(GallerySlot::Main, of);
        }
        let mut effects = Vec::new();
        for slot in [GallerySlot::Main, GallerySlot::Comparison] {
            let Some(loaded) = self.gallery.slot(slot) else {
                continue;
            };
            let evaluation = self.evaluate.finished().find(|known| known.key == loaded.of);
            let Some(head) = evaluation.and_then(|known| known.head.as_ref()) else {
                continue;
            };
            let requested = loaded.head.as_ref();
            if requested.is_none_or(|requested| !Arc::ptr_eq(requested, head)) {
                loaded.head = Some(Arc::clone(head));
                let of = loaded.of.clone();
                effects.push(Effect::LoadGallery(GalleryRequest { of, slot }));
            }
        }
        if self.gallery.shows_hypotheses || self.gallery.image_file.is_some() {
            let request = self.caption_request();
            let new = request.and_then(|request| self.gallery.hypotheses.ask(Some(request)));
            effects.extend(new.map(Effect::Caption));
        }
        let request = self.attention_request();
        let new = self.gallery.attention.ask(request);
        effects.extend(new.map(Effect::ComputeAttention));
        effects
    }

    /// The evaluation shown by default: one of the open run, otherwise the first.
    fn default_evaluation(&self) -> Option<EvaluationKey> {
        let open = self.runs.open().map(|view| view.name.as_str());
        let of_open = self
            .evaluate
            .finished()
            .find(|known| Some(known.key.run.as_str()) == open);
        let any = of_open.or_else(|| self.evaluate.finished().next());
        any.map(|known| known.key.clone())
    }

    fn caption_request(&self) -> Option<CaptionRequest> {
        let (members, search) = self.ensemble_and_search()?;
        Some(CaptionRequest {
            members,
            image: self.gallery.file()?.to_owned(),
            search: self.gallery.search_override.clone().unwrap_or(search),
        })
    }

    fn attention_request(&self) -> Option<AttentionRequest> {
        if !self.gallery.attention.is_shown {
            return None;
        }
        Some(AttentionRequest {
            members: self.ensemble_and_search()?.0,
            image: self.gallery.file()?.to_owned(),
            caption: self.gallery.caption()?.to_owned(),
        })
    }

    /// The checkpoints and search settings of the current evaluation, otherwise those of the open run.
    fn ensemble_and_search(&self) -> Option<(Vec<CheckpointRef>, SearchSettings)> {
        let of_report = self.gallery.loaded_images().map(|images| {
            let report = &images.report;
            let run = self
                .gallery
                .evaluation_key()
                .map_or(&report.info.run, |of| &of.run);
            let first = CheckpointRef {
                run: run.clone(),
                checkpoint: report.info.checkpoint,
            };
            let others = report.info.ensemble.iter().cloned();
            let members = std::iter::once(first).chain(others).collect();
            (members, report.search.clone())
        });
        let of_run = || {
            let view = self.runs.open()?;
            let search = view.summary.settings.pointer("/search").cloned();
            let search = search.and_then(|search| serde_json::from_value(search).ok());
            let best = CheckpointRef {
                run: view.name.clone(),
                checkpoint: CheckpointKind::Best,
            };
            Some((vec![best], search.unwrap_or_default()))
        };
        of_report.or_else(of_run)
    }

    pub fn act_on_gallery(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = ListMove::of(action) {
            self.gallery.go(direction);
            return Vec::new();
        }
        match action {
            Action::Left => self.step_word_or_image(ListMove::Up),
            Action::Right => self.step_word_or_image(ListMove::Down),
            Action::Attention => return self.toggle_attention(),
            Action::Search => self.prompt(Prompt::Filter, &self.gallery.words.clone()),
            Action::Sort => {
                self.gallery.sort = cycle(self.gallery.sort, 1);
                self.gallery.filter_and_sort();
            }
            Action::Jump => self.prompt(Prompt::Jump, ""),
            Action::Hypotheses => self.gallery.shows_hypotheses = !self.gallery.shows_hypotheses,
            Action::SearchSettings => return self.open_search_form(),
            Action::OpenImage => self.prompt(Prompt::OpenImage, ""),
            Action::ChooseEvaluation => return self.choose_evaluation(ChooserPurpose::Gallery, "evaluation"),
            Action::CompareWith => return self.choose_evaluation(ChooserPurpose::Comparison, "compare with"),
            Action::Open if self.gallery.main.is_none() => return self.open_evaluate_form(),
            Action::Back if self.gallery.attention.is_shown => self.gallery.attention.toggle(),
            Action::Back => {
                self.gallery.image_file = None;
                self.gallery.search_override = None;
                self.gallery.comparison = None;
                self.gallery.shows_hypotheses = false;
                self.gallery.filter("");
            }
            _ => {}
        }
        Vec::new()
    }

    /// To the next word while attention weights are shown, otherwise to the next image.
    fn step_word_or_image(&mut self, direction: ListMove) {
        if self.gallery.attention.is_shown {
            self.gallery.attention.go(direction);
        } else {
            self.gallery.go(direction);
        }
    }

    fn toggle_attention(&mut self) -> Vec<Effect> {
        if self.gallery.file().is_none() && !self.gallery.attention.is_shown {
            return self.reject("no image");
        }
        self.gallery.attention.toggle();
        Vec::new()
    }

    fn open_search_form(&mut self) -> Vec<Effect> {
        match self.caption_request() {
            Some(request) => {
                self.open_form(FormPurpose::Search, search::form(&request.search));
                Vec::new()
            }
            None => self.reject("no image to caption"),
        }
    }

    pub fn set_search(&mut self, settings: SearchSettings) -> Vec<Effect> {
        self.gallery.search_override = Some(settings);
        self.gallery.shows_hypotheses = true;
        Vec::new()
    }

    pub fn open_image(&mut self, path: PathBuf) -> Vec<Effect> {
        if self.gallery.main.is_none() && self.runs.open().is_none() {
            return self.reject("no run yet that could caption it");
        }
        self.gallery.image_file = Some(path);
        Vec::new()
    }

    fn choose_evaluation(&mut self, purpose: ChooserPurpose, title: &'static str) -> Vec<Effect> {
        let now = match purpose {
            ChooserPurpose::Comparison => self.gallery.comparison.as_ref().map(|loaded| &loaded.of),
            _ => self.gallery.evaluation_key(),
        };
        let compares = purpose == ChooserPurpose::Comparison;
        let items: Vec<ChooserItem> = self
            .evaluate
            .finished()
            .filter(|listing| !compares || self.has_images_of_gallery(listing))
            .map(|listing| ChooserItem {
                label: listing.key.to_string(),
                is_chosen: Some(&listing.key) == now,
            })
            .collect();
        if items.is_empty() {
            return self.reject(match compares {
                true => "no other evaluation of these images",
                false => "no evaluations yet",
            });
        }
        let selected = items.iter().position(|item| item.is_chosen).unwrap_or(0);
        self.popups.push(Popup::Choose(Chooser {
            purpose,
            title,
            items,
            selected,
        }));
        Vec::new()
    }

    /// Whether this is another evaluation of the split in the gallery.
    fn has_images_of_gallery(&self, listing: &EvaluationListing) -> bool {
        let shown = self.gallery.loaded_images().map(|images| &images.report.info);
        let (Some(shown), Some(head)) = (shown, &listing.head) else {
            return false;
        };
        let is_same_data = shown.data_hash == head.info.data_hash || shown.dataset == head.info.dataset;
        Some(&listing.key) != self.gallery.evaluation_key() && shown.split == head.info.split && is_same_data
    }

    pub fn show_chosen_evaluation(&mut self, chooser: &Chooser) -> Vec<Effect> {
        let chosen = chooser.items.get(chooser.selected).map(|item| &item.label);
        let mut finished = self.evaluate.finished();
        let evaluation = finished.find(|known| Some(&known.key.to_string()) == chosen);
        if let Some(EvaluationListing { key: of, .. }) = evaluation.cloned() {
            let slot = match chooser.purpose {
                ChooserPurpose::Comparison => GallerySlot::Comparison,
                ChooserPurpose::Gallery | ChooserPurpose::Overlay => GallerySlot::Main,
            };
            self.gallery.put(slot, of);
        }
        Vec::new()
    }
}
