//! The events of a log, `events.jsonl`: one JSON object a line.
//!
//! ```text
//! {"seq":0,"time":1790000000.25,"event":"start","format":1,"job":"train",...}
//! {"seq":1,"time":1790000001.75,"event":"step","epoch":0,"batch":1,...}
//! ```
//!
//! `seq` counts from 0 without gaps; `time` is in seconds since 1970. A log may hold several sessions: each begins
//! with a `start` and ends with an `end`, unless its process died. A session that resumed says at which step; steps
//! told earlier of which its checkpoint knew nothing are told again. A reader should skip events and fields it does
//! not know: later versions of the same `format` add some.

use crate::metrics::Scores;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The version of the log's form. It grows when a reader of the former would go wrong.
pub const FORMAT: u32 = 1;

/// Something that happened in a job.
///
/// Most events are steps; what is rarer and larger is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A process took the job up.
    Start(Box<SessionStart>),
    /// A batch was learned from.
    Step(StepEvent),
    /// The dev split was captioned and scored.
    Evaluation(Box<DevEvaluation>),
    /// A few dev images were captioned.
    Predictions(Predictions),
    /// Long work gets on.
    Progress(TaskProgress),
    /// A checkpoint was written.
    Checkpoint(CheckpointSaved),
    /// A control file was taken.
    Control(Acknowledgement),
    /// Something worth knowing.
    Message(LogText),
    /// Something that should not be.
    Warning(LogText),
    /// The process is done with the job.
    End(SessionEnd),
    /// An event of a later version.
    Unknown,
}

impl Event {
    /// Something worth knowing.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(LogText { text: text.into() })
    }
}

/// The beginning of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionStart {
    /// See [`FORMAT`].
    pub format: u32,
    /// What kind of work it is.
    pub job: JobKind,
    /// The version of the program.
    pub version: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// What it computes on, such as `cpu` or `cuda:0 in TF32`.
    pub device: String,
    /// The name of the data set.
    pub data_set: String,
    /// The hash of the data set, where there was one already.
    pub data_hash: Option<String>,
    /// The settings as resolved.
    pub settings: Value,
    /// Updates made before; more than zero where a training is resumed.
    pub step: u64,
}

/// What kind of work a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// `cutline prepare`
    Prepare,
    /// `cutline train`
    Train,
    /// `cutline evaluate`
    Evaluate,
}

/// What became of a control file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The file's name, by which whoever left it knows it again.
    pub id: String,
    /// The command, where it could be read; with `set`, the settings too.
    pub command: String,
    /// Updates made when it was taken.
    pub step: u64,
    /// Why it was refused; nothing where it was obeyed.
    pub error: Option<String>,
}

impl fmt::Display for Acknowledgement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.step) {
            (Some(why), _) => write!(out, "refused to {}: {why}", self.command),
            // Preparing and evaluating have no steps.
            (None, 0) => write!(out, "{}: done", self.command),
            (None, step) => write!(out, "{} at step {step}", self.command),
        }
    }
}

/// Words for a reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogText {
    /// The words.
    pub text: String,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// Why.
    pub reason: EndReason,
    /// What went wrong, where something did.
    pub error: Option<String>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// All is done.
    Complete,
    /// The dev metric had stopped getting better.
    EarlyStopped,
    /// It was asked to stop; all that was done is saved.
    Stopped,
    /// It failed.
    Failed,
}

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSaved {
    /// `latest` or `best`.
    pub name: String,
    /// Updates made so far.
    pub step: u64,
}

/// One update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepEvent {
    /// From 0.
    pub epoch: usize,
    /// Batches done in this epoch.
    pub batch: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Updates made so far, this one included.
    pub step: u64,
    /// Mean cross-entropy of the batch, in nats a token, label smoothing included.
    pub loss: f32,
    /// Mean reward of the captions drawn, in self-critical training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f32>,
    /// The learning rate used.
    pub learning_rate: f32,
    /// Norm of all gradients together, before clipping.
    pub grad_norm: f32,
    /// Tokens of the batch; padding does not exist.
    pub tokens: usize,
    /// Tokens of the batch over the seconds it took.
    pub tokens_per_second: f32,
    /// Resident memory of the process, in bytes, where the system tells.
    pub memory: Option<u64>,
    /// Further numbers by name. Readers can chart any of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

impl StepEvent {
    /// Everything that can be charted, by name. In self-critical training the loss is left out: it is a policy-gradient
    /// surrogate, whose value says nothing.
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
        own.chain(self.metrics.iter().map(|(name, value)| (name.as_str(), *value)))
    }
}

