//! The attention weights of the current caption, and the current word.

use crate::search::{Attention, WordAttention};
use crate::tui::{AttentionRequest, ListMove, Pending};
use crate::vision::overlay::Overlay;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct AttentionPanel {
    pub is_shown: bool,
    pub weights: Pending<AttentionRequest, Result<Arc<Attention>, String>>,
    word: usize,
}

impl AttentionPanel {
    /// The index of the current word, and all words.
    pub fn word(&self) -> Option<(usize, &[WordAttention])> {
        let words = &self.attention()?.words;
        (self.is_shown && self.word < words.len()).then_some((self.word, words))
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
        Some(self.weights.answer.as_ref()?.as_ref().ok()?.as_ref())
    }

    /// Why there are no weights, if they were asked for.
    pub fn refusal(&self) -> Option<String> {
        let answer = self.weights.answer.as_ref().filter(|_| self.is_shown)?;
        answer.as_ref().err().cloned()
    }

    /// Shows the weights, or hides and forgets them.
    pub fn toggle(&mut self) {
        *self = Self {
            is_shown: !self.is_shown,
            ..Self::default()
        };
    }

    pub fn go(&mut self, direction: ListMove) {
        if let Some((index, words)) = self.word() {
            self.word = direction.from(index, words.len());
        }
    }

    /// Returns the request if its weights are not known yet; it starts at the first word.
    pub fn ask(&mut self, request: Option<AttentionRequest>) -> Option<AttentionRequest> {
        let request = self.weights.ask(request)?;
        self.word = 0;
        Some(request)
    }
}
