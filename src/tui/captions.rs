//! The thread that captions the image under the cursor, and tells where the decoder looked: the one thing that the workbench computes itself.

use super::message::{AttentionRequest, CaptionRequest, CaptionerRequest, Message, Writers};
use crate::evaluation::EnsembleMember;
use crate::jobs::Root;
use crate::runs::{CheckpointOf, TrainedEnsemble};
use crate::search::{Attention, CpuCaptioner, Search, SearchSettings, WrittenCaption, cpu};
use crate::vision::image_io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::time::SystemTime;

/// Captions images, and tells where the decoder looked, as it is asked to; of either, what was asked for last counts.
pub(super) fn write(root: &Root, asked: &Receiver<CaptionerRequest>, tell: &Sender<Message>) {
    let mut kept: Option<Kept> = None;
    while let Ok(first) = asked.recv() {
        let latest = Latest::of(std::iter::once(first).chain(asked.try_iter()));
        let captioned = latest.caption.map(|request| Message::Captioned {
            captions: caption(root, &mut kept, &request),
            request,
        });
        if captioned.is_some_and(|message| tell.send(message).is_err()) {
            return;
        }
        let attended = latest.attention.map(|request| Message::Attended {
            attention: attend(root, &mut kept, &request),
            request,
        });
        if attended.is_some_and(|message| tell.send(message).is_err()) {
            return;
        }
    }
}

/// The last request of each kind.
#[derive(Default)]
struct Latest {
    caption: Option<CaptionRequest>,
    attention: Option<AttentionRequest>,
}

impl Latest {
    fn of(requests: impl Iterator<Item = CaptionerRequest>) -> Self {
        let mut latest = Self::default();
        for request in requests {
            match request {
                CaptionerRequest::Caption(request) => latest.caption = Some(request),
                CaptionerRequest::Attend(request) => latest.attention = Some(request),
            }
        }
        latest
    }
}

/// The captioner that was used last.
struct Kept {
    members: Vec<KeptMember>,
    captioner: CpuCaptioner,
    /// How it searched last: what was asked for, and what came of that.
    search: Option<(SearchSettings, Search)>,
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
    let image = image_io::decode(&request.image).map_err(told)?;
    let kept = writers(root, kept, &request.by)?;
    let search = kept.search(&request.search)?;
    let pixels = kept.captioner.lenses().look(&image);
    let mut found = kept.captioner.captions(&[pixels], &search).map_err(told)?;
    Ok(found.pop().unwrap_or_default())
}

fn attend(root: &Root, kept: &mut Option<Kept>, request: &AttentionRequest) -> Result<Attention, String> {
    let image = image_io::decode(&request.image).map_err(told)?;
    let captioner = &writers(root, kept, &request.by)?.captioner;
    let attention = captioner.attention(&captioner.lenses().look(&image), &request.caption);
    attention.map_err(told)
}

fn told(error: impl std::error::Error) -> String {
    error.to_string()
}

/// The captioner of these checkpoints: the one that was used last, if it is theirs.
fn writers<'a>(root: &Root, kept: &'a mut Option<Kept>, wanted: &Writers) -> Result<&'a mut Kept, String> {
    let members = members(root, wanted)?;
    let same = kept.take().filter(|same| same.members == members);
    Ok(kept.insert(match same {
        Some(same) => same,
        // The old one has gone before the new one comes: they are large.
        None => Kept {
            captioner: open(&members)?,
            members,
            search: None,
        },
    }))
}

impl Kept {
    fn search(&mut self, asked: &SearchSettings) -> Result<Search, String> {
        match &self.search {
            Some((known, search)) if known == asked => Ok(search.clone()),
            _ => {
                let run = &self.members[0].checkpoint.run;
                let search = run
                    .search(asked.clone(), self.captioner.vocabulary())
                    .map_err(told)?;
                self.search = Some((asked.clone(), search.clone()));
                Ok(search)
            }
        }
    }
}

/// The checkpoints that are to write.
fn members(root: &Root, wanted: &Writers) -> Result<Vec<KeptMember>, String> {
    let first = EnsembleMember {
        run: wanted.run.clone(),
        checkpoint: wanted.checkpoint.clone(),
    };
    let found = std::iter::once(&first).chain(&wanted.ensemble).map(|member| {
        let run = root.find_run(&member.run).map_err(told)?;
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
    let runs = TrainedEnsemble::open(first, others, &cpu()).map_err(told)?;
    runs.captioner(&[]).map_err(told)
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