/// The dev split, captioned and scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevEvaluation {
    /// From 0.
    pub epoch: usize,
    /// Updates made so far.
    pub step: u64,
    /// Mean of the epoch's training losses, in nats a token.
    pub train_loss: f64,
    /// Cross-entropy of the dev captions, in nats a token.
    pub dev_loss: f64,
    /// Scores of the captions written for the dev images.
    pub scores: Scores,
    /// Whether no earlier epoch was better.
    pub best: bool,
    /// Why it was done.
    pub trigger: Trigger,
}

/// Why the dev split is captioned and scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An epoch is done; it may become the best one.
    EpochEnd,
    /// Somebody asked; it changes nothing.
    Manual,
}

/// Captions of a few dev images, always the same ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// Updates made so far.
    pub step: u64,
    /// Images and captions.
    pub captions: Vec<Prediction>,
}

/// An image with the caption written for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// The image's key in the data set.
    pub image: String,
    /// The caption.
    pub caption: String,
}

/// How far long work has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// What is being done, such as `captioning`.
    pub task: String,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
    /// What is counted, such as `images`.
    pub unit: String,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// From 0, without gaps.
    pub seq: u64,
    /// Seconds since 1970.
    pub time: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What every line has.
#[derive(Deserialize)]
struct Head<'a> {
    seq: u64,
    time: f64,
    #[serde(borrow)]
    event: Cow<'a, str>,
}

impl<'a> Head<'a> {
    /// Of a line that begins as [`Record`] is written: without looking at the rest of it.
    fn at_front(line: &'a [u8]) -> Option<Self> {
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
    /// Reads a line.
    ///
    /// First what it is, then all of it as that. Serde's own way for enums of this form keeps every field in a tree,
    /// which takes several times as long; logs have a line for every step.
    ///
    /// # Errors
    /// Where the line is no event.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        let Head { seq, time, event } = match Head::at_front(line) {
            Some(head) => head,
            None => serde_json::from_slice(line)?,
        };
        let event = match event.as_ref() {
            "start" => Event::Start(serde_json::from_slice(line)?),
            "step" => Event::Step(serde_json::from_slice(line)?),
            "evaluation" => Event::Evaluation(serde_json::from_slice(line)?),
            "predictions" => Event::Predictions(serde_json::from_slice(line)?),
            "progress" => Event::Progress(serde_json::from_slice(line)?),
            "checkpoint" => Event::Checkpoint(serde_json::from_slice(line)?),
            "control" => Event::Control(serde_json::from_slice(line)?),
            "message" => Event::Message(serde_json::from_slice(line)?),
            "warning" => Event::Warning(serde_json::from_slice(line)?),
            "end" => Event::End(serde_json::from_slice(line)?),
            _ => {
                serde_json::from_slice::<IgnoredAny>(line)?;
                Event::Unknown
            }
        };
        Ok(Self { seq, time, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Event> {
        let step = StepEvent {
            epoch: 1,
            batch: 2,
            batches: 3,
            step: 4,
            loss: 5.5,
            reward: None,
            learning_rate: 1e-3,
            grad_norm: 0.1,
            tokens: 700,
            tokens_per_second: 9000.0,
            memory: None,
            metrics: BTreeMap::from([("kl".into(), 0.5)]),
        };
        let text = LogText {
            text: "a \"word\"\n\u{1b}[2J".into(),
        };
        vec![
            Event::Start(Box::new(SessionStart {
                format: FORMAT,
                job: JobKind::Train,
                version: "0.1.0".into(),
                host: "here".into(),
                pid: 7,
                device: "cpu".into(),
                data_set: "scenes".into(),
                data_hash: None,
                settings: serde_json::json!({"seed": 0}),
                step: 0,
            })),
            Event::Step(step),
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
            Event::Message(text.clone()),
            Event::Warning(text),
            Event::End(SessionEnd {
                reason: EndReason::EarlyStopped,
                error: None,
            }),
        ]
    }

    #[test]
    fn every_event_is_one_line_and_is_read_back() {
        for (seq, event) in (0..).zip(one_of_each()) {
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

    #[test]
    fn fields_may_stand_in_any_order_and_apart() {
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
    fn events_and_fields_of_a_later_version_are_no_error() {
        let later = br#"{"seq":3,"time":1,"event":"tea","leaves":["green"]}"#;
        assert_eq!(Record::parse(later).unwrap().event, Event::Unknown);
        let later = br#"{"seq":3,"time":1,"event":"checkpoint","name":"best","step":9,"bytes":12}"#;
        assert!(matches!(
            Record::parse(later).unwrap().event,
            Event::Checkpoint(CheckpointSaved { step: 9, .. })
        ));
    }
}
