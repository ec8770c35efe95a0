//! The gallery, word by word.

use super::*;
use crate::jobs::{CheckpointKind, CheckpointRef};
use crate::metrics::Interval;
use crate::search::{Attention, WordAttention};
use crate::tui::{AttentionRequest, GalleryImages, GalleryRequest, GallerySlot, ImageKey};
use crate::vision::preprocess::CropBox;
use ratatui::style::Modifier;
use serde_json::json;

const CAPTIONS: [&str; 2] = ["a dog runs", "two cars"];

fn report() -> Report {
    let scores = json!(Scores::from_fn(|_| 0.0));
    let with_scores = |mut value: serde_json::Value| {
        let scores = scores.as_object().unwrap().clone();
        value.as_object_mut().unwrap().extend(scores);
        value
    };
    let image = |(number, caption): (usize, &str)| {
        with_scores(json!({
            "image": format!("{number}.png"),
            "caption": caption,
            "log_probability": -1.0,
            "references": ["a dog runs on the grass"],
        }))
    };
    let report = with_scores(json!({
        "run": RUN, "checkpoint": "best", "dataset": "scenes", "data_hash": "", "split": "dev",
        "search": {},
        "images": CAPTIONS.len(),
        "intervals_95": Scores::from_fn(|_| Interval::default()),
        "diversity": {
            "captions": 0, "most_common_caption": "", "most_common_fraction": 0.0, "distinct_captions": 0,
            "novel_captions": 0, "words_used": 0, "vocabulary_words": 0, "unknown_words": 0,
            "mean_length": 0.0, "mean_reference_length": 0.0,
        },
        "shuffled": {"scores": scores, "kept": scores},
        "evidence": {
            "encoder": "pretrained", "feature_similarity": null,
            "token_log_probability": -1.0, "uniform_log_probability": -5.0,
        },
        "diagnosis": null,
        "captions": CAPTIONS.into_iter().enumerate().map(image).collect::<Vec<_>>(),
    }));
    serde_json::from_value(report).unwrap()
}

fn gallery() -> App {
    let mut app = workbench(JobState::Complete);
    let evaluation = listed_evaluation(Some(Arc::new(report())), None);
    let request = GalleryRequest {
        of: evaluation.key.clone(),
        slot: GallerySlot::Main,
    };
    app.update(Message::Evaluations(vec![evaluation]));
    press(&mut app, "4");
    app.update(Message::GalleryImages {
        request,
        images: Ok(Arc::new(GalleryImages {
            report: report(),
            files: vec![Some("0.png".into()), Some("1.png".into())],
        })),
    });
    app
}

fn request(image: usize) -> AttentionRequest {
    AttentionRequest {
        members: vec![CheckpointRef {
            run: RUN.into(),
            checkpoint: CheckpointKind::Best,
        }],
        image: format!("{image}.png").into(),
        caption: CAPTIONS[image].into(),
    }
}

/// Attention on another region for each word.
fn answer(image: usize) -> Attention {
    let attend = |(region, word): (usize, &str)| WordAttention {
        word: word.into(),
        weights: (0..4).map(|other| f32::from(region == other)).collect(),
    };
    Attention {
        words: CAPTIONS[image].split(' ').enumerate().map(attend).collect(),
        side: 2,
        part: CropBox {
            left: 0,
            top: 0,
            width: 4,
            height: 4,
        },
    }
}

fn answer_request(app: &mut App, image: usize) -> Vec<Effect> {
    app.update(Message::AttentionWeights {
        request: request(image),
        attention: Ok(answer(image)),
    })
}

fn requested(effects: &[Effect]) -> Vec<AttentionRequest> {
    let request = |effect: &Effect| match effect {
        Effect::ComputeAttention(request) => Some(request.clone()),
        _ => None,
    };
    effects.iter().filter_map(request).collect()
}

/// The requested images, the visible one first.
fn drawn(effects: &[Effect]) -> Vec<ImageKey> {
    let keys = effects.iter().filter_map(|effect| match effect {
        Effect::Draw(keys) => Some(keys.clone()),
        _ => None,
    });
    keys.flatten().collect()
}

/// The screen, and its highlighted part.
fn shown(app: &App) -> (String, String) {
    let buffer = frame(app, SMALL, &Theme::new(Colors::None, CharacterSet::Ascii));
    // The first row has the tabs, one of them marked.
    let cells = buffer.content().iter().skip(usize::from(SMALL.0));
    let marked = cells
        .clone()
        .filter(|cell| cell.modifier.contains(Modifier::REVERSED));
    (
        cells.map(Cell::symbol).collect(),
        marked.map(Cell::symbol).collect(),
    )
}

