//! The events of a job, one JSON object per line of `events.jsonl`.
//!
//! ```text
//! {"seq":0,"time":1790000000.25,"event":"start","format":1,"job":"train",...}
//! {"seq":1,"time":1790000001.75,"event":"step","epoch":0,"batch":1,...}
//! ```
//!
//! `docs/events.md` documents every field. To add an event, add a variant to [`Event`] and a line to `Event::parse`
//! here, document it there, and emit it with [`Session::emit`](super::Session::emit).

use super::lock::host_name;
use crate::metrics::Scores;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Version of the log format. It grows only when a reader of an earlier version would misread the log.
pub const FORMAT: u32 = 1;

/// An event of a job.
///
/// Large and rare ones are boxed: most events are steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A process starts or resumes the job.
    Start(Box<SessionStart>),
    /// A training step.
    Step(StepEvent),
    /// The dev split was captioned and scored.
    Evaluation(Box<DevEvaluation>),
    /// Captions of a few dev images.
    Predictions(Predictions),
    /// Progress of a long task.
    Progress(TaskProgress),
    /// A checkpoint was written.
    Checkpoint(CheckpointSaved),
    /// A control file was taken.
    Control(Acknowledgement),
    /// Information for the user.
    Message(LogText),
    /// A problem that does not end the job.
    Warning(LogText),
    /// The process ends.
    End(SessionEnd),
    /// An event of a later version.
    Unknown,
}

impl Event {
    /// A `message` event.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(LogText { text: text.into() })
    }

    /// A `warning` event.
    pub fn warning(text: impl Into<String>) -> Self {
        Self::Warning(LogText { text: text.into() })
    }

    /// Parses a line of this event's name.
    ///
    /// Serde's own deserialization of a tagged enum builds a tree of all fields first, which takes several times as
    /// long, and a log has a line for every step.
    fn parse(name: &str, line: &[u8]) -> serde_json::Result<Self> {
        Ok(match name {
            "start" => Self::Start(serde_json::from_slice(line)?),
            "step" => Self::Step(serde_json::from_slice(line)?),
            "evaluation" => Self::Evaluation(serde_json::from_slice(line)?),
            "predictions" => Self::Predictions(serde_json::from_slice(line)?),
            "progress" => Self::Progress(serde_json::from_slice(line)?),
            "checkpoint" => Self::Checkpoint(serde_json::from_slice(line)?),
            "control" => Self::Control(serde_json::from_slice(line)?),
            "message" => Self::Message(serde_json::from_slice(line)?),
            "warning" => Self::Warning(serde_json::from_slice(line)?),
            "end" => Self::End(serde_json::from_slice(line)?),
            _ => {
                serde_json::from_slice::<IgnoredAny>(line)?;
                Self::Unknown
            }
        })
    }
}

/// The start of a session: what runs, where, and with which settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionStart {
    /// See [`FORMAT`].
    pub format: u32,
    /// The version of Cutline.
    pub version: String,
    /// The machine.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The job.
    #[serde(flatten)]
    pub job: JobInfo,
}

impl SessionStart {
    /// The start of a session by this process.
    pub fn new(job: JobInfo) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            host: host_name(),
            pid: std::process::id(),
            job,
        }
    }
}

/// What a session works on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobInfo {
    /// The kind of job.
    #[serde(rename = "job")]
    pub kind: JobKind,
    /// The device it computes on, such as `cpu` or `cuda:0 in TF32`.
    pub device: String,
    /// The name of the dataset.
    pub dataset: String,
    /// The hash of the dataset, if it exists already.
    pub data_hash: Option<String>,
    /// The resolved settings.
    pub settings: Value,
    /// Steps before this session; more than zero if a training is resumed.
    pub step: u64,
}

/// The kind of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// `cutline prepare`
    Prepare,
    /// `cutline train`
    Train,
    /// `cutline evaluate`
    Evaluate,
    /// `cutline fetch`
    Fetch,
}

/// The answer to a control file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The file's name.
    pub id: String,
    /// The command, with the settings of `set`; `unknown` if it cannot be parsed.
    pub command: String,
    /// Steps before it was taken.
    pub step: u64,
    /// Why it was rejected, or `None`.
    pub error: Option<String>,
}

impl fmt::Display for Acknowledgement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.step) {
            (Some(error), _) => write!(out, "rejected {}: {error}", self.command),
            // Prepare and evaluate jobs have no steps.
            (None, 0) => write!(out, "{}: done", self.command),
            (None, step) => write!(out, "{} at step {step}", self.command),
        }
    }
}

