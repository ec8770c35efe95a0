//! The thread that captions images and computes attention weights: the only computation within the workbench.

use crate::data::{Dataset, Image};
use crate::files::ConfinedPath;
use crate::jobs::{CheckpointRef, Root, RunDirectory};
use crate::nn::Backend;
use crate::pack::CaptionMembers;
use crate::search::{Attention, CpuCaptioner, EncoderInput, Search, SearchSettings, WrittenCaption, cpu};
use crate::training::{RunEnsemble, TrainedRun};
use crate::tui::{AttentionRequest, CaptionRequest, CaptionerRequest, Message};
use crate::vision::image_io;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::time::SystemTime;

/// Answers requests until the workbench closes. Of each kind only the newest request counts: a caption takes seconds,
/// and the user may have moved on.
pub fn run(root: &Root, requests: &Receiver<CaptionerRequest>, messages: &Sender<Message>) {
    let mut cached: Option<CachedCaptioner> = None;
    while let Ok(first) = requests.recv() {
        let mut latest = LatestRequests::default();
        for request in std::iter::once(first).chain(requests.try_iter()) {
            match request {
                CaptionerRequest::Caption(request) => latest.caption = Some(request),
                CaptionerRequest::Attention(request) => latest.attention = Some(request),
            }
        }
        if let Some(request) = latest.caption {
            let captions = caption(root, &mut cached, &request);
            if messages.send(Message::Hypotheses { request, captions }).is_err() {
                return;
            }
        }
        if let Some(request) = latest.attention {
            let attention = attend(root, &mut cached, &request);
            let message = Message::AttentionWeights { request, attention };
            if messages.send(message).is_err() {
                return;
            }
        }
    }
}

#[derive(Default)]
struct LatestRequests {
    caption: Option<CaptionRequest>,
    attention: Option<AttentionRequest>,
}

struct CachedCaptioner {
    members: Vec<CheckpointRef>,
    /// Modification times of the members' files: training replaces checkpoints.
    written: Vec<Option<SystemTime>>,
    /// The first member's run.
    run: RunDirectory,
    captioner: CpuCaptioner,
    /// The images whose features are stored, if another program made them.
    stored: Option<StoredImages>,
    /// The last search settings, and the search made from them.
    search: Option<(SearchSettings, Search)>,
}

/// The images of a dataset by their paths.
struct StoredImages {
    dataset: ConfinedPath,
    images: HashMap<PathBuf, Image>,
}

impl StoredImages {
    fn of<D: Backend>(run: &TrainedRun<D>, root: &Root) -> Result<Self, String> {
        let dataset = run.dataset_directory(root).map_err(describe)?;
        let images = Dataset::load(&dataset).map_err(describe)?.images.into_iter();
        Ok(Self {
            images: images.map(|image| (image.path.clone(), image)).collect(),
            dataset,
        })
    }
}

fn caption(
    root: &Root,
    cached: &mut Option<CachedCaptioner>,
    request: &CaptionRequest,
) -> Result<Vec<WrittenCaption>, String> {
    let cached = captioner_of(root, cached, &request.members)?;
    let search = cached.search(&request.search)?;
    let input = cached.input(&request.image)?;
    let mut hypotheses = cached.captioner.captions(&[input], &search).map_err(describe)?;
    Ok(hypotheses.pop().unwrap_or_default())
}

fn attend(
    root: &Root,
    cached: &mut Option<CachedCaptioner>,
    request: &AttentionRequest,
) -> Result<Attention, String> {
    let cached = captioner_of(root, cached, &request.members)?;
    let input = cached.input(&request.image)?;
    let attention = cached.captioner.attention(&input, &request.caption);
    attention.map_err(describe)
}

fn describe(error: impl std::error::Error) -> String {
    error.to_string()
}

/// The captioner of these checkpoints; reuses the last one if nothing has changed.
fn captioner_of<'a>(
    root: &Root,
    cached: &'a mut Option<CachedCaptioner>,
    members: &[CheckpointRef],
) -> Result<&'a mut CachedCaptioner, String> {
    let (first, others) = members.split_first().ok_or("no checkpoint was requested")?;
    let run = root.find_run(&first.run).map_err(describe)?;
    let written = members.iter().map(|member| written(root, member));
    let written = written.collect::<Result<Vec<_>, String>>()?;
    let same = cached
        .take()
        .filter(|same| same.members == members && same.run == run && same.written == written);
    if let Some(same) = same {
        return Ok(cached.insert(same));
    }
    // `take` has dropped the old captioner: two models may not fit into memory.
    let runs = RunEnsemble::open(first, others, root, &cpu()).map_err(describe)?;
    let runs = CaptionMembers::from(runs);
    let is_made_elsewhere = runs.reads_features_made_elsewhere();
    let (stored, captioner) = match runs.first.run().filter(|_| is_made_elsewhere) {
        Some(run) => (Some(StoredImages::of(run, root)?), runs.feature_captioner()),
        None => (None, runs.captioner(&[])),
    };
    Ok(cached.insert(CachedCaptioner {
        members: members.to_owned(),
        written,
        run,
        captioner: captioner.map_err(describe)?,
        stored,
        search: None,
    }))
}

impl CachedCaptioner {
    fn input(&self, path: &Path) -> Result<EncoderInput, String> {
        let decoded = image_io::decode(path).map_err(describe)?;
        let Some(StoredImages { dataset, images }) = &self.stored else {
            return Ok(self.captioner.preprocessor().apply(&decoded));
        };
        let image = images.get(path).ok_or(
            "the run reads features that another program made, and has none of this image: \
             caption them with cutline caption --features-from",
        )?;
        let input = (self.captioner).stored_input(dataset, image, decoded.dimensions());
        input.map_err(describe)
    }

    fn search(&mut self, settings: &SearchSettings) -> Result<Search, String> {
        if let Some((known, search)) = &self.search
            && known == settings
        {
            return Ok(search.clone());
        }
        let search = self.run.search(settings.clone(), self.captioner.vocabulary());
        let search = search.map_err(describe)?;
        self.search = Some((settings.clone(), search.clone()));
        Ok(search)
    }
}

fn written(root: &Root, member: &CheckpointRef) -> Result<Option<SystemTime>, String> {
    let run = root.find_run(&member.run).map_err(describe)?;
    let written = run.checkpoint(member.checkpoint).modified_and_length();
    Ok(written.ok().map(|(modified, _)| modified))
}
