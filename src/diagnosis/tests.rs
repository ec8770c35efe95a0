//! Logs of a healthy training and of each symptom.

use super::*;
use crate::jobs::{
    DevEvaluation, Event, JobInfo, JobKind, Prediction, Predictions, Record, SessionStart, StepEvent, Trigger,
};
use crate::metrics::Scores;
use proptest::prelude::*;

const STEPS_AN_EPOCH: u64 = 100;

fn record(event: Event) -> Record {
    let (seq, time) = (0, 0.0);
    Record { seq, time, event }
}

fn start(step: u64) -> Event {
    Event::Start(Box::new(SessionStart::new(JobInfo {
        kind: JobKind::Train,
        device: String::new(),
        dataset: String::new(),
        data_hash: None,
        settings: serde_json::Value::Null,
        step,
    })))
}

fn step(step: u64, loss: f32, grad_norm: f32) -> Event {
    Event::Step(StepEvent {
        epoch: ((step - 1) / STEPS_AN_EPOCH) as usize,
        batch: 1,
        batches: STEPS_AN_EPOCH as usize,
        step,
        loss,
        reward: None,
        learning_rate: 1e-3,
        grad_norm,
        tokens: 1,
        tokens_per_second: 1.0,
        memory: None,
        metrics: std::collections::BTreeMap::new(),
    })
}

fn evaluation(epoch: usize, train_loss: f64, loss: f64, score: f64) -> Event {
    Event::Evaluation(Box::new(DevEvaluation {
        epoch,
        step: (epoch as u64 + 1) * STEPS_AN_EPOCH,
        train_loss,
        dev_loss: loss,
        scores: Scores::from_fn(|_| score),
        best: false,
        trigger: Trigger::EpochEnd,
    }))
}

fn predictions(epoch: usize, captions: &[&str]) -> Event {
    let sample = |caption: &&str| Prediction {
        image: String::new(),
        caption: (*caption).to_owned(),
    };
    Event::Predictions(Predictions {
        step: (epoch as u64 + 1) * STEPS_AN_EPOCH,
        captions: captions.iter().map(sample).collect(),
    })
}

fn monitor(events: impl IntoIterator<Item = Event>) -> TrainingMonitor {
    let mut monitor = TrainingMonitor::default();
    for event in events {
        monitor.add(&record(event));
    }
    monitor
}

/// A training whose epochs have these training and dev losses, and which is healthy otherwise.
fn with_losses(losses: &[(f64, f64)]) -> Vec<Event> {
    let epoch = |(epoch, &(training, dev)): (usize, &(f64, f64))| {
        let first = epoch as u64 * STEPS_AN_EPOCH + 1;
        let steps = (first..first + STEPS_AN_EPOCH).map(move |i| step(i, training as f32, 1.0));
        steps.chain([
            evaluation(epoch, training, dev, 0.3),
            predictions(epoch, &["a dog", "a cat", "a cat"]),
        ])
    };
    losses.iter().enumerate().flat_map(epoch).collect()
}

const HEALTHY: [(f64, f64); 6] = [
    (5.0, 4.5),
    (4.0, 3.9),
    (3.5, 3.6),
    (3.2, 3.5),
    (3.0, 3.45),
    (2.9, 3.42),
];

#[track_caller]
fn assert_healthy(events: impl IntoIterator<Item = Event>, why: &str) {
    assert_eq!(monitor(events).symptoms(), [], "{why}");
}

#[track_caller]
fn only_symptom(events: impl IntoIterator<Item = Event>) -> Symptom {
    let symptoms = monitor(events).symptoms();
    assert_eq!(symptoms.len(), 1, "{symptoms:?}");
    symptoms.into_iter().next().unwrap()
}

#[test]
fn healthy_training_never_has_symptoms() {
    let mut monitor = TrainingMonitor::default();
    for event in with_losses(&HEALTHY) {
        monitor.add(&record(event));
        assert_eq!(monitor.symptoms(), []);
    }
}

