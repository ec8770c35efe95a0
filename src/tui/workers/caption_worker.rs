//! The thread that captions images and computes attention weights: the only computation within the workbench.

use crate::evaluation::EnsembleMember;
use crate::jobs::Root;
use crate::search::{Attention, CpuCaptioner, Search, SearchSettings, WrittenCaption, cpu};
use crate::training::{CheckpointRef, RunEnsemble};
use crate::tui::message::{AttentionRequest, CaptionRequest, CaptionerRequest, EnsembleSpec, Message};
use crate::vision::image_io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::time::SystemTime;

/// Answers requests until the workbench closes. Of each kind only the newest request counts: a caption takes seconds,
/// and the user may have moved on.
pub fn run(root: &Root, requests: &Receiver<CaptionerRequest>, messages: &Sender<Message>) {
    let mut cached: Option<CachedCaptioner> = None;
    while let Ok(first) = requests.recv() {
        let latest = LatestRequests::of(std::iter::once(first).chain(requests.try_iter()));
        let captioned = latest.caption.map(|request| Message::Hypotheses {
            captions: caption(root, &mut cached, &request),
            request,
        });
        if captioned.is_some_and(|message| messages.send(message).is_err()) {
            return;
        }
        let attended = latest.attention.map(|request| Message::AttentionWeights {
            attention: attend(root, &mut cached, &request),
            request,
        });
        if attended.is_some_and(|message| messages.send(message).is_err()) {
            return;
        }
    }
}

#[derive(Default)]
struct LatestRequests {
    caption: Option<CaptionRequest>,
    attention: Option<AttentionRequest>,
}

impl LatestRequests {
    fn of(requests: impl Iterator<Item = CaptionerRequest>) -> Self {
        let mut latest = Self::default();
        for request in requests {
            match request {
                CaptionerRequest::Caption(request) => latest.caption = Some(request),
                CaptionerRequest::Attention(request) => latest.attention = Some(request),
            }
        }
        latest
    }
}

struct CachedCaptioner {
    members: Vec<LoadedMember>,
    captioner: CpuCaptioner,
    /// The last search settings, and the search made from them.
    search: Option<(SearchSettings, Search)>,
}

#[derive(PartialEq)]
struct LoadedMember {
    checkpoint: CheckpointRef,
    /// Modification time: training replaces the checkpoint.
    written: Option<SystemTime>,
}

fn caption(
    root: &Root,
    cached: &mut Option<CachedCaptioner>,
    request: &CaptionRequest,
) -> Result<Vec<WrittenCaption>, String> {
    let image = image_io::decode(&request.image).map_err(describe)?;
    let cached = captioner_of(root, cached, &request.by)?;
    let search = cached.search(&request.search)?;
    let pixels = cached.captioner.preprocessor().apply(&image);
    let mut hypotheses = cached.captioner.captions(&[pixels], &search).map_err(describe)?;
    Ok(hypotheses.pop().unwrap_or_default())
}

fn attend(
    root: &Root,
    cached: &mut Option<CachedCaptioner>,
    request: &AttentionRequest,
) -> Result<Attention, String> {
    let image = image_io::decode(&request.image).map_err(describe)?;
    let captioner = &captioner_of(root, cached, &request.by)?.captioner;
    let attention = captioner.attention(&captioner.preprocessor().apply(&image), &request.caption);
    attention.map_err(describe)
}

fn describe(error: impl std::error::Error) -> String {
    error.to_string()
}

/// The captioner of these checkpoints; reuses the last one if nothing has changed.
fn captioner_of<'a>(
    root: &Root,
    cached: &'a mut Option<CachedCaptioner>,
    ensemble: &EnsembleSpec,
) -> Result<&'a mut CachedCaptioner, String> {
    let members = members(root, ensemble)?;
    let same = cached.take().filter(|same| same.members == members);
    Ok(cached.insert(match same {
        Some(same) => same,
        // `take` has dropped the old captioner: two models may not fit into memory.
        None => CachedCaptioner {
            captioner: open(&members)?,
            members,
            search: None,
        },
    }))
}

impl CachedCaptioner {
    fn search(&mut self, settings: &SearchSettings) -> Result<Search, String> {
        match &self.search {
            Some((known, search)) if known == settings => Ok(search.clone()),
            _ => {
                let run = &self.members[0].checkpoint.run;
                let search = run
                    .search(settings.clone(), self.captioner.vocabulary())
                    .map_err(describe)?;
                self.search = Some((settings.clone(), search.clone()));
                Ok(search)
            }
        }
    }
}

fn members(root: &Root, ensemble: &EnsembleSpec) -> Result<Vec<LoadedMember>, String> {
    let first = EnsembleMember {
        run: ensemble.run.clone(),
        checkpoint: ensemble.checkpoint.clone(),
    };
    let members = std::iter::once(&first).chain(&ensemble.ensemble).map(|member| {
        let run = root.find_run(&member.run).map_err(describe)?;
        let path = match member.checkpoint.as_str() {
            "latest" => run.latest(),
            _ => run.best(),
        };
        Ok(LoadedMember {
            written: written(&path),
            checkpoint: CheckpointRef { run, path },
        })
    });
    members.collect()
}

fn open(members: &[LoadedMember]) -> Result<CpuCaptioner, String> {
    let checkpoints: Vec<CheckpointRef> = members.iter().map(|member| member.checkpoint.clone()).collect();
    let Some((first, others)) = checkpoints.split_first() else {
        return Err("no checkpoint given".to_owned());
    };
    let runs = RunEnsemble::open(first, others, &cpu()).map_err(describe)?;
    runs.captioner(&[]).map_err(describe)
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