#[test]
fn gallery_compares_only_evaluations_of_its_images() {
    let mut app = gallery();
    assert_rejected(&mut app, "c", "no other evaluation of these images");
    let other = |name: &str, dataset: &str| {
        let mut head = report();
        head.info.dataset = dataset.into();
        head.info.data_hash = dataset.into();
        let mut listing = listed_evaluation(Some(Arc::new(head)), None);
        listing.key.name = name.into();
        listing
    };
    let shown = listed_evaluation(Some(Arc::new(report())), None);
    let all = vec![shown, other("again", "scenes"), other("elsewhere", "flickr8k")];
    app.update(Message::Evaluations(all));
    press(&mut app, "c");
    let Some(Popup::Choose(chooser)) = app.popups.last() else {
        panic!("{:?}", app.notice);
    };
    let labels: Vec<&str> = chooser.items.iter().map(|item| item.label.as_str()).collect();
    assert_eq!(labels, [format!("{RUN}/again")]);
}

#[test]
fn smallest_window_shows_names_of_evaluations() {
    let mut app = gallery();
    app.update(Message::Resized(40, 10));
    press(&mut app, "3");
    assert_line(&app, (40, 10), &["scenes-merge-001/dev-best", "0.000"]);
}

#[test]
fn attention_steps_through_words() {
    let mut app = gallery();
    let effects = press(&mut app, "w");
    assert_eq!(requested(&effects), [request(0)]);
    assert!(shown(&app).0.contains("computing attention ..."));

    let first = drawn(&answer_request(&mut app, 0));
    let overlay = |word: usize| {
        let answer = answer(0);
        Some(answer.overlay(&answer.words[word]))
    };
    let overlays: Vec<_> = first.into_iter().map(|key| key.overlay).collect();
    assert_eq!(
        overlays,
        [overlay(0), overlay(1)],
        "the current word and the next one"
    );
    let (page, marked) = shown(&app);
    assert!(page.contains("word 1 of 3"), "{page}");
    assert_eq!(marked.trim(), "a");

    let second = drawn(&press(&mut app, "l"));
    assert_eq!(second[0].overlay, overlay(1));
    assert_eq!(shown(&app).1.trim(), "dog");
    app.update(key(KeyCode::Right));
    press(&mut app, "l");
    let (page, marked) = shown(&app);
    assert!(
        page.contains("word 3 of 3") && page.contains("image 1 of 2"),
        "{page}"
    );
    assert_eq!(marked.trim(), "runs", "the last word stays");
    press(&mut app, "h");
    assert_eq!(shown(&app).1.trim(), "dog");
}

#[test]
fn attention_stays_on_for_next_image_until_closed() {
    let mut app = gallery();
    press(&mut app, "w");
    answer_request(&mut app, 0);
    press(&mut app, "l");
    assert_eq!(requested(&press(&mut app, "j")), [request(1)]);
    answer_request(&mut app, 0);
    assert!(
        shown(&app).0.contains("computing attention ..."),
        "the answer was for the previous image"
    );
    answer_request(&mut app, 1);
    let (page, marked) = shown(&app);
    assert!(
        page.contains("word 1 of 2") && page.contains("image 2 of 2"),
        "{page}"
    );
    assert_eq!(marked.trim(), "two");

    for end in [KeyCode::Esc, KeyCode::Char('w')] {
        app.update(key(end));
        let (page, marked) = shown(&app);
        assert!(!page.contains("word 1") && marked.is_empty(), "{page}");
        assert!(page.contains("image 2 of 2"), "{page}");
        assert_eq!(requested(&press(&mut app, "w")), [request(1)]);
        answer_request(&mut app, 1);
    }
    app.update(key(KeyCode::Esc));
    press(&mut app, "h");
    assert!(
        shown(&app).0.contains("image 1 of 2"),
        "left and right change the image again"
    );
}

#[test]
fn decoder_without_attention_shows_reason() {
    let mut app = gallery();
    press(&mut app, "w");
    app.update(Message::AttentionWeights {
        request: request(0),
        attention: Err("no decoder here attends (merge)".into()),
    });
    let (page, marked) = shown(&app);
    assert!(page.contains("no decoder here attends (merge)"), "{page}");
    assert_eq!(marked, "");
    press(&mut app, "l");
    assert!(
        shown(&app).0.contains("image 2 of 2"),
        "there are no words to step through"
    );
    assert_eq!(requested(&press(&mut app, "hw")), [request(0)]);
    app.update(Message::Resized(40, 10));
    let attention = Err("no decoder here attends (merge)".into());
    app.update(Message::AttentionWeights {
        request: request(0),
        attention,
    });
    assert_line(&app, (40, 10), &["no decoder here attends (merge)"]);
}