proptest! {
    #[test]
    fn noise_is_no_symptom(noise in prop::collection::vec((0.7_f32..1.4, 0.2_f32..4.0), 600)) {
        let steps = (1..).zip(noise).map(|(i, (loss, norm))| {
            let falling = 2.0 + 6.0 * (-(i as f32) / 150.0).exp();
            step(i, falling * loss, norm)
        });
        prop_assert_eq!(monitor(steps).symptoms(), []);
    }

    #[test]
    fn events_after_the_resumed_checkpoint_are_forgotten(
        losses in prop::collection::vec((0.1..9.0, 0.1..9.0), 1..8),
        undone in prop::collection::vec((0.1..9.0, 0.1..9.0), 1..5),
        epochs in 0..8_usize,
    ) {
        let whole = with_losses(&losses);
        let kept = epochs.min(losses.len());
        let (before, after) = losses.split_at(kept);
        let mut cut = with_losses(&[before, &undone].concat());
        cut.push(start(kept as u64 * STEPS_AN_EPOCH));
        // A resumed session may repeat the evaluation at the step of its checkpoint.
        let repeated = with_losses(&losses);
        let from = repeated.len() / losses.len() * kept;
        cut.extend(repeated.into_iter().skip(from.saturating_sub(2)));
        prop_assert!(after.len() + kept == losses.len());
        let (cut, whole) = (monitor(cut), monitor(whole));
        prop_assert_eq!(&cut.epochs, &whole.epochs);
        prop_assert_eq!(&cut.predictions, &whole.predictions);
        prop_assert!(cut.losses.spikes().iter().all(|spike| spike.step <= losses.len() as u64 * STEPS_AN_EPOCH));
        // Spikes just after a resume may be missed: the median starts again.
        let lasting = |monitor: &TrainingMonitor| [monitor.overfitting(), monitor.plateau(), monitor.same_caption()];
        prop_assert_eq!(lasting(&cut), lasting(&whole));
    }
}

#[test]
fn same_caption_is_a_symptom_once_it_lasts() {
    let one = ["a man in a red shirt"; 5];
    let mut events = with_losses(&HEALTHY);
    events.push(predictions(6, &one));
    assert_healthy(events.clone(), "once may be chance");
    events.push(predictions(7, &one));
    let symptom = only_symptom(events.clone());
    assert_eq!(
        symptom.to_string(),
        "100 % of the images get the same caption: a man in a red shirt"
    );
    events.push(predictions(8, &["a man in a red shirt", "a dog", "a dog"]));
    assert_healthy(events, "it has recovered");
    let early = [
        predictions(0, &one),
        evaluation(0, 5.0, 5.0, 0.1),
        predictions(1, &one),
    ];
    assert_healthy(early, "the first epoch is no evidence");
    let two_images = (0..4).flat_map(|epoch| {
        [
            evaluation(epoch, 5.0 - epoch as f64, 4.0 - epoch as f64, 0.1),
            predictions(epoch, &["a", "a"]),
        ]
    });
    assert_healthy(two_images, "two images may look alike");
}

#[test]
fn repetition_is_a_symptom_in_most_captions() {
    let repetitive = ["a a a a on the", "a dog dog dog", "a dog"];
    let mut events = with_losses(&HEALTHY);
    events.extend([
        predictions(6, &repetitive),
        predictions(7, &["a dog", "a a dog", "the the the"]),
    ]);
    assert_healthy(events.clone(), "one of three is few");
    events.push(predictions(8, &repetitive));
    assert_healthy(events.clone(), "once may be chance");
    events.push(predictions(9, &repetitive));
    assert_eq!(
        only_symptom(events).to_string(),
        "2 of 3 predictions repeat a word: a a a a on the"
    );
}

#[test]
fn zero_scores_are_a_symptom() {
    let scored = |scores: &[f64]| {
        let events = scores.iter().enumerate();
        let events =
            events.map(|(epoch, &score)| evaluation(epoch, 5.0 - epoch as f64, 5.0 - epoch as f64, score));
        monitor(events).symptoms()
    };
    assert_eq!(scored(&[0.0]), [], "one epoch is no evidence");
    assert_eq!(scored(&[0.0, 0.0, 0.02]), []);
    let symptoms = scored(&[0.2, 0.0, 0.0]);
    assert!(
        matches!(symptoms[..], [Symptom::ZeroScores { .. }])
            && symptoms[0].to_string().contains("BLEU-4 0.0000"),
        "{symptoms:?}"
    );
}

#[test]
fn overfitting_names_the_best_epoch() {
    let losses = [(5.0, 4.5), (4.0, 3.9), (3.0, 3.5), (2.5, 3.6), (2.0, 3.9)];
    assert_healthy(with_losses(&losses[..4]), "a single rise may be chance");
    let symptom = only_symptom(with_losses(&losses));
    assert_eq!(
        symptom.to_string(),
        "overfitting: the dev loss has risen for 2 epochs, to 3.900, while the training loss falls; it was lowest \
         after epoch 3, 3.500"
    );
    let both_rise = [(5.0, 4.5), (4.0, 3.5), (4.1, 3.6), (4.2, 3.9)];
    assert_healthy(with_losses(&both_rise), "the training loss rises too");
}

