//! Runs effects: sends commands to jobs, starts `cutline` commands, and reads what tabs show.

use super::forms::prompts::{expanded, export_format};
use super::popups::file_picker::HERE;
use super::{
    CaptionerRequest, ComparedEvaluations, DatasetDetail, DirectoryEntry, Effect, EntryKind, EvaluationKey,
    GalleryImages, GalleryRequest, ImageKey, Message,
};
use crate::data::{DataSource, Dataset, Image, PrepareReport};
use crate::evaluation::{Comparison, NamedReport};
use crate::files::write_atomically;
use crate::jobs::{ControlCommand, Name, Root, send_and_wait};
use crate::text::{display_path, display_safe};
use crate::training::RunConfig;
use crate::training::dataset_of;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use tracing::{info, warn};

/// Time for a job to answer a command.
const PATIENCE: Duration = Duration::from_secs(60);
const SAMPLES: usize = 60;
/// The last bytes of a process's output to show.
const LOG_SHOWN: u64 = 256 * 1024;

pub struct EffectRunner {
    pub root: Root,
    pub messages: Sender<Message>,
    pub image_requests: Sender<Vec<ImageKey>>,
    pub caption_requests: Sender<CaptionerRequest>,
    pub wake_ups: Sender<()>,
}

type Outcome = Result<String, String>;

impl EffectRunner {
    /// Makes the watcher list the directories soon.
    pub fn wake_watcher(&self) {
        // A watcher that has ended needs none.
        let _ = self.wake_ups.send(());
    }

    /// Runs an effect; slow ones on a thread of their own.
    pub fn run(&self, effect: Effect) {
        match effect {
            Effect::Control { job, command } => self.report(move |root| control(root, &job, &command)),
            Effect::Resume(run) => self.report(move |root| resume(root, run)),
            Effect::DeleteRun(run) => self.report(move |root| {
                let directory = root.find_run_by_name(&run).map_err(describe)?;
                RunConfig::load(directory.config()).map_err(describe)?;
                directory.remove().map_err(describe)?;
                Ok(format!("deleted {run}"))
            }),
            Effect::Rename { run, to } => {
                self.run_in_background(move |root| Message::Submitted(rename(root, &run, &to)))
            }
            Effect::Note { run, text } => self.report(move |root| {
                let run = root.find_run(&run).map_err(describe)?;
                run.set_note(&text).map_err(describe)?;
                Ok("noted".to_owned())
            }),
            Effect::Start(arguments) => {
                self.run_in_background(move |root| Message::Submitted(start(root, &arguments)))
            }
            Effect::Export { path, compared } => {
                self.run_in_background(move |_| Message::Submitted(export(&path, &compared)))
            }
            Effect::LoadDataset(name) => self.run_in_background(move |root| Message::Dataset {
                detail: dataset(root, &name).map(Arc::new),
                name,
            }),
            Effect::LoadLog(run) => self.run_in_background(move |root| Message::Log {
                lines: log(root, &run).unwrap_or_else(|why| vec![why]),
                run,
            }),
            Effect::List(directory) => self.run_in_background(move |_| Message::Entries {
                entries: entries(&directory),
                directory,
            }),
            Effect::Recognize(source) => self.run_in_background(move |_| Message::Recognized {
                outcome: recognize(&source),
                source,
            }),
            Effect::LoadGallery(request) => self.run_in_background(move |root| Message::GalleryImages {
                images: gallery_images(root, &request).map(Arc::new),
                request,
            }),
            Effect::FindImages(run) => self.run_in_background(move |root| Message::Images {
                files: images_of(root, &run).unwrap_or_default(),
                run,
            }),
            Effect::Compare(of) => self.run_in_background(move |root| Message::Comparison {
                outcome: compare(root, &of).map(Arc::new),
                of,
            }),
            // A worker that has ended cannot answer, so an error has no receiver.
            Effect::Draw(keys) => drop(self.image_requests.send(keys)),
            Effect::Caption(request) => drop(self.caption_requests.send(CaptionerRequest::Caption(request))),
            Effect::ComputeAttention(request) => {
                drop(self.caption_requests.send(CaptionerRequest::Attention(request)))
            }
            // The main loop owns the terminal and suspends it itself.
            Effect::Suspend => {}
        }
    }

    /// Runs `work` in the background, and logs and shows its outcome.
    fn report(&self, work: impl FnOnce(&Root) -> Outcome + Send + 'static) {
        self.run_in_background(move |root| {
            let outcome = work(root);
            match &outcome {
                Ok(done) => info!("{done}"),
                Err(why) => warn!("{why}"),
            }
            Message::Done(outcome)
        });
    }

    fn run_in_background(&self, work: impl FnOnce(&Root) -> Message + Send + 'static) {
        let (root, messages) = (self.root.clone(), self.messages.clone());
        thread::spawn(move || {
            let _ = messages.send(work(&root));
        });
    }
}

fn describe(error: impl std::fmt::Display) -> String {
    display_safe(&error.to_string()).into_owned()
}

fn control(root: &Root, job: &str, command: &ControlCommand) -> Outcome {
    let job = root.find_job(job).map_err(describe)?;
    let answer = send_and_wait(&job, command, PATIENCE).map_err(describe)?;
    Ok(answer.to_string())
}

fn resume(root: &Root, run: String) -> Outcome {
    let resumed = format!("resumed {run}");
    start(root, &["train".into(), "--resume".into(), run, "--detach".into()])?;
    Ok(resumed)
}

fn rename(root: &Root, run: &str, to: &str) -> Outcome {
    let directory = root.find_run(run).map_err(describe)?;
    let name: Name = to.parse().map_err(describe)?;
    directory.rename(&name).map_err(describe)?;
    Ok(format!("renamed {run} to {to}"))
}

