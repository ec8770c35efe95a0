//! The thread that captions the photo under the cursor: the one thing that the workbench computes itself.

use super::message::{CaptionRequest, Message};
use crate::captioning::{CpuCaptioner, WrittenCaption, cpu};
use crate::runs::{Root, TrainedRun};
use crate::vision::photo;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::time::SystemTime;

/// Captions photos as they are asked for; what was asked for last counts.
pub(super) fn write(root: &Root, asked: &Receiver<CaptionRequest>, tell: &Sender<Message>) {
    let mut kept: Option<Kept> = None;
    while let Ok(first) = asked.recv() {
        let request = asked.try_iter().last().unwrap_or(first);
        let captions = caption(root, &mut kept, &request);
        if tell.send(Message::Captioned { request, captions }).is_err() {
            return;
        }
    }
}

/// The captioner that was used last.
struct Kept {
    run: String,
    checkpoint: String,
    /// When the checkpoint was written: it is replaced while training goes on.
    written: Option<SystemTime>,
    captioner: CpuCaptioner,
}

fn caption(
    root: &Root,
    kept: &mut Option<Kept>,
    request: &CaptionRequest,
) -> Result<Vec<WrittenCaption>, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let image = photo::decode(&request.photo).map_err(|error| told(&error))?;
    let captioner = captioner(root, kept, request)?;
    let mut pixels = vec![0.0; captioner.preprocessing().pixels_len()];
    captioner.preprocessing().write_pixels(&image, &mut pixels);
    let found = captioner.captions(pixels, &request.search);
    let mut found = found.map_err(|error| told(&error))?;
    Ok(found.pop().unwrap_or_default())
}

fn captioner<'a>(
    root: &Root,
    kept: &'a mut Option<Kept>,
    request: &CaptionRequest,
) -> Result<&'a CpuCaptioner, String> {
    let directory = root.find_run(&request.run).map_err(|error| error.to_string())?;
    let path = match request.checkpoint.as_str() {
        "latest" => directory.latest(),
        _ => directory.best(),
    };
    let written = written(&path);
    let is_it = |kept: &Kept| {
        kept.run == request.run && kept.checkpoint == request.checkpoint && kept.written == written
    };
    if !kept.as_ref().is_some_and(is_it) {
        // The old one goes before the new one comes: they are large.
        *kept = None;
        let run = TrainedRun::open(&directory, &path, &cpu()).map_err(|error| error.to_string())?;
        let weights = run.record.data.weights.clone();
        let captioner = CpuCaptioner::new(run.model, run.vocabulary, weights.as_deref());
        *kept = Some(Kept {
            run: request.run.clone(),
            checkpoint: request.checkpoint.clone(),
            written,
            captioner: captioner.map_err(|error| error.to_string())?,
        });
    }
    match kept {
        Some(kept) => Ok(&kept.captioner),
        None => Err("the captioner was not kept".to_owned()),
    }
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
