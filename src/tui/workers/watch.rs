//! The thread that watches the disk: runs and their logs, datasets, evaluations, and the load of the machine.

use super::machine::MachineMonitor;
use crate::evaluation::{MAX_REPORT_BYTES, Report};
use crate::files::ConfinedPath;
use crate::jobs::Root;
use crate::jobs::{JobDirectory, JobState, JobStatus, LogReader, LogSummary, Record, host_name};
use crate::model::feature_directories;
use crate::tui::{DatasetListing, EvaluationKey, EvaluationListing, Message, RunListing};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LOG_INTERVAL: Duration = Duration::from_millis(200);
const DIRECTORY_INTERVAL: Duration = Duration::from_secs(1);

type Flow = ControlFlow<()>;

pub fn watch(root: &Root, messages: &Sender<Message>) {
    let mut watcher = Watcher {
        root,
        messages,
        runs: BTreeMap::new(),
        jobs: BTreeMap::new(),
        heads: BTreeMap::new(),
        machine: MachineMonitor::default(),
        last_sent: LastSent::default(),
    };
    let mut listed: Option<Instant> = None;
    loop {
        let flow = match listed {
            Some(listed) if listed.elapsed() < DIRECTORY_INTERVAL => watcher.read_logs(),
            _ => {
                listed = Some(Instant::now());
                watcher.list()
            }
        };
        if flow.is_break() {
            return;
        }
        thread::sleep(LOG_INTERVAL);
    }
}

struct Watcher<'a> {
    root: &'a Root,
    messages: &'a Sender<Message>,
    runs: BTreeMap<String, WatchedJob>,
    /// Prepare and evaluate jobs, by the path that names them in commands.
    jobs: BTreeMap<String, WatchedJob>,
    /// Reports without captions, with their modification times.
    heads: BTreeMap<ConfinedPath, (SystemTime, Arc<Report>)>,
    machine: MachineMonitor,
    /// Listings are sent only if they differ from the last ones.
    last_sent: LastSent,
}

#[derive(Default)]
struct LastSent {
    runs: Option<Vec<RunListing>>,
    datasets: Option<Vec<DatasetListing>>,
    evaluations: Option<Vec<EvaluationListing>>,
}

struct WatchedJob {
    directory: JobDirectory,
    tail: LogReader,
    summary: LogSummary,
}

impl WatchedJob {
    fn new(directory: JobDirectory) -> Self {
        Self {
            tail: LogReader::new(directory.events()),
            directory,
            summary: LogSummary::default(),
        }
    }

    fn state(&self) -> Option<JobState> {
        let state = JobStatus::state_of(&self.directory, &self.summary);
        Some(state.unwrap_or(JobState::Unreadable))
    }

    /// The new records, some at a time; empty at the end of the log.
    fn read(&mut self) -> Vec<Record> {
        // Errors are not reported: the log may be readable at the next poll.
        let records = self
            .tail
            .poll()
            .map_or_else(|_| Vec::new(), |events| events.records);
        records.iter().for_each(|record| self.summary.add(record));
        records
    }
}