/// Text for the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogText {
    /// The text.
    pub text: String,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// Why it ended.
    pub reason: EndReason,
    /// The error of a failed session.
    pub error: Option<String>,
    /// A batch system asked the process to make room, and is to start it again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continues: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It ran to its end.
    Complete,
    /// Early stopping: the monitored dev metric no longer improved.
    EarlyStopped,
    /// It was stopped; everything is saved.
    Stopped,
    /// It failed.
    Failed,
}

/// A saved checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSaved {
    /// `latest` or `best`.
    pub name: String,
    /// Steps so far.
    pub step: u64,
}

/// A training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepEvent {
    /// From 0.
    pub epoch: usize,
    /// Batches of this epoch so far, this one included.
    pub batch: usize,
    /// Batches per epoch.
    pub batches: usize,
    /// Steps so far, this one included.
    pub step: u64,
    /// Mean cross-entropy of the batch in nats per token, label smoothing included; the policy-gradient loss in SCST.
    pub loss: f32,
    /// Mean reward of the sampled captions, in SCST only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f32>,
    /// The learning rate of this step.
    pub learning_rate: f32,
    /// Global gradient norm before clipping.
    pub grad_norm: f32,
    /// Tokens of the batch; there is no padding.
    pub tokens: usize,
    /// Tokens of the batch per second.
    pub tokens_per_second: f32,
    /// Resident memory of the process in bytes, if the system reports it.
    pub memory: Option<u64>,
    /// Further numbers by name. Readers can chart any of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

impl StepEvent {
    /// All finite numbers that can be charted, by name. In SCST the loss is left out: it is a policy-gradient surrogate,
    /// whose value means nothing.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        let loss = Some(f64::from(self.loss)).filter(|_| self.reward.is_none());
        let own = [
            ("loss", loss),
            ("reward", self.reward.map(f64::from)),
            ("learning_rate", Some(f64::from(self.learning_rate))),
            ("grad_norm", Some(f64::from(self.grad_norm))),
            ("tokens_per_second", Some(f64::from(self.tokens_per_second))),
            ("memory", self.memory.map(|bytes| bytes as f64)),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let all = own.chain(self.metrics.iter().map(|(name, value)| (name.as_str(), *value)));
        all.filter(|(_, value)| value.is_finite())
    }
}

/// Loss and scores of the dev split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevEvaluation {
    /// From 0.
    pub epoch: usize,
    /// Steps so far.
    pub step: u64,
    /// Mean training loss of the epoch so far, in nats per token.
    pub train_loss: f64,
    /// Cross-entropy of the dev captions, in nats per token.
    pub dev_loss: f64,
    /// Scores of the generated captions.
    pub scores: Scores,
    /// Whether it is the best epoch so far.
    pub best: bool,
    /// Why the dev split was evaluated.
    pub trigger: Trigger,
}

/// Why the dev split is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An epoch ended; it may become the best one.
    EpochEnd,
    /// The `evaluate` command; never the best one.
    Manual,
}

/// Captions of a few dev images, always the same images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// Steps so far.
    pub step: u64,
    /// Images and captions.
    pub captions: Vec<Prediction>,
}

/// An image with its generated caption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// The image's key in the dataset.
    pub image: String,
    /// The caption.
    pub caption: String,
}

/// Progress of a long task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// The task, such as `captioning the dev split`.
    pub task: String,
    /// Units done.
    pub done: u64,
    /// Units in total.
    pub total: u64,
    /// The unit, such as `images`.
    pub unit: String,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// From 0, without gaps.
    pub seq: u64,
    /// Seconds since 1970.
    pub time: f64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// The fields of every line.
#[derive(Deserialize)]
struct Head<'a> {
    seq: u64,
    time: f64,
    #[serde(borrow)]
    event: Cow<'a, str>,
}

