//! The thread that looks at the runs' directories and tells what it sees.

use super::app::Message;
use super::run_view::RunRow;
use crate::runs::job::{EventLogTail, JobDirectory, Status, Summary};
use crate::runs::{Event, Root};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How often the log of the run that is followed is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// How often the list of runs is made.
const BETWEEN_LISTS: Duration = Duration::from_secs(1);
/// Columns of a run's small curve.
const COLUMNS: usize = 16;

/// Looks at the runs under `root`, and follows those it is told to, one at a time; until nobody listens.
pub(super) fn watch(root: &Root, follow: &Receiver<String>, tell: &Sender<Message>) {
    let mut list = List::default();
    let mut listed: Option<Instant> = None;
    let mut followed: Option<Followed> = None;
    loop {
        if listed.is_none_or(|listed| listed.elapsed() >= BETWEEN_LISTS) {
            listed = Some(Instant::now());
            if list.tell_if_changed(root, tell).is_break() {
                return;
            }
        }
        if let Some(followed) = &mut followed
            && followed.tell_news(tell).is_break()
        {
            return;
        }
        match follow.recv_timeout(BETWEEN_LOOKS) {
            Ok(name) => followed = Some(Followed::new(root, name)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

type Flow = std::ops::ControlFlow<()>;

fn send(tell: &Sender<Message>, message: Message) -> Flow {
    match tell.send(message) {
        Ok(()) => Flow::Continue(()),
        Err(_) => Flow::Break(()),
    }
}

/// The run that is followed.
struct Followed {
    name: String,
    job: JobDirectory,
    tail: EventLogTail,
    summary: Summary,
    told: Option<crate::runs::job::State>,
}

impl Followed {
    fn new(root: &Root, name: String) -> Self {
        let job = match name.parse() {
            Ok(parsed) => root.run_dir(&parsed).job(),
            Err(_) => JobDirectory::new(root.path()),
        };
        Self {
            tail: EventLogTail::new(job.events()),
            job,
            name,
            summary: Summary::default(),
            told: None,
        }
    }

    fn tell_news(&mut self, tell: &Sender<Message>) -> Flow {
        // A log that cannot be read now may be readable later.
        while let Ok(events) = self.tail.poll() {
            if events.records.is_empty() {
                break;
            }
            events
                .records
                .iter()
                .for_each(|record| self.summary.count(record));
            let message = Message::Records {
                run: self.name.clone(),
                records: events.records,
            };
            if send(tell, message).is_break() {
                return Flow::Break(());
            }
        }
        if let Ok(status) = Status::of(&self.job, self.summary.clone())
            && self.told != Some(status.state)
        {
            self.told = Some(status.state);
            let message = Message::Status {
                run: self.name.clone(),
                state: status.state,
            };
            return send(tell, message);
        }
        Flow::Continue(())
    }
}

/// What is known of all runs.
#[derive(Default)]
struct List {
    known: BTreeMap<String, Known>,
    /// What was told last, as text: what looks the same need not be told again.
    told: Option<String>,
}

struct Known {
    tail: EventLogTail,
    summary: Summary,
    losses: Vec<f32>,
}

impl List {
    fn tell_if_changed(&mut self, root: &Root, tell: &Sender<Message>) -> Flow {
        let rows = self.rows(root);
        let looks = rows
            .iter()
            .map(|row| {
                let step = row.status.summary.step.as_ref().map(|step| step.step);
                format!("{} {:?} {step:?}\n", row.name, row.status.state)
            })
            .collect();
        if self.told.as_ref() == Some(&looks) {
            return Flow::Continue(());
        }
        self.told = Some(looks);
        send(tell, Message::Runs(rows))
    }

    fn rows(&mut self, root: &Root) -> Vec<RunRow> {
        let names = root.runs().unwrap_or_default();
        self.known
            .retain(|known, _| names.iter().any(|name| name.as_str() == known));
        names
            .iter()
            .filter_map(|name| {
                let job = root.run_dir(name).job();
                let known = self
                    .known
                    .entry(name.to_string())
                    .or_insert_with(|| Known::new(&job));
                known.look();
                Some(RunRow {
                    name: name.to_string(),
                    status: Status::of(&job, known.summary.clone()).ok()?,
                    losses: columns(&known.losses),
                })
            })
            .collect()
    }
}

impl Known {
    fn new(job: &JobDirectory) -> Self {
        Self {
            tail: EventLogTail::new(job.events()),
            summary: Summary::default(),
            losses: Vec::new(),
        }
    }

    fn look(&mut self) {
        while let Ok(events) = self.tail.poll() {
            if events.records.is_empty() {
                return;
            }
            for record in &events.records {
                self.summary.count(record);
                if let Event::Step(step) = &record.event {
                    self.losses.push(step.loss);
                }
            }
        }
    }
}

/// The means of equal parts.
fn columns(values: &[f32]) -> Vec<f32> {
    let part = values.len().div_ceil(COLUMNS).max(1);
    values
        .chunks(part)
        .map(|part| part.iter().sum::<f32>() / part.len() as f32)
        .collect()
}
