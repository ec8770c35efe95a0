//! The thread that makes images ready to be drawn.

use super::message::Message;
use super::pictures::{Drawn, Picture, PictureKey};
use crate::vision::image_io;
use image::DynamicImage;
use image::imageops::FilterType;
use ratatui_image::Resize;
use ratatui_image::picker::Picker;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

/// Makes images ready as they are asked for; what was asked for last counts, and what it replaces is forgotten.
pub(super) fn paint(picker: &Picker, asked: &Receiver<Vec<PictureKey>>, tell: &Sender<Message>) {
    let Ok(mut keys) = asked.recv() else { return };
    loop {
        if let Some(newer) = asked.try_iter().last() {
            keys = newer;
        }
        if keys.is_empty() {
            match asked.recv() {
                Ok(next) => keys = next,
                Err(_) => return,
            }
            continue;
        }
        let key = keys.remove(0);
        let picture = ready(picker, &key);
        if tell.send(Message::Picture { key, picture }).is_err() {
            return;
        }
    }
}

fn ready(picker: &Picker, key: &PictureKey) -> Picture {
    let mut image = image_io::decode(&key.path).map_err(|error| error.fault.to_string())?;
    if let Some(overlay) = &key.overlay {
        overlay.lay_over(&mut image);
    }
    let image = DynamicImage::ImageRgb8(image);
    let protocol = picker.new_protocol(image, key.room, Resize::Scale(Some(FilterType::Triangle)));
    match protocol {
        Ok(protocol) => Ok(Drawn(Arc::new(protocol))),
        Err(error) => Err(error.to_string()),
    }
}
