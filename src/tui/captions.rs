//! The thread that captions the photo under the cursor: the one thing that the workbench computes itself.

use super::message::{CaptionRequest, Message};
use crate::captioning::{CpuCaptioner, Search, SearchSettings, WrittenCaption, cpu};
use crate::evaluation::EnsembleMember;
use crate::runs::{CheckpointOf, Root, TrainedEnsemble};
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
    members: Vec<KeptMember>,
    captioner: CpuCaptioner,
    /// What it was asked to search by.
    asked: SearchSettings,
    search: Search,
}

/// One of the checkpoints that it writes with.
#[derive(PartialEq)]
struct KeptMember {
    checkpoint: CheckpointOf,
    /// When the checkpoint was written: it is replaced while training goes on.
    written: Option<SystemTime>,
}

fn caption(
    root: &Root,
    kept: &mut Option<Kept>,
    request: &CaptionRequest,
) -> Result<Vec<WrittenCaption>, String> {
    let told = |error: &dyn std::error::Error| error.to_string();
    let image = photo::decode(&request.photo).map_err(|error| told(&error))?;
    let (captioner, search) = captioner(root, kept, request)?;
    let found = captioner.captions(&[captioner.look(&image)], search);
    let mut found = found.map_err(|error| told(&error))?;
    Ok(found.pop().unwrap_or_default())
}

fn captioner<'a>(
    root: &Root,
    kept: &'a mut Option<Kept>,
    request: &CaptionRequest,
) -> Result<(&'a CpuCaptioner, &'a Search), String> {
    let members = members(root, request)?;
    let captioner = match kept.take() {
        Some(same) if same.members == members && same.asked == request.search => {
            let same = kept.insert(same);
            return Ok((&same.captioner, &same.search));
        }
        Some(same) if same.members == members => same.captioner,
        // The old one goes before the new one comes: they are large.
        other => {
            drop(other);
            open(&members)?
        }
    };
    let search = members[0]
        .checkpoint
        .run
        .search(request.search.clone(), captioner.vocabulary())
        .map_err(|error| error.to_string())?;
    let kept = kept.insert(Kept {
        members,
        captioner,
        asked: request.search.clone(),
        search,
    });
    Ok((&kept.captioner, &kept.search))
}

/// The checkpoints that are to write.
fn members(root: &Root, request: &CaptionRequest) -> Result<Vec<KeptMember>, String> {
    let first = EnsembleMember {
        run: request.run.clone(),
        checkpoint: request.checkpoint.clone(),
    };
    let found = std::iter::once(&first).chain(&request.with).map(|member| {
        let run = root.find_run(&member.run).map_err(|error| error.to_string())?;
        let path = match member.checkpoint.as_str() {
            "latest" => run.latest(),
            _ => run.best(),
        };
        Ok(KeptMember {
            written: written(&path),
            checkpoint: CheckpointOf { run, path },
        })
    });
    found.collect()
}

fn open(members: &[KeptMember]) -> Result<CpuCaptioner, String> {
    let checkpoints: Vec<CheckpointOf> = members.iter().map(|member| member.checkpoint.clone()).collect();
    let Some((first, others)) = checkpoints.split_first() else {
        return Err("no checkpoint was asked for".to_owned());
    };
    let runs = TrainedEnsemble::open(first, others, &cpu()).map_err(|error| error.to_string())?;
    runs.captioner(&[]).map_err(|error| error.to_string())
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
