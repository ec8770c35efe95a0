//! Images that a worker has encoded for the terminal, and requests for more.

use crate::vision::overlay::Overlay;
use ratatui::layout::Size;
use ratatui_image::protocol::Protocol;
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

const KEPT: usize = 32;

/// An image file, its size on the screen, and its overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageKey {
    pub path: PathBuf,
    pub room: Size,
    pub overlay: Option<Overlay>,
}

impl ImageKey {
    pub fn with_overlay(&self, overlay: Overlay) -> Self {
        Self {
            overlay: Some(overlay),
            ..self.clone()
        }
    }
}

/// An image encoded for the protocol of the terminal.
#[derive(Clone)]
pub struct TerminalImage(pub Arc<Protocol>);

impl fmt::Debug for TerminalImage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TerminalImage({:?})", self.0.size())
    }
}

/// An encoded image, or why it cannot be shown.
pub type PreparedImage = Result<TerminalImage, String>;

/// Images that a worker has encoded for the terminal.
#[derive(Clone, Debug, Default)]
pub struct ImageCache {
    known: VecDeque<(ImageKey, PreparedImage)>,
    requested: Vec<ImageKey>,
}

impl ImageCache {
    /// `None` while it is being prepared.
    pub fn get(&self, key: &ImageKey) -> Option<&PreparedImage> {
        let entry = self.known.iter().find(|(known, _)| known == key);
        entry.map(|(_, image)| image)
    }

    pub fn insert(&mut self, key: ImageKey, image: PreparedImage) {
        self.known.retain(|(known, _)| *known != key);
        self.known.push_back((key, image));
        while self.known.len() > KEPT {
            self.known.pop_front();
        }
    }

    /// The visible images that are missing, unless they were requested last.
    pub fn request(&mut self, shown: Vec<ImageKey>) -> Option<Vec<ImageKey>> {
        let missing: Vec<ImageKey> = shown.into_iter().filter(|key| self.get(key).is_none()).collect();
        if missing.is_empty() || missing == self.requested {
            return None;
        }
        self.requested = missing.clone();
        Some(missing)
    }
}
