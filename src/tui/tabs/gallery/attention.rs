//! The attention weights of the current caption, and the current word.

use crate::search::{Attention, WordAttention};
use crate::tui::message::{AttentionRequest, Effect};
use crate::tui::navigation::ListMove;
use crate::vision::overlay::Overlay;
use std::sync::Arc;

/// `None` until the worker answers.
pub type AttentionResult = Option<Result<Arc<Attention>, String>>;

#[derive(Clone, Debug, Default)]
pub struct AttentionPanel {
    is_shown: bool,
    last_request: Option<AttentionRequest>,
    answer: AttentionResult,
    word: usize,
}

impl AttentionPanel {
    pub fn is_shown(&self) -> bool {
        self.is_shown
    }

    pub fn answer(&self) -> &AttentionResult {
        &self.answer
    }

    /// The index of the current word, and all words.
    pub fn word(&self) -> Option<(usize, &[WordAttention])> {
        let words = &self.attention()?.words;
        (self.is_shown() && self.word < words.len()).then_some((self.word, words))
    }

    /// The overlay of the current word, then those of the words beside it.
    pub fn overlays(&self) -> Vec<Overlay> {
        let (Some(attention), Some((index, words))) = (self.attention(), self.word()) else {
            return Vec::new();
        };
        let near = [Some(index), index.checked_add(1), index.checked_sub(1)];
        let near = near.into_iter().flatten().filter_map(|index| words.get(index));
        near.map(|word| attention.overlay(word)).collect()
    }

    fn attention(&self) -> Option<&Attention> {
        Some(self.answer.as_ref()?.as_ref().ok()?.as_ref())
    }

    pub fn toggle(&mut self) {
        if self.is_shown {
            self.hide();
        } else {
            self.is_shown = true;
        }
    }

    pub fn hide(&mut self) {
        *self = Self::default();
    }

    pub fn go(&mut self, direction: ListMove) {
        if let Some((index, words)) = self.word() {
            self.word = direction.from(index, words.len());
        }
    }

    /// Requests attention weights unless they were requested last; drops the previous ones.
    pub fn request(&mut self, request: Option<AttentionRequest>) -> Option<Effect> {
        if self.last_request == request {
            return None;
        }
        self.last_request = request.clone();
        self.answer = None;
        self.word = 0;
        request.map(Effect::ComputeAttention)
    }

    /// Stores the answer to the last request; drops any other.
    pub fn answered(&mut self, request: &AttentionRequest, answer: Result<Attention, String>) {
        if self.last_request.as_ref() == Some(request) {
            self.answer = Some(answer.map(Arc::new));
        }
    }
}
