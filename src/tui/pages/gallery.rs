//! Images beside their captions: which are shown, and what keys do in their tab.

use super::attention::AttentionView;
use crate::evaluation::{CaptionedImage, Report};
use crate::search::{SearchSettings, WrittenCaption};
use crate::tui::app::{App, Move};
use crate::tui::forms::{Purpose, prompts, search};
use crate::tui::keys::Action;
use crate::tui::message::{AttentionRequest, CaptionRequest, Effect, EvaluationKey, Writers};
use crate::tui::popup::{Choice, Chooser, Chosen, Popup};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The images of an evaluation with their captions.
#[derive(Clone, Debug, PartialEq)]
pub struct Album {
    /// What was scored, and every image's caption.
    pub report: Report,
    /// The file of each image, in the order of the captions; none where the data set is not at hand.
    pub files: Vec<Option<PathBuf>>,
}

/// Which of the two albums is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The one that is gone through.
    Main,
    /// The one whose captions stand beside.
    Beside,
}

/// An album to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlbumRequest {
    /// Of this evaluation.
    pub of: EvaluationKey,
    /// For this use.
    pub seat: Seat,
}

/// In which order images are gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// As the data set has them.
    #[default]
    AsTheyCome,
    /// By CIDEr-D, the best first.
    BestFirst,
    /// By CIDEr-D, the worst first.
    WorstFirst,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::AsTheyCome => Self::BestFirst,
            Self::BestFirst => Self::WorstFirst,
            Self::WorstFirst => Self::AsTheyCome,
        }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::AsTheyCome => "as they come",
            Self::BestFirst => "the best first",
            Self::WorstFirst => "the worst first",
        }
    }
}

/// An album, and how far the reading of it is.
#[derive(Clone, Debug)]
struct Shelf {
    of: EvaluationKey,
    /// The head of its report when it was asked for, to know it from a later one.
    head: Option<Arc<Report>>,
    album: Option<Result<Arc<Album>, String>>,
}

/// What was asked of the captioner, and what it answered.
#[derive(Clone, Debug)]
pub struct Written {
    /// What was asked for.
    pub request: CaptionRequest,
    /// What the search ended with, best first; or why there is nothing; nothing yet at first.
    pub captions: Option<Result<Vec<WrittenCaption>, String>>,
}

/// The page of images and captions.
#[derive(Clone, Debug, Default)]
pub struct GalleryPage {
    main: Option<Shelf>,
    beside: Option<Shelf>,
    /// Which image to show once the album is there.
    awaited: Option<String>,
    /// Where the images stand in the album that are gone through, in their order.
    shown: Vec<usize>,
    at: usize,
    /// Words that captions hold which are gone through.
    pub words: String,
    /// Their order.
    pub sort: Sort,
    /// An image on disk that is looked at instead.
    own: Option<PathBuf>,
    /// Whether what the search ends with is shown.
    pub alternatives: Alternatives,
    /// Search settings that are tried instead of those of the evaluation.
    pub tried: Option<SearchSettings>,
    /// Where the decoder looked, while that is shown.
    pub attention: AttentionView,
    written: Option<Written>,
}

/// Whether something is shown that costs time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alternatives {
    /// It is.
    Shown,
    /// It is not.
    #[default]
    Hidden,
}

impl GalleryPage {
    /// The evaluation that is shown, or will be.
    pub fn of(&self) -> Option<&EvaluationKey> {
        self.main.as_ref().map(|shelf| &shelf.of)
    }

    /// The album, or why there is none; nothing before it is read.
    pub fn album(&self) -> Option<&Result<Arc<Album>, String>> {
        self.main.as_ref()?.album.as_ref()
    }

    fn pages(&self) -> Option<&Album> {
        Some(self.album()?.as_ref().ok()?.as_ref())
    }