impl<'a> Head<'a> {
    /// Parses the head of a line with its fields first and in the order of [`Record`], without parsing the rest.
    fn parse_front(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(br#"{"seq":"#)?;
        let (seq, rest) = rest.split_at(rest.iter().position(|&byte| byte == b',')?);
        let rest = rest.strip_prefix(br#","time":"#)?;
        let (time, rest) = rest.split_at(rest.iter().position(|&byte| byte == b',')?);
        let rest = rest.strip_prefix(br#","event":""#)?;
        let event = &rest[..rest.iter().position(|&byte| byte == b'"')?];
        let is_plain = event.iter().all(|byte| byte.is_ascii_lowercase());
        Some(Self {
            seq: serde_json::from_slice(seq).ok()?,
            time: serde_json::from_slice(time).ok()?,
            event: Cow::Borrowed(std::str::from_utf8(event).ok().filter(|_| is_plain)?),
        })
    }
}

impl Record {
    /// Parses a line.
    ///
    /// # Errors
    /// If the line is not an event.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        let Head { seq, time, event } = match Head::parse_front(line) {
            Some(head) => head,
            None => serde_json::from_slice(line)?,
        };
        Ok(Self {
            seq,
            time,
            event: Event::parse(&event, line)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every event once, with every field.
    fn all_events() -> Vec<Event> {
        vec![
            Event::Start(Box::new(SessionStart::new(JobInfo {
                kind: JobKind::Train,
                device: "cpu".into(),
                dataset: "scenes".into(),
                data_hash: None,
                settings: serde_json::json!({"seed": 0}),
                step: 0,
            }))),
            Event::Step(StepEvent {
                epoch: 1,
                batch: 2,
                batches: 3,
                step: 4,
                loss: 5.5,
                reward: Some(0.5),
                learning_rate: 1e-3,
                grad_norm: 0.1,
                tokens: 700,
                tokens_per_second: 9000.0,
                memory: None,
                metrics: BTreeMap::from([("entropy".into(), 0.5)]),
            }),
            Event::Evaluation(Box::new(DevEvaluation {
                epoch: 1,
                step: 4,
                train_loss: 3.25,
                dev_loss: 3.5,
                scores: Scores::from_fn(|metric| 1.0 / (2 + metric.index()) as f64),
                best: true,
                trigger: Trigger::EpochEnd,
            })),
            Event::Predictions(Predictions {
                step: 4,
                captions: vec![Prediction {
                    image: "p.jpg".into(),
                    caption: "a dog".into(),
                }],
            }),
            Event::Progress(TaskProgress {
                task: "captioning".into(),
                done: 1,
                total: 2,
                unit: "images".into(),
            }),
            Event::Checkpoint(CheckpointSaved {
                name: "latest".into(),
                step: 4,
            }),
            Event::Control(Acknowledgement {
                id: "x.json".into(),
                command: "pause".into(),
                step: 4,
                error: Some("no".into()),
            }),
            Event::message("a \"word\"\n\u{1b}[2J"),
            Event::warning("a warning"),
            Event::End(SessionEnd {
                reason: EndReason::EarlyStopped,
                error: None,
                continues: true,
            }),
        ]
    }

    #[test]
    fn every_event_is_one_line_and_round_trips() {
        for (seq, event) in (0..).zip(all_events()) {
            let record = Record {
                seq,
                time: 1.5,
                event,
            };
            let line = serde_json::to_vec(&record).unwrap();
            assert!(!line.contains(&b'\n'));
            assert_eq!(Record::parse(&line).unwrap(), record);
        }
    }

    /// `event.field` of every row of the tables under `### event` in `docs/events.md`.
    fn documented_fields() -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        let mut event = None;
        for line in include_str!("../../docs/events.md").lines() {
            if line.starts_with('#') {
                event = line.strip_prefix("### `").map(|name| name.trim_end_matches('`'));
            }
            let (Some(event), Some(row)) = (event, line.strip_prefix("| `")) else {
                continue;
            };
            let names = row.split(" |").next().unwrap_or(row);
            fields.extend(
                names
                    .split(", ")
                    .map(|name| format!("{event}.{}", name.trim_matches('`'))),
            );
        }
        fields
    }

    #[test]
    fn docs_list_every_event_and_field() {
        let mut fields = BTreeSet::new();
        for event in all_events() {
            let json = serde_json::to_value(event).unwrap();
            let name = json["event"].as_str().unwrap();
            let keys = json.as_object().unwrap().keys().filter(|key| *key != "event");
            fields.extend(keys.map(|key| format!("{name}.{key}")));
        }
        assert_eq!(documented_fields(), fields);
    }

    #[test]
    fn fields_may_come_in_any_order_with_spaces() {
        let event = br#"{ "name": "best", "time": 1.5, "step": 9, "event": "checkpoint", "seq": 3 }"#;
        let ours = br#"{"seq":3,"time":1.5,"event":"checkpoint","name":"best","step":9}"#;
        assert_eq!(Record::parse(event).unwrap(), Record::parse(ours).unwrap());
        for torn in [
            &ours[..40],
            &ours[..60],
            br#"{"seq":3,"time":,"event":"end"}"#,
            br#"{"seq":3,"time":1,"event":"tea","#,
            br#"{"seq":-3,"time":1,"event":"step"}"#,
        ] {
            assert!(Record::parse(torn).is_err());
        }
    }

    #[test]
    fn unknown_events_and_fields_are_ignored() {
        let later = br#"{"seq":3,"time":1,"event":"tea","leaves":["green"]}"#;
        assert_eq!(Record::parse(later).unwrap().event, Event::Unknown);
        let later = br#"{"seq":3,"time":1,"event":"checkpoint","name":"best","step":9,"bytes":12}"#;
        assert!(matches!(
            Record::parse(later).unwrap().event,
            Event::Checkpoint(CheckpointSaved { step: 9, .. })
        ));
    }
}
