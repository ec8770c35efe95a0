//! The thread that watches the disk: runs and their logs, datasets, evaluations, and the load of the machine.

use super::machine::MachineMonitor;
use crate::evaluation::{MAX_REPORT_BYTES, Report};
use crate::files::{ConfinedPath, Fingerprint};
use crate::jobs::Root;
use crate::jobs::{
    JobDirectory, JobState, JobStatus, LogReader, LogSummary, Record, RunDirectory, host_name, summarize_end,
};
use crate::model::feature_directories;
use crate::tui::{DatasetListing, EvaluationKey, EvaluationListing, Message, RunListing};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LOG_INTERVAL: Duration = Duration::from_millis(200);
const DIRECTORY_INTERVAL: Duration = Duration::from_secs(1);
/// Directories that take long to list, because they are many or far away, are listed less often: for at most one part
/// in `LISTING_PART` of the time, but at least every `MAX_DIRECTORY_INTERVAL`. While the workbench is idle, the interval
/// doubles up to that maximum.
const LISTING_PART: u32 = 300;
const MAX_DIRECTORY_INTERVAL: Duration = Duration::from_secs(5);
const TAKING_INTERVAL: Duration = Duration::from_millis(1);
/// A new note or a new checkpoint changes the directory itself.
const WATCHED_ENTRIES: [&str; 3] = ["events.jsonl", "lock", "evaluations"];

type Flow<T = ()> = ControlFlow<(), T>;

/// Watches until the workbench ends. It sends a wake-up whenever the user or a worker does something.
pub fn watch(root: &Root, messages: &Sender<Message>, wake_ups: &Receiver<()>) {
    let mut watcher = Watcher {
        root,
        messages,
        wake_ups,
        runs: BTreeMap::new(),
        jobs: BTreeMap::new(),
        heads: BTreeMap::new(),
        machine: MachineMonitor::default(),
        last_sent: LastSent::default(),
        last_records: Weak::new(),
    };
    // It ends when the workbench does.
    let _ = watcher.run();
}

struct Watcher<'a> {
    root: &'a Root,
    messages: &'a Sender<Message>,
    wake_ups: &'a Receiver<()>,
    runs: BTreeMap<String, WatchedRun>,
    /// Prepare and evaluate jobs, by the path that names them in commands.
    jobs: BTreeMap<String, WatchedJob>,
    /// Reports without captions, with their modification times.
    heads: BTreeMap<ConfinedPath, (SystemTime, Arc<Report>)>,
    machine: MachineMonitor,
    /// Listings are sent only if they differ from the last ones.
    last_sent: LastSent,
    /// The records sent last, until the workbench has taken them.
    last_records: Weak<Vec<Record>>,
}

#[derive(Default)]
struct LastSent {
    runs: Option<Vec<RunListing>>,
    datasets: Option<Vec<DatasetListing>>,
    evaluations: Option<Vec<EvaluationListing>>,
}

struct WatchedRun {
    job: WatchedJob,
    note: Option<String>,
    evaluations: Vec<ConfinedPath>,
}

struct WatchedJob {
    directory: JobDirectory,
    log: LogReader,
    /// The summary of what is read.
    summary: LogSummary,
    /// The summary of the log's end, until the whole log is read.
    end: Option<LogSummary>,
    /// The last event when the job was found.
    last_active: Option<f64>,
    /// The state at the last listing.
    state: JobState,
    /// The directory before the state was read.
    fingerprint: Option<Fingerprint>,
    /// Whether it was the same at the look before.
    is_unchanged: bool,
    /// Whether the log was read to its end since, and nothing changes before the fingerprint does.
    is_at_rest: bool,
}

impl WatchedJob {
    fn new(directory: JobDirectory) -> Self {
        // Errors are not reported: the log may be readable at the next poll.
        let end = summarize_end(&directory.events()).ok();
        Self {
            log: LogReader::new(directory.events()),
            directory,
            summary: LogSummary::default(),
            last_active: end.as_ref().and_then(|end| end.last_time),
            end,
            state: JobState::New,
            fingerprint: None,
            is_unchanged: false,
            is_at_rest: false,
        }
    }

    /// Reads the state again, unless nothing has changed since the last time. Returns whether it did.
    fn look(&mut self) -> bool {
        let fingerprint = self.directory.directory().fingerprint(&WATCHED_ENTRIES).ok();
        if self.is_at_rest && self.fingerprint == fingerprint {
            return false;
        }
        self.is_at_rest = false;
        // A change shortly after the fingerprint may have the same time: only the second look is sure.
        self.is_unchanged = self.fingerprint == fingerprint;
        self.fingerprint = fingerprint;
        self.state = self.read_state();
        true
    }