impl Watcher<'_> {
    fn send(&self, message: Option<Message>) -> Flow {
        match message.is_some_and(|message| self.messages.send(message).is_err()) {
            true => Flow::Break(()),
            false => Flow::Continue(()),
        }
    }

    fn list(&mut self) -> Flow {
        self.find_runs();
        self.list_runs()?;
        self.find_other_jobs();
        self.list_datasets()?;
        self.list_evaluations()?;
        self.read_logs()?;
        self.list_runs()?;
        self.send_machine_load()
    }

    fn find_runs(&mut self) {
        let names = self.root.runs().unwrap_or_default();
        self.runs
            .retain(|known, _| names.iter().any(|name| name.as_str() == known));
        for name in names {
            let directory = self.root.run_dir(&name).job();
            self.runs
                .entry(name.to_string())
                .or_insert_with(|| WatchedJob::new(directory));
        }
    }

    fn list_runs(&mut self) -> Flow {
        let listing = self.runs.iter().filter_map(|(name, job)| {
            let directory = name.parse().ok().map(|name| self.root.run_dir(&name));
            let note = directory.and_then(|directory| directory.note().ok()?);
            Some(RunListing {
                name: name.clone(),
                state: job.state()?,
                note,
            })
        });
        let listing = listing.collect();
        let news = new_listing(&mut self.last_sent.runs, listing);
        self.send(news.map(Message::Runs))
    }

    /// Sends new records of all runs, the most recently written log first.
    fn read_logs(&mut self) -> Flow {
        let mut order: Vec<(Option<SystemTime>, String)> = self
            .runs
            .iter()
            .map(|(name, job)| (written(&job.directory.events()), name.clone()))
            .collect();
        order.sort_by(|one, other| other.cmp(one));
        for (_, name) in order {
            self.read_log(&name)?;
        }
        Flow::Continue(())
    }

    fn read_log(&mut self, name: &str) -> Flow {
        let Some(job) = self.runs.get_mut(name) else {
            return Flow::Continue(());
        };
        let mut has_news = false;
        loop {
            let records = job.read();
            if records.is_empty() {
                break;
            }
            has_news = true;
            let run = name.to_owned();
            if self.messages.send(Message::Records { run, records }).is_err() {
                return Flow::Break(());
            }
        }
        // A state that changes without a log record, such as a crash, shows up at the next listing.
        let state = if has_news { job.state() } else { None };
        if state.is_none_or(|state| self.is_sent(name, state)) {
            Flow::Continue(())
        } else {
            self.list_runs()
        }
    }

    fn is_sent(&self, run: &str, state: JobState) -> bool {
        let mut listed_runs = self.last_sent.runs.iter().flatten();
        listed_runs.any(|listed| listed.name == run && listed.state == state)
    }

    fn find_other_jobs(&mut self) {
        let jobs = self.root.other_jobs().unwrap_or_default();
        let path = |path: &Path| path.display().to_string();
        self.jobs
            .retain(|known, _| jobs.iter().any(|(name, _)| path(name) == *known));
        for (name, directory) in jobs {
            let job = self.jobs.entry(path(&name));
            let job = job.or_insert_with(|| WatchedJob::new(directory));
            while !job.read().is_empty() {}
        }
    }

    /// The job in a directory, and the path by which commands name it.
    fn job_in(&self, directory: &ConfinedPath) -> (Option<(JobState, LogSummary)>, String) {
        let mut jobs = self.jobs.iter();
        match jobs.find(|(_, job)| job.directory.directory() == directory) {
            Some((path, job)) => {
                let state = job.state();
                (state.map(|state| (state, job.summary.clone())), path.clone())
            }
            None => (None, directory.to_string()),
        }
    }

    fn list_datasets(&mut self) -> Flow {
        let whole = self.root.datasets().unwrap_or_default();
        let preparing = self.jobs.values().filter_map(|job| {
            let home = job.directory.path().parent()?;
            let is_prepared = home.parent()? == self.root.path().join("datasets");
            let name = home.file_name()?.to_str()?.parse().ok()?;
            is_prepared.then_some(name)
        });
        let mut names: Vec<_> = whole.iter().cloned().chain(preparing).collect();
        names.sort();
        names.dedup();
        let listing: Vec<DatasetListing> = names
            .into_iter()
            .map(|name| {
                let directory = self.root.dataset_dir(&name);
                let (job, job_path) = self.job_in(&directory.join("prepare"));
                let features = feature_directories(&directory);
                DatasetListing {
                    is_whole: whole.contains(&name),
                    written: seconds(written(&directory.join("dataset.toml"))),
                    features: features.iter().map(last_part).collect(),
                    name: name.to_string(),
                    job,
                    job_path,
                }
            })
            .collect();
        let news = new_listing(&mut self.last_sent.datasets, listing);
        self.send(news.map(Message::Datasets))
    }

    fn list_evaluations(&mut self) -> Flow {
        let mut listing = Vec::new();
        for run in self.root.runs().unwrap_or_default() {
            let directories = self.root.run_dir(&run).evaluation_directories();
            for directory in directories.unwrap_or_default() {
                let (job, job_path) = self.job_in(&directory);
                let head = self.head(&directory.join("report.json"));
                if head.is_none() && job.is_none() {
                    continue;
                }
                let key = EvaluationKey {
                    run: run.to_string(),
                    name: last_part(&directory),
                };
                listing.push(EvaluationListing {
                    key,
                    head,
                    job,
                    job_path,
                });
            }
        }
        let news = new_listing(&mut self.last_sent.evaluations, listing);
        self.send(news.map(Message::Evaluations))
    }

    /// A report without its captions; read again only if it was rewritten.
    fn head(&mut self, path: &ConfinedPath) -> Option<Arc<Report>> {
        let written = written(path)?;
        if let Some((then, head)) = self.heads.get(path)
            && *then == written
        {
            return Some(Arc::clone(head));
        }
        let mut report: Report = serde_json::from_slice(&path.read(MAX_REPORT_BYTES).ok()?).ok()?;
        report.captions = Vec::new();
        let head = Arc::new(report);
        self.heads.insert(path.clone(), (written, Arc::clone(&head)));
        Some(head)
    }

    fn send_machine_load(&mut self) -> Flow {
        let here = host_name();
        let processes = self.runs.iter().filter_map(|(name, job)| {
            let is_here = job.summary.host.as_deref() == Some(here.as_str());
            let is_live = job.state().is_some_and(JobState::is_live);
            Some((name.clone(), job.summary.pid.filter(|_| is_here && is_live)?))
        });
        let load = self.machine.new_load(processes.collect());
        self.send(load.map(Message::Machine))
    }
}

/// The listing if it differs from the last one.
fn new_listing<T: Clone + PartialEq>(last: &mut Option<Vec<T>>, listing: Vec<T>) -> Option<Vec<T>> {
    if last.as_ref() == Some(&listing) {
        return None;
    }
    *last = Some(listing.clone());
    Some(listing)
}

fn written(path: &ConfinedPath) -> Option<SystemTime> {
    Some(path.modified_and_length().ok()?.0)
}

fn last_part(path: &ConfinedPath) -> String {
    path.file_name().to_string_lossy().into_owned()
}

fn seconds(time: Option<SystemTime>) -> u64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}
