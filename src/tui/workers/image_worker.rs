//! The thread that decodes images and encodes them for the terminal.

use crate::tui::image_cache::TerminalImage;
use crate::tui::{ImageKey, Message, PreparedImage};
use crate::vision::image_io;
use image::DynamicImage;
use image::imageops::FilterType;
use ratatui_image::Resize;
use ratatui_image::picker::Picker;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

/// Prepares images until the workbench closes. The channel is unbounded, but only the newest request counts:
/// scrolling through a gallery must not queue up images that are no longer visible.
pub fn run(picker: &Picker, requests: &Receiver<Vec<ImageKey>>, messages: &Sender<Message>) {
    let Ok(mut keys) = requests.recv() else { return };
    loop {
        if let Some(newer) = requests.try_iter().last() {
            keys = newer;
        }
        if keys.is_empty() {
            match requests.recv() {
                Ok(next) => keys = next,
                Err(_) => return,
            }
            continue;
        }
        let key = keys.remove(0);
        let image = prepare(picker, &key);
        if messages.send(Message::ImageReady { key, image }).is_err() {
            return;
        }
    }
}

fn prepare(picker: &Picker, key: &ImageKey) -> PreparedImage {
    let mut image = image_io::decode(&key.path).map_err(|error| error.kind.to_string())?;
    if let Some(overlay) = &key.overlay {
        overlay.lay_over(&mut image);
    }
    let image = DynamicImage::ImageRgb8(image);
    let protocol = picker.new_protocol(image, key.room, Resize::Scale(Some(FilterType::Triangle)));
    match protocol {
        Ok(protocol) => Ok(TerminalImage(Arc::new(protocol))),
        Err(error) => Err(error.to_string()),
    }
}
