//! Images that are ready to be drawn, and those to ask for.

use super::message::Effect;
use crate::vision::overlay::Overlay;
use ratatui::layout::Size;
use ratatui_image::protocol::Protocol;
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Images that are kept ready.
const KEPT: usize = 32;

/// An image, the room there is for it, and what is laid over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureKey {
    /// Its file.
    pub path: PathBuf,
    /// Columns and rows.
    pub room: Size,
    /// What is laid over it.
    pub overlay: Option<Overlay>,
}

impl PictureKey {
    /// The same image under an overlay.
    pub fn under(&self, overlay: Overlay) -> Self {
        Self {
            overlay: Some(overlay),
            ..self.clone()
        }
    }
}

/// An image as a terminal takes it.
#[derive(Clone)]
pub struct Drawn(pub Arc<Protocol>);

impl fmt::Debug for Drawn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Drawn({:?})", self.0.size())
    }
}

/// What became of an image.
pub type Picture = Result<Drawn, String>;

/// Images that are ready to be drawn.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// The latest last.
    known: VecDeque<(PictureKey, Picture)>,
    asked: Vec<PictureKey>,
}

impl Pictures {
    /// The image in that room, or why it cannot be drawn; nothing while it is made ready.
    pub fn get(&self, key: &PictureKey) -> Option<&Picture> {
        let found = self.known.iter().find(|(known, _)| known == key);
        found.map(|(_, picture)| picture)
    }

    pub(super) fn take(&mut self, key: PictureKey, picture: Picture) {
        self.known.retain(|(known, _)| *known != key);
        self.known.push_back((key, picture));
        while self.known.len() > KEPT {
            self.known.pop_front();
        }
    }

    /// Asks for those that are shown and not ready, unless that was asked for last.
    pub(super) fn ask(&mut self, shown: Vec<PictureKey>) -> Option<Effect> {
        let missing: Vec<PictureKey> = shown.into_iter().filter(|key| self.get(key).is_none()).collect();
        if missing.is_empty() || missing == self.asked {
            return None;
        }
        self.asked = missing.clone();
        Some(Effect::Draw(missing))
    }
}