    /// The image on disk that is looked at instead of those of the album.
    pub fn own(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// Images that are gone through, and how many there are.
    pub fn count(&self) -> (usize, usize) {
        (
            self.shown.len(),
            self.pages().map_or(0, |album| album.report.captions.len()),
        )
    }

    /// Where among them, from 0.
    pub fn at(&self) -> usize {
        self.at
    }

    fn place(&self) -> Option<usize> {
        self.shown.get(self.at).copied()
    }

    /// The image with its caption.
    pub fn captioned(&self) -> Option<&CaptionedImage> {
        self.pages()?.report.captions.get(self.place()?)
    }

    /// The same image's caption in the album that stands beside.
    pub fn beside(&self) -> Option<(&EvaluationKey, Result<&CaptionedImage, &str>)> {
        let shelf = self.beside.as_ref()?;
        let image = &self.captioned()?.image;
        let found = match shelf.album.as_ref()? {
            Ok(album) => {
                let mut captions = album.report.captions.iter();
                captions
                    .find(|other| other.image == *image)
                    .ok_or("it has no caption for this image")
            }
            Err(why) => Err(why.as_str()),
        };
        Some((&shelf.of, found))
    }

    /// The file of the image that is looked at.
    pub fn file(&self) -> Option<&Path> {
        match &self.own {
            Some(path) => Some(path),
            None => self.pages()?.files.get(self.place()?)?.as_deref(),
        }
    }

    /// What the captioner was asked for the image that is looked at, and what it answered.
    pub fn written(&self) -> Option<&Written> {
        let written = self.written.as_ref()?;
        (Some(written.request.image.as_path()) == self.file()).then_some(written)
    }

    /// The caption that stands at the image: that of the album, or for any other image the best one written.
    pub fn caption(&self) -> Option<&str> {
        match &self.own {
            None => Some(&self.captioned()?.caption),
            Some(_) => {
                let written = self.written()?.captions.as_ref()?.as_ref().ok()?;
                Some(&written.first()?.caption)
            }
        }
    }

    /// Shows an evaluation, at an image.
    pub(in crate::tui) fn open_at(&mut self, of: EvaluationKey, image: &str) {
        self.own = None;
        self.words.clear();
        if self.of() == Some(&of) {
            self.arrange();
            self.show(image);
        } else {
            self.awaited = Some(image.to_owned());
            self.put(Seat::Main, of);
        }
    }

    fn put(&mut self, seat: Seat, of: EvaluationKey) {
        let shelf = Some(Shelf {
            of,
            head: None,
            album: None,
        });
        match seat {
            Seat::Main => {
                self.main = shelf;
                self.shown.clear();
                self.tried = None;
            }
            Seat::Beside => self.beside = shelf,
        }
    }

    fn show(&mut self, image: &str) {
        let captions = self.pages().map_or(&[][..], |album| &album.report.captions);
        let is_it = |place: &usize| captions.get(*place).is_some_and(|known| known.image == image);
        if let Some(at) = self.shown.iter().position(is_it) {
            self.at = at;
        }
    }

    pub(in crate::tui) fn loaded(&mut self, request: &AlbumRequest, album: Result<Arc<Album>, String>) {
        let shelf = match request.seat {
            Seat::Main => &mut self.main,
            Seat::Beside => &mut self.beside,
        };
        if let Some(shelf) = shelf.as_mut().filter(|shelf| shelf.of == request.of) {
            shelf.album = Some(album);
        }
        if request.seat == Seat::Main {
            self.arrange();
            if let Some(image) = self.awaited.take() {
                self.show(&image);
            }
        }
    }

    /// Makes the list of images that are gone through anew.
    fn arrange(&mut self) {
        let looked_at = self.captioned().map(|captioned| captioned.image.clone());
        let captions = self.pages().map_or(&[][..], |album| &album.report.captions);
        let words: Vec<String> = self
            .words
            .to_lowercase()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let holds = |captioned: &CaptionedImage| {
            let own = captioned.caption.to_lowercase();
            words.iter().all(|word| own.contains(word))
                || captioned.references.iter().any(|reference| {
                    let reference = reference.to_lowercase();
                    words.iter().all(|word| reference.contains(word))
                })
        };
        let mut shown: Vec<usize> = (0..captions.len()).filter(|&at| holds(&captions[at])).collect();
        let score = |at: &usize| captions[*at].scores.cider_d;
        match self.sort {
            Sort::AsTheyCome => {}
            Sort::BestFirst => shown.sort_by(|one, other| score(other).total_cmp(&score(one))),
            Sort::WorstFirst => shown.sort_by(|one, other| score(one).total_cmp(&score(other))),
        }
        self.shown = shown;
        self.at = 0;
        if let Some(image) = looked_at {
            self.show(&image);
        }
    }

    /// Goes through those images alone whose captions or references hold all of these words.
    pub(in crate::tui) fn filter(&mut self, words: &str) {
        self.words = words.to_owned();
        self.arrange();
    }

    /// Shows an image of those that are gone through.
    pub(in crate::tui) fn jump(&mut self, to: &str) -> Result<(), String> {
        let captions = self.pages().map_or(&[][..], |album| &album.report.captions);
        let begins = |place: &usize| captions[*place].image.starts_with(to);
        let by_number = || {
            to.parse::<usize>()
                .ok()?
                .checked_sub(1)
                .filter(|at| *at < self.shown.len())
        };
        let at = self.shown.iter().position(begins).or_else(by_number);
        self.at =
            at.ok_or_else(|| format!("no image here is called {to}, and there are {}", self.shown.len()))?;
        self.own = None;
        Ok(())
    }

    pub(in crate::tui) fn captioned_by(
        &mut self,
        request: &CaptionRequest,
        captions: Result<Vec<WrittenCaption>, String>,
    ) {
        if let Some(written) = self
            .written
            .as_mut()
            .filter(|written| written.request == *request)
        {
            written.captions = Some(captions);
        }
    }

    fn go(&mut self, direction: Move) {
        self.own = None;
        self.at = direction.from(self.at, self.shown.len());
    }
}

impl App {
    /// What the gallery shows and is not at hand: albums, and captions of the image that is looked at.
    pub(in crate::tui) fn ask_for_album(&mut self) -> Vec<Effect> {
        if self.gallery.main.is_none()
            && let Some(of) = self.usual_album()
        {
            self.gallery.put(Seat::Main, of);
        }
        let mut effects = Vec::new();
        for (seat, shelf) in [
            (Seat::Main, &mut self.gallery.main),
            (Seat::Beside, &mut self.gallery.beside),
        ] {
            let Some(shelf) = shelf else { continue };
            let mut finished = self.evaluate.finished();
            let Some(head) = finished
                .find(|known| known.key == shelf.of)
                .and_then(|known| known.head.clone())
            else {
                continue;
            };
            if shelf.head.as_ref().is_none_or(|asked| !Arc::ptr_eq(asked, &head)) {
                shelf.head = Some(head);
                let of = shelf.of.clone();
                effects.push(Effect::LoadAlbum(AlbumRequest { of, seat }));
            }
        }
        effects.extend(self.ask_for_captions());
        let looked = self.attention_request();
        effects.extend(self.gallery.attention.ask(looked));
        effects
    }

