//! Where the decoder looked for each word of the caption that the gallery shows: what was asked for, and at which
//! word one is.

use crate::search::{Attention, LookedWord};
use crate::tui::app::Move;
use crate::tui::message::{AttentionRequest, Effect};
use crate::vision::overlay::Overlay;
use std::sync::Arc;

/// What is known of where the decoder looked: it, or why there is nothing to see; nothing yet at first.
pub type Answer = Option<Result<Arc<Attention>, String>>;

/// Whether it is shown where the decoder looked, and for which word.
#[derive(Clone, Debug, Default)]
pub struct AttentionView {
    shown: Shown,
    asked: Option<AttentionRequest>,
    answer: Answer,
    word: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shown {
    Yes,
    #[default]
    No,
}

impl AttentionView {
    /// Whether it is shown.
    pub fn is_shown(&self) -> bool {
        self.shown == Shown::Yes
    }

    /// What is known of it.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Which word one is at, from 0, and all words.
    pub fn word(&self) -> Option<(usize, &[LookedWord])> {
        let words = &self.attention()?.words;
        (self.is_shown() && self.word < words.len()).then_some((self.word, words))
    }

    /// What lies over the image, and what will once one goes a word further or back.
    pub fn overlays(&self) -> Vec<Overlay> {
        let (Some(attention), Some((at, words))) = (self.attention(), self.word()) else {
            return Vec::new();
        };
        let near = [Some(at), at.checked_add(1), at.checked_sub(1)];
        let near = near.into_iter().flatten().filter_map(|at| words.get(at));
        near.map(|word| attention.overlay(word)).collect()
    }

    fn attention(&self) -> Option<&Attention> {
        Some(self.answer.as_ref()?.as_ref().ok()?.as_ref())
    }

    /// Shows it, or no longer.
    pub(super) fn switch(&mut self) {
        match self.shown {
            Shown::Yes => self.end(),
            Shown::No => self.shown = Shown::Yes,
        }
    }

    /// Shows it no longer.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// Goes to another word.
    pub(super) fn go(&mut self, direction: Move) {
        if let Some((at, words)) = self.word() {
            self.word = direction.from(at, words.len());
        }
    }

    /// Asks for what is to be shown, unless that was done; what was shown before goes.
    pub(super) fn ask(&mut self, wanted: Option<AttentionRequest>) -> Option<Effect> {
        if self.asked == wanted {
            return None;
        }
        self.asked = wanted.clone();
        self.answer = None;
        self.word = 0;
        wanted.map(Effect::Attend)
    }

    /// Takes an answer, if it is to what was asked last.
    pub(in crate::tui) fn answered(&mut self, request: &AttentionRequest, answer: Result<Attention, String>) {
        if self.asked.as_ref() == Some(request) {
            self.answer = Some(answer.map(Arc::new));
        }
    }
}