/// Starts a `cutline` command, which detaches its work into a process of its own.
fn start(root: &Root, arguments: &[String]) -> Outcome {
    let program = std::env::current_exe().map_err(describe)?;
    let output = std::process::Command::new(program)
        .args(arguments)
        .arg("--root")
        .arg(root.path())
        .args(["--color", "never"])
        .stdin(Stdio::null())
        .output()
        .map_err(describe)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.trim().lines().last().unwrap_or_default();
    // The detached process's error comes last, behind the prefix of the command that started it.
    let why = last.rsplit_once("error: ").map_or(last, |(_, why)| why);
    let command = arguments.join(" ");
    if output.status.success() {
        info!("started: {command}");
        return Ok(format!("started: {command}"));
    }
    warn!("not started: {command}: {why}");
    Err(display_safe(why).into_owned())
}

fn export(path: &Path, compared: &ComparedEvaluations) -> Outcome {
    let format = export_format(path)?;
    if path.exists() {
        let (taken, free) = (display_path(path), display_path(&next_free(path)));
        return Err(format!("{taken} exists; take another name, such as {free}"));
    }
    let text = compared.comparison.export(format).map_err(describe)?;
    write_atomically(path, |out| out.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", display_path(path)))?;
    Ok(format!("wrote {}", display_path(path)))
}

/// The first path of `name-2.md`, `name-3.md` and so on that does not exist.
fn next_free(path: &Path) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) = (part(path.file_stem()), part(path.extension()));
    let mut numbered = (2..).map(|number: u64| path.with_file_name(format!("{stem}-{number}.{extension}")));
    numbered
        .find(|path| !path.exists())
        .unwrap_or_else(|| path.to_owned())
}

fn dataset(root: &Root, name: &str) -> Result<DatasetDetail, String> {
    let directory = root.find_dataset(name).map_err(describe)?;
    let dataset = Dataset::load(&directory).map_err(describe)?;
    let report = PrepareReport::load(&directory).map_err(describe)?;
    let step = dataset.images.len().div_ceil(SAMPLES).max(1);
    let samples: Vec<Image> = dataset.images.into_iter().step_by(step).collect();
    Ok(DatasetDetail {
        manifest: dataset.manifest,
        hash: dataset.hash,
        report,
        samples,
    })
}

/// The last lines of the output of a run's process.
fn log(root: &Root, run: &str) -> Result<Vec<String>, String> {
    let job = root.find_run(run).map_err(describe)?.job();
    let path = job.output();
    let mut file = path.open().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no output: the run was trained in the foreground".to_owned(),
        _ => format!("{}: {error}", display_path(path.as_path())),
    })?;
    let length = file.metadata().map_err(describe)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_SHOWN)))
        .map_err(describe)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(describe)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(|line| display_safe(line).into_owned()).collect())
}

/// Entries of a directory, directories first, without hidden ones.
fn entries(directory: &Path) -> Result<Vec<DirectoryEntry>, String> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(describe)? {
        let entry = entry.map_err(describe)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = match entry.path().is_dir() {
            true => EntryKind::Directory,
            false => EntryKind::File,
        };
        if !name.starts_with('.') {
            entries.push(DirectoryEntry { name, kind });
        }
    }
    entries.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    let here = DirectoryEntry {
        name: HERE.to_owned(),
        kind: EntryKind::Directory,
    };
    entries.insert(0, here);
    Ok(entries)
}

fn recognize(path: &str) -> Outcome {
    let source = DataSource::new(expanded(path));
    if source.is_scenes() {
        return Ok("the built-in dataset".to_owned());
    }
    let format = source.recognize().map_err(describe)?;
    Ok(format!("detected: {format}"))
}

fn gallery_images(root: &Root, request: &GalleryRequest) -> Result<GalleryImages, String> {
    let report = read_report(root, &request.of)?.report;
    let files = images_of(root, &request.of.run).unwrap_or_default();
    let captions = report.captions.iter();
    let files = captions.map(|captioned| files.get(&captioned.image).cloned());
    Ok(GalleryImages {
        files: files.collect(),
        report,
    })
}

fn images_of(root: &Root, run: &str) -> Result<HashMap<String, PathBuf>, String> {
    let run = root.find_run(run).map_err(describe)?;
    let record = RunConfig::load(run.config()).map_err(describe)?;
    let directory = dataset_of(&run, &record, root).map_err(describe)?;
    let dataset = Dataset::load(&directory).map_err(describe)?;
    let files = dataset.images.into_iter().map(|image| (image.key, image.path));
    Ok(files.collect())
}

fn read_report(root: &Root, key: &EvaluationKey) -> Result<NamedReport, String> {
    let run = root.find_run(&key.run).map_err(describe)?;
    let name: Name = key.name.parse().map_err(describe)?;
    let evaluation = run.saved_evaluation(&name).map_err(describe)?;
    evaluation.read().map_err(describe)
}

fn compare(root: &Root, of: &[EvaluationKey]) -> Result<ComparedEvaluations, String> {
    let reports = of.iter().map(|key| read_report(root, key));
    let reports = reports.collect::<Result<Vec<_>, _>>()?;
    let (baseline, others) = reports.split_first().ok_or("no evaluations to compare")?;
    Ok(ComparedEvaluations {
        comparison: Comparison::new(baseline, others),
        reports,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_free_name_counts_on_from_taken_ones() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        for taken in ["scores.md", "scores-2.md"] {
            std::fs::write(file(taken), "").unwrap();
        }
        assert_eq!(next_free(&file("scores.md")), file("scores-3.md"));
        assert_eq!(next_free(&file("scores.csv")), file("scores-2.csv"));
    }
}