    /// The evaluation that is shown unless another is asked for: one of the run that is looked at, or any.
    fn usual_album(&self) -> Option<EvaluationKey> {
        let open = self.runs.open().map(|view| view.name.as_str());
        let of_open = self
            .evaluate
            .finished()
            .find(|known| Some(known.key.run.as_str()) == open);
        let any = of_open.or_else(|| self.evaluate.finished().next());
        any.map(|known| known.key.clone())
    }

    fn ask_for_captions(&mut self) -> Option<Effect> {
        let is_wanted = self.gallery.alternatives == Alternatives::Shown || self.gallery.own.is_some();
        let request = self.caption_request().filter(|_| is_wanted)?;
        let is_known = |written: &&Written| written.request == request;
        if self.gallery.written.as_ref().filter(is_known).is_some() {
            return None;
        }
        self.gallery.written = Some(Written {
            request: request.clone(),
            captions: None,
        });
        Some(Effect::Caption(request))
    }

    /// How the image that is looked at would be captioned.
    fn caption_request(&self) -> Option<CaptionRequest> {
        let (by, search) = self.writers()?;
        Some(CaptionRequest {
            by,
            image: self.gallery.file()?.to_owned(),
            search: self.gallery.tried.clone().unwrap_or(search),
        })
    }

    /// For what it is to be told where the decoder looked, if that is to be shown.
    fn attention_request(&self) -> Option<AttentionRequest> {
        if !self.gallery.attention.is_shown() {
            return None;
        }
        Some(AttentionRequest {
            by: self.writers()?.0,
            image: self.gallery.file()?.to_owned(),
            caption: self.gallery.caption()?.to_owned(),
        })
    }

    /// Who writes the captions here, and how they are searched for.
    fn writers(&self) -> Option<(Writers, SearchSettings)> {
        let of_report = self.gallery.pages().map(|album| {
            let report = &album.report;
            let run = self.gallery.of().map_or(&report.subject.run, |of| &of.run);
            let writers = Writers {
                run: run.clone(),
                checkpoint: report.subject.checkpoint.clone(),
                ensemble: report.subject.ensemble.clone(),
            };
            (writers, report.search.clone())
        });
        let of_run = || {
            let view = self.runs.open()?;
            let search = view.settings.pointer("/search").cloned();
            let search = search.and_then(|search| serde_json::from_value(search).ok());
            let writers = Writers {
                run: view.name.clone(),
                checkpoint: "best".to_owned(),
                ensemble: Vec::new(),
            };
            Some((writers, search.unwrap_or_default()))
        };
        of_report.or_else(of_run)
    }