    fn current(&self) -> &LogSummary {
        self.end.as_ref().unwrap_or(&self.summary)
    }

    fn read_state(&self) -> JobState {
        JobStatus::state_of(&self.directory, self.current()).unwrap_or(JobState::Unreadable)
    }

    /// Whether new records are expected soon.
    fn is_active(&self) -> bool {
        self.end.is_some() || self.state.is_live()
    }

    fn may_have_news(&self) -> bool {
        !self.is_at_rest
    }

    /// The new records, some at a time; empty at the end of the log.
    fn read(&mut self) -> Vec<Record> {
        let records = self
            .log
            .poll()
            .map_or_else(|_| Vec::new(), |events| events.records);
        records.iter().for_each(|record| self.summary.add(record));
        if records.is_empty() && self.log.percent_read() == 100 {
            self.end = None;
            self.is_at_rest = self.is_unchanged && self.fingerprint.is_some() && self.state.is_settled();
        }
        records
    }
}

#[derive(PartialEq, Eq)]
enum Woken {
    Yes,
    No,
}

impl Watcher<'_> {
    fn run(&mut self) -> Flow {
        let mut idle_interval = DIRECTORY_INTERVAL;
        loop {
            let since = Instant::now();
            self.list()?;
            let shortest = (since.elapsed() * LISTING_PART).clamp(DIRECTORY_INTERVAL, MAX_DIRECTORY_INTERVAL);
            idle_interval = (idle_interval * 2).clamp(shortest, MAX_DIRECTORY_INTERVAL);
            let listed = Instant::now();
            let mut has_news = self.read_logs(WatchedJob::may_have_news)?;
            while let Some(rest) = idle_interval.checked_sub(listed.elapsed()) {
                if !has_news && self.wait(rest)? == Woken::Yes {
                    idle_interval = shortest;
                }
                has_news = self.read_logs(WatchedJob::is_active)?;
            }
        }
    }

    /// Waits for a wake-up: until active logs are read again, or for all of `rest` if no log is active.
    fn wait(&self, rest: Duration) -> Flow<Woken> {
        let mut jobs = self.runs.values().map(|run| &run.job).chain(self.jobs.values());
        let time = match jobs.any(WatchedJob::is_active) {
            true => rest.min(LOG_INTERVAL),
            false => rest,
        };
        match self.wake_ups.recv_timeout(time) {
            Ok(()) => {
                // One look answers all of them.
                self.wake_ups.try_iter().for_each(drop);
                Flow::Continue(Woken::Yes)
            }
            Err(RecvTimeoutError::Timeout) => Flow::Continue(Woken::No),
            Err(RecvTimeoutError::Disconnected) => Flow::Break(()),
        }
    }

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
        self.send_machine_load()
    }

    fn find_runs(&mut self) {
        let names = self.root.runs().unwrap_or_default();
        self.runs
            .retain(|known, _| names.iter().any(|name| name.as_str() == known));
        for name in names {
            let directory = self.root.run_dir(&name).job();
            self.runs.entry(name.to_string()).or_insert_with(|| WatchedRun {
                job: WatchedJob::new(directory),
                note: None,
                evaluations: Vec::new(),
            });
        }
    }

    fn list_runs(&mut self) -> Flow {
        let listing = self.runs.iter_mut().map(|(name, run)| {
            if run.job.look() {
                let directory = RunDirectory::new(run.job.directory.directory().clone());
                run.note = directory.note().unwrap_or_default();
                run.evaluations = directory.evaluation_directories().unwrap_or_default();
            }
            RunListing {
                name: name.clone(),
                state: run.job.state,
                note: run.note.clone(),
                last_active: run.job.last_active,
            }
        });
        let listing = listing.collect();
        let news = new_listing(&mut self.last_sent.runs, listing);
        self.send(news.map(Message::Runs))
    }

    /// Reads on in these logs, and sends the records of runs, the most recently active run first. A long log is read
    /// in parts, so that it does not keep the others waiting. Returns whether there was anything new.
    fn read_logs(&mut self, is_read: fn(&WatchedJob) -> bool) -> Flow<bool> {
        let mut runs: Vec<(f64, String)> = self
            .runs
            .iter()
            .filter(|(_, run)| is_read(&run.job))
            .map(|(name, run)| (run.job.current().last_time.unwrap_or(0.0), name.clone()))
            .collect();
        runs.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut has_news = false;
        for (_, run) in runs {
            has_news |= self.read_log(run)?;
        }
        for job in self.jobs.values_mut().filter(|job| is_read(job)) {
            has_news |= !job.read().is_empty();
        }
        Flow::Continue(has_news)
    }

    fn read_log(&mut self, run: String) -> Flow<bool> {
        let Some(WatchedRun { job, .. }) = self.runs.get_mut(&run) else {
            return Flow::Continue(false);
        };
        let records = Arc::new(job.read());
        if records.is_empty() {
            return Flow::Continue(false);
        }
        let percent_read = job.log.percent_read();
        // A state that changes without a log record, such as a crash, shows up at the next listing.
        let is_listed = job.state == job.read_state();
        // The channel is unbounded: a log that is read faster than it is shown would pile up in memory.
        while self.last_records.strong_count() > 0 {
            thread::sleep(TAKING_INTERVAL);
        }
        self.last_records = Arc::downgrade(&records);
        self.send(Some(Message::Records {
            run,
            records,
            percent_read,
        }))?;
        if !is_listed {
            self.list_runs()?;
        }
        Flow::Continue(true)
    }

    fn find_other_jobs(&mut self) {
        let mut directories = self.root.prepare_directories().unwrap_or_default();
        directories.extend(self.runs.values().flat_map(|run| run.evaluations.clone()));
        let mut jobs = BTreeMap::new();
        for directory in directories.into_iter().map(JobDirectory::new) {
            let path = self.root.job_path(&directory).display().to_string();
            let known = self.jobs.remove(&path);
            if known.is_none() && !directory.events().is_file() {
                continue;
            }
            let mut job = known.unwrap_or_else(|| WatchedJob::new(directory));
            job.look();
            if job.fingerprint.is_some() {
                jobs.insert(path, job);
            }
        }
        self.jobs = jobs;
    }

    /// The job in a directory, and the path by which commands name it.
    fn job_in(&self, directory: &ConfinedPath) -> (Option<(JobState, LogSummary)>, String) {
        let mut jobs = self.jobs.iter();
        match jobs.find(|(_, job)| job.directory.directory() == directory) {
            Some((path, job)) => (Some((job.state, job.current().clone())), path.clone()),
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
        let runs: Vec<_> = self
            .runs
            .iter()
            .map(|(name, run)| (name.clone(), run.evaluations.clone()))
            .collect();
        for (run, directories) in runs {
            for directory in directories {
                let (job, job_path) = self.job_in(&directory);
                let head = self.head(&directory.join("report.json"));
                if head.is_none() && job.is_none() {
                    continue;
                }
                let key = EvaluationKey {
                    run: run.clone(),
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
        let processes = self.runs.iter().filter_map(|(name, WatchedRun { job, .. })| {
            let is_here = job.summary.host.as_deref() == Some(here.as_str());
            let is_live = job.state.is_live();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{EndReason, Event, EventLog, SessionEnd};

    #[test]
    fn job_at_rest_is_looked_at_again_when_its_directory_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = ConfinedPath::from(directory.path());
        let job = JobDirectory::new(path.clone());
        let append = |continues| {
            let end = SessionEnd {
                reason: EndReason::Complete,
                error: None,
                continues,
            };
            let mut log = EventLog::open(&job.events()).unwrap();
            log.append(Event::End(end)).unwrap();
        };
        append(true);
        let mut watched = WatchedJob::new(job.clone());
        assert!(watched.look());
        assert_eq!(watched.read().len(), 1);
        let comes_to_rest = |watched: &mut WatchedJob| {
            while watched.look() {
                assert!(watched.may_have_news());
                assert!(watched.read().is_empty());
            }
            !watched.may_have_news()
        };
        assert!(comes_to_rest(&mut watched));
        append(false);
        assert!(watched.look());
        assert_eq!(watched.read().len(), 1);
        for change in ["lock", "note.txt", "evaluations"] {
            assert!(comes_to_rest(&mut watched));
            // The time of a change is as coarse as the kernel's tick.
            thread::sleep(Duration::from_millis(20));
            std::fs::write(path.join(change).as_path(), "").unwrap();
            assert!(watched.look(), "{change}");
        }
    }
}