#[test]
fn plateau_is_a_symptom_at_a_high_learning_rate() {
    let training = [(5.0, 4.5), (4.0, 4.4), (4.0, 4.3), (3.999, 4.2), (4.1, 4.1)];
    let symptom = only_symptom(with_losses(&training));
    assert_eq!(
        symptom.to_string(),
        "the training loss is on a plateau: no lower than 4.000 since epoch 2"
    );
    assert_healthy(with_losses(&training[..4]), "two epochs are not enough");
    let dev = [(5.0, 4.5), (4.0, 3.5), (3.5, 3.6), (3.0, 3.5), (2.5, 3.52)];
    assert!(matches!(
        only_symptom(with_losses(&dev)),
        Symptom::Plateau {
            loss: LossKind::Dev,
            since_epoch: 2,
            ..
        }
    ));
    let mut at_rest = with_losses(&training);
    let Event::Step(mut last) = step(600, 4.0, 1.0) else {
        unreachable!()
    };
    last.learning_rate = 2e-4;
    at_rest.push(Event::Step(last));
    assert_healthy(at_rest, "a low learning rate ends a schedule");
}

#[test]
fn exploding_gradients_are_a_symptom_after_three_spikes() {
    let exploding = |times: usize| {
        (1..=500).map(move |i| {
            let explodes = i > 100 && i % 50 == 0 && (i / 50 - 2) as usize <= times;
            step(i, 3.0, if explodes { 80.0 } else { 1.0 })
        })
    };
    assert_healthy(exploding(2), "two spikes are few");
    assert_eq!(
        only_symptom(exploding(3)),
        Symptom::ExplodingGradients {
            count: 3,
            step: 250,
            norm: 80.0,
            median: 1.0
        }
    );
    let long_ago = exploding(3).chain((501..2_000).map(|i| step(i, 3.0, 1.0)));
    assert_healthy(long_ago, "old spikes expire");
}

#[test]
fn loss_jump_is_a_symptom_with_its_step() {
    let events = (1..=400).map(|i| step(i, if i < 300 { 3.0 } else { 9.5 }, 1.0));
    let symptom = only_symptom(events);
    assert!(
        symptom
            .to_string()
            .ends_with("first at step 300 from 3.000 to 9.500"),
        "{symptom}"
    );
    let no_number = (1..=400).map(|i| step(i, if i < 300 { 3.0 } else { f32::NAN }, f32::NAN));
    assert!(!monitor(no_number).symptoms().is_empty());
}

#[test]
fn resuming_before_the_spikes_forgets_them() {
    let jumped = (1..=400).map(|i| step(i, if i < 300 { 3.0 } else { 9.5 }, 1.0));
    let refused: Vec<Event> = jumped.chain([start(0)]).collect();
    assert!(
        !monitor(refused.clone()).symptoms().is_empty(),
        "no step replaces the earlier ones"
    );
    let resumed = refused.into_iter().chain([start(250), step(251, 3.0, 1.0)]);
    assert_healthy(resumed, "the spikes are after the checkpoint");
}

#[test]
fn past_symptoms_keep_their_last_epoch() {
    let losses = [
        (5.0, 4.5),
        (4.0, 3.9),
        (3.0, 3.5),
        (2.5, 3.6),
        (2.0, 3.9),
        (1.9, 3.4),
    ];
    let during = monitor(with_losses(&losses[..5]));
    assert_eq!((during.symptoms().len(), during.past_symptoms()), (1, vec![]));
    let after = monitor(with_losses(&losses));
    assert_eq!(after.symptoms(), []);
    let past = after.past_symptoms();
    assert!(matches!(past[..], [(5, Symptom::Overfitting { .. })]), "{past:?}");
}

#[test]
fn repetition_is_a_symptom_of_self_critical_training_too() {
    let Event::Step(mut first) = step(1, 3.0, 1.0) else {
        unreachable!()
    };
    first.reward = Some(0.5);
    let repeated = (0..2).map(|epoch| predictions(epoch, &["a dog dog dog", "a cat", "a dog dog dog"]));
    let events = [Event::Step(first)].into_iter().chain(repeated);
    assert!(matches!(only_symptom(events), Symptom::Repetition { .. }));
}