    pub(in crate::tui) fn act_on_gallery(&mut self, action: Action) -> Vec<Effect> {
        if let Some(direction) = Move::of(action) {
            self.gallery.go(direction);
            return Vec::new();
        }
        match action {
            Action::Left => self.go_beside(Move::Up),
            Action::Right => self.go_beside(Move::Down),
            Action::Attention => return self.switch_attention(),
            Action::Search => {
                let form = prompts::filter_form(&self.gallery.words);
                self.open_form(Purpose::Filter, form);
            }
            Action::Sort => {
                self.gallery.sort = self.gallery.sort.next();
                self.gallery.arrange();
            }
            Action::Jump => self.open_form(Purpose::Jump, prompts::jump_form()),
            Action::Alternatives => {
                self.gallery.alternatives = match self.gallery.alternatives {
                    Alternatives::Shown => Alternatives::Hidden,
                    Alternatives::Hidden => Alternatives::Shown,
                };
            }
            Action::OtherSearch => return self.ask_for_search(),
            Action::OpenImage => self.open_form(Purpose::OpenImage, prompts::image_form()),
            Action::ChooseEvaluation => return self.choose_album(Choice::Album, "look at"),
            Action::CompareWith => return self.choose_album(Choice::Beside, "beside it"),
            Action::Open if self.gallery.main.is_none() => return self.ask_for_evaluation(),
            Action::Back if self.gallery.attention.is_shown() => self.gallery.attention.end(),
            Action::Back => {
                self.gallery.own = None;
                self.gallery.tried = None;
                self.gallery.beside = None;
                self.gallery.alternatives = Alternatives::Hidden;
                self.gallery.filter("");
            }
            _ => {}
        }
        Vec::new()
    }

    /// To the word beside while it is shown where the decoder looked, else to the image.
    fn go_beside(&mut self, direction: Move) {
        match self.gallery.attention.is_shown() {
            true => self.gallery.attention.go(direction),
            false => self.gallery.go(direction),
        }
    }

    fn switch_attention(&mut self) -> Vec<Effect> {
        if self.gallery.file().is_none() && !self.gallery.attention.is_shown() {
            return self.refuse("there is no image here to look at");
        }
        self.gallery.attention.switch();
        Vec::new()
    }

    fn ask_for_search(&mut self) -> Vec<Effect> {
        match self.caption_request() {
            Some(request) => {
                self.open_form(Purpose::Search, search::form(&request.search));
                Vec::new()
            }
            None => self.refuse("there is no image here to caption"),
        }
    }

    pub(in crate::tui) fn try_search(&mut self, settings: SearchSettings) -> Vec<Effect> {
        self.gallery.tried = Some(settings);
        self.gallery.alternatives = Alternatives::Shown;
        Vec::new()
    }

    pub(in crate::tui) fn open_image(&mut self, path: PathBuf) -> Vec<Effect> {
        if self.gallery.main.is_none() && self.runs.open().is_none() {
            return self.refuse("there is no run yet that could caption it");
        }
        self.gallery.own = Some(path);
        Vec::new()
    }

    fn choose_album(&mut self, choice: Choice, title: &'static str) -> Vec<Effect> {
        let now = match choice {
            Choice::Beside => self.gallery.beside.as_ref().map(|shelf| &shelf.of),
            _ => self.gallery.of(),
        };
        let items: Vec<(String, Chosen)> = self
            .evaluate
            .finished()
            .map(|known| (known.key.to_string(), Chosen::when(Some(&known.key) == now)))
            .collect();
        if items.is_empty() {
            return self.refuse("there is no evaluation yet");
        }
        let at = items
            .iter()
            .position(|(_, chosen)| *chosen == Chosen::Yes)
            .unwrap_or(0);
        self.popups.push(Popup::Choose(Chooser {
            choice,
            title,
            items,
            at,
        }));
        Vec::new()
    }

    pub(in crate::tui) fn chosen_album(&mut self, chooser: &Chooser) -> Vec<Effect> {
        let chosen = chooser.items.get(chooser.at).map(|(name, _)| name);
        let mut finished = self.evaluate.finished();
        let found = finished.find(|known| Some(&known.key.to_string()) == chosen);
        if let Some(of) = found.map(|known| known.key.clone()) {
            let seat = match chooser.choice {
                Choice::Beside => Seat::Beside,
                Choice::Album | Choice::Overlay => Seat::Main,
            };
            self.gallery.put(seat, of);
        }
        Vec::new()
    }
}
