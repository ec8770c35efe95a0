//! Logs of trainings that are well, and of each illness.

use super::*;
use crate::jobs::{FORMAT, JobInfo, JobKind, Prediction, SessionStart};
use crate::metrics::Scores;
use proptest::prelude::*;

const STEPS_AN_EPOCH: u64 = 100;

fn record(event: Event) -> Record {
    Record {
        seq: 0,
        time: 0.0,
        event,
    }
}

fn start(step: u64) -> Event {
    Event::Start(Box::new(SessionStart {
        format: FORMAT,
        version: String::new(),
        host: String::new(),
        pid: 1,
        job: JobInfo {
            kind: JobKind::Train,
            device: String::new(),
            data_set: String::new(),
            data_hash: None,
            settings: serde_json::Value::Null,
            step,
        },
    }))
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

fn samples(epoch: usize, captions: &[&str]) -> Event {
    let sample = |caption: &&str| Prediction {
        image: String::new(),
        caption: (*caption).to_owned(),
    };
    Event::Predictions(Predictions {
        step: (epoch as u64 + 1) * STEPS_AN_EPOCH,
        captions: captions.iter().map(sample).collect(),
    })
}

fn health(events: impl IntoIterator<Item = Event>) -> Health {
    let mut health = Health::default();
    for event in events {
        health.count(&record(event));
    }
    health
}

/// A training whose epochs have these losses, training and dev, and nothing else that is odd.
fn with_losses(losses: &[(f64, f64)]) -> Vec<Event> {
    let epoch = |(epoch, &(training, dev)): (usize, &(f64, f64))| {
        let first = epoch as u64 * STEPS_AN_EPOCH + 1;
        let steps = (first..first + STEPS_AN_EPOCH).map(move |at| step(at, training as f32, 1.0));
        steps.chain([
            evaluation(epoch, training, dev, 0.3),
            samples(epoch, &["a dog", "a cat", "a cat"]),
        ])
    };
    losses.iter().enumerate().flat_map(epoch).collect()
}

const WELL: [(f64, f64); 6] = [
    (5.0, 4.5),
    (4.0, 3.9),
    (3.5, 3.6),
    (3.2, 3.5),
    (3.0, 3.45),
    (2.9, 3.42),
];

fn only_sign(events: impl IntoIterator<Item = Event>) -> Sign {
    let signs = health(events).signs();
    assert_eq!(signs.len(), 1, "{signs:?}");
    signs.into_iter().next().unwrap()
}

#[test]
fn a_training_that_is_well_shows_no_sign_at_any_moment() {
    let mut health = Health::default();
    for event in with_losses(&WELL) {
        health.count(&record(event));
        assert_eq!(health.signs(), []);
    }
}

proptest! {
    #[test]
    fn usual_noise_is_no_sign(noise in prop::collection::vec((0.7_f32..1.4, 0.2_f32..4.0), 600)) {
        let steps = (1..).zip(noise).map(|(at, (loss, norm))| {
            let falling = 2.0 + 6.0 * (-(at as f32) / 150.0).exp();
            step(at, falling * loss, norm)
        });
        prop_assert_eq!(health(steps).signs(), []);
    }

    #[test]
    fn whatever_came_after_the_checkpoint_is_as_if_it_had_never_been(
        losses in prop::collection::vec((0.1..9.0, 0.1..9.0), 1..8),
        undone in prop::collection::vec((0.1..9.0, 0.1..9.0), 1..5),
        epochs in 0..8_usize,
    ) {
        let whole = with_losses(&losses);
        let kept = epochs.min(losses.len());
        let (before, after) = losses.split_at(kept);
        let mut cut = with_losses(&[before, &undone].concat());
        cut.push(start(kept as u64 * STEPS_AN_EPOCH));
        // The evaluation at the very step of the checkpoint is told again by some.
        let told_again = with_losses(&losses);
        let from = told_again.len() / losses.len() * kept;
        cut.extend(told_again.into_iter().skip(from.saturating_sub(2)));
        prop_assert!(after.len() + kept == losses.len());
        let (cut, whole) = (health(cut), health(whole));
        prop_assert_eq!(&cut.epochs, &whole.epochs);
        prop_assert_eq!(&cut.samples, &whole.samples);
        prop_assert!(cut.losses.found().iter().all(|jump| jump.step <= losses.len() as u64 * STEPS_AN_EPOCH));
        // Jumps just after a resumption may be missed: what is usual has to be learned anew.
        let lasting = |health: &Health| [health.over_fitting(), health.loss_stands(), health.same_caption()];
        prop_assert_eq!(lasting(&cut), lasting(&whole));
    }
}

#[test]
fn one_caption_for_all_images_is_named_once_it_lasts() {
    let one = ["a man in a red shirt"; 5];
    let mut events = with_losses(&WELL);
    events.push(samples(6, &one));
    assert_eq!(health(events.clone()).signs(), [], "once may be chance");
    events.push(samples(7, &one));
    let sign = only_sign(events.clone());
    assert_eq!(
        sign.to_string(),
        "all 5 sample images get the same caption: a man in a red shirt"
    );
    events.push(samples(8, &["a man in a red shirt", "a dog", "a dog"]));
    assert_eq!(health(events).signs(), [], "it has recovered");
    let early = [samples(0, &one), evaluation(0, 5.0, 5.0, 0.1), samples(1, &one)];
    assert_eq!(health(early).signs(), [], "the first epoch says nothing");
    let two_images = (0..4).flat_map(|at| {
        [
            evaluation(at, 5.0 - at as f64, 4.0 - at as f64, 0.1),
            samples(at, &["a", "a"]),
        ]
    });
    assert_eq!(health(two_images).signs(), [], "two images may look alike");
}

#[test]
fn words_said_over_and_over_are_named_once_most_captions_do() {
    let ill = ["a a a a on the", "a dog dog dog", "a dog"];
    let mut events = with_losses(&WELL);
    events.extend([samples(6, &ill), samples(7, &["a dog", "a a dog", "the the the"])]);
    assert_eq!(health(events.clone()).signs(), [], "one of three is few");
    events.push(samples(8, &ill));
    assert_eq!(health(events.clone()).signs(), [], "once may be chance");
    events.push(samples(9, &ill));
    assert_eq!(
        only_sign(events).to_string(),
        "2 of 3 sample captions say a word over and over: a a a a on the"
    );
}

#[test]
fn scores_of_nothing_are_named() {
    let scored = |scores: &[f64]| {
        let events = scores.iter().enumerate();
        let events = events.map(|(at, &score)| evaluation(at, 5.0 - at as f64, 5.0 - at as f64, score));
        health(events.collect::<Vec<_>>()).signs()
    };
    assert_eq!(scored(&[0.0]), [], "one epoch says nothing");
    assert_eq!(scored(&[0.0, 0.0, 0.02]), []);
    let signs = scored(&[0.2, 0.0, 0.0]);
    assert!(
        matches!(signs[..], [Sign::NothingRight { .. }]) && signs[0].to_string().contains("BLEU-4 0.0000"),
        "{signs:?}"
    );
}

#[test]
fn over_fitting_names_the_best_epoch() {
    let losses = [(5.0, 4.5), (4.0, 3.9), (3.0, 3.5), (2.5, 3.6), (2.0, 3.9)];
    assert_eq!(
        health(with_losses(&losses[..4])).signs(),
        [],
        "a single rise may be chance"
    );
    let sign = only_sign(with_losses(&losses));
    assert_eq!(
        sign.to_string(),
        "over-fitting: the dev loss has risen for 2 epochs, to 3.900, while the training loss falls; it was lowest \
         after epoch 3, 3.500"
    );
    let both_rise = [(5.0, 4.5), (4.0, 3.5), (4.1, 3.6), (4.2, 3.9)];
    assert_eq!(
        health(with_losses(&both_rise)).signs(),
        [],
        "that is something else"
    );
}

#[test]
fn a_loss_that_stands_is_named_while_the_learning_rate_is_high() {
    let training = [(5.0, 4.5), (4.0, 4.4), (4.0, 4.3), (3.999, 4.2), (4.1, 4.1)];
    let sign = only_sign(with_losses(&training));
    assert_eq!(
        sign.to_string(),
        "the training loss has stopped falling: no lower than 4.000 since epoch 2"
    );
    assert!(
        health(with_losses(&training[..4])).signs().is_empty(),
        "two epochs are not enough"
    );
    let dev = [(5.0, 4.5), (4.0, 3.5), (3.5, 3.6), (3.0, 3.5), (2.5, 3.52)];
    assert!(matches!(
        only_sign(with_losses(&dev)),
        Sign::LossStands {
            loss: Loss::Dev,
            since_epoch: 2,
            ..
        }
    ));
    // At the end of a schedule, a loss comes to rest.
    let mut at_rest = with_losses(&training);
    let Event::Step(mut last) = step(600, 4.0, 1.0) else {
        unreachable!()
    };
    last.learning_rate = 2e-4;
    at_rest.push(Event::Step(last));
    assert_eq!(health(at_rest).signs(), []);
}

#[test]
fn gradients_that_explode_several_times_are_named() {
    let exploding = |times: usize| {
        (1..=500).map(move |at| {
            let explodes = at > 100 && at % 50 == 0 && (at / 50 - 2) as usize <= times;
            step(at, 3.0, if explodes { 80.0 } else { 1.0 })
        })
    };
    assert_eq!(health(exploding(2)).signs(), []);
    assert_eq!(
        only_sign(exploding(3)),
        Sign::GradientsExplode {
            times: 3,
            step: 250,
            norm: 80.0,
            usual: 1.0
        }
    );
    // As few as that among many steps are forgotten.
    let long_ago = exploding(3).chain((501..2_000).map(|at| step(at, 3.0, 1.0)));
    assert_eq!(health(long_ago).signs(), []);
}

#[test]
fn a_loss_that_jumps_and_stays_is_named_with_the_step() {
    let events = (1..=400).map(|at| step(at, if at < 300 { 3.0 } else { 9.5 }, 1.0));
    let sign = only_sign(events);
    assert!(
        sign.to_string()
            .ends_with("first at step 300 from 3.000 to 9.500"),
        "{sign}"
    );
    let no_number = (1..=400).map(|at| step(at, if at < 300 { 3.0 } else { f32::NAN }, f32::NAN));
    assert!(!health(no_number).signs().is_empty());
}

#[test]
fn a_session_that_resumes_before_the_jumps_knows_nothing_of_them() {
    let jumped = (1..=400).map(|at| step(at, if at < 300 { 3.0 } else { 9.5 }, 1.0));
    let resumed = jumped.chain([start(250)]);
    assert_eq!(health(resumed).signs(), []);
}
