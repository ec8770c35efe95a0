//! The gallery, word by word.

use super::*;
use crate::evaluation::Report;
use crate::jobs::{CheckpointKind, CheckpointRef};
use crate::metrics::Interval;
use crate::search::{Attention, WordAttention};
use crate::tui::image_cache::ImageKey;
use crate::tui::message::{AttentionRequest, GalleryImages, GalleryRequest, GallerySlot};
use crate::vision::preprocess::CropBox;
use ratatui::style::Modifier;
use serde_json::json;
use std::sync::Arc;

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
        "run": RUN, "checkpoint": "best", "data_set": "scenes", "data_hash": "", "split": "dev",
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
    let mut app = looking_at(JobState::Complete);
    let of = EvaluationKey {
        run: RUN.into(),
        name: "dev-best".into(),
    };
    app.update(Message::Evaluations(vec![EvaluationListing {
        key: of.clone(),
        head: Some(Arc::new(report())),
        job: None,
        job_path: format!("checkpoints/{RUN}/evaluations/dev-best"),
    }]));
    press(&mut app, "4");
    app.update(Message::GalleryImages {
        request: GalleryRequest {
            of,
            slot: GallerySlot::Main,
        },
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
    let look = |(region, word): (usize, &str)| {
        let mut weights = vec![0.0; 4];
        weights[region] = 1.0;
        WordAttention {
            word: word.into(),
            weights,
        }
    };
    Attention {
        words: CAPTIONS[image].split(' ').enumerate().map(look).collect(),
        side: 2,
        part: CropBox {
            left: 0,
            top: 0,
            width: 4,
            height: 4,
        },
    }
}

fn attended(app: &mut App, image: usize) -> Vec<Effect> {
    app.update(Message::AttentionWeights {
        request: request(image),
        attention: Ok(answer(image)),
    })
}

fn asked(effects: &[Effect]) -> Vec<AttentionRequest> {
    let requests = effects.iter().filter_map(|effect| match effect {
        Effect::ComputeAttention(request) => Some(request.clone()),
        _ => None,
    });
    requests.collect()
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
fn seen(app: &App) -> (String, String) {
    let (columns, rows) = (80, 24);
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let theme = Theme::new(Colors::None, CharacterSet::Ascii);
    terminal.draw(|frame| draw(frame, app, &theme)).unwrap();
    let buffer = terminal.backend().buffer();
    // The first row has the tabs, one of them marked.
    let cells = (1..rows).flat_map(|row| (0..columns).map(move |column| &buffer[(column, row)]));
    let marked = cells
        .clone()
        .filter(|cell| cell.modifier.contains(Modifier::REVERSED));
    (
        cells.map(|cell| cell.symbol()).collect(),
        marked.map(|cell| cell.symbol()).collect(),
    )
}

#[test]
fn attention_steps_through_words() {
    let mut app = gallery();
    let effects = press(&mut app, "w");
    assert_eq!(asked(&effects), [request(0)]);
    assert!(seen(&app).0.contains("computing attention ..."));

    let first = drawn(&attended(&mut app, 0));
    let overlay = |word: usize| {
        let answer = answer(0);
        Some(answer.overlay(&answer.words[word]))
    };
    let overlays: Vec<_> = first.into_iter().map(|key| key.overlay).collect();
    assert_eq!(overlays, [overlay(0), overlay(1)], "it, and the next one");
    let (page, marked) = seen(&app);
    assert!(page.contains("word 1 of 3"), "{page}");
    assert_eq!(marked.trim(), "a");

    let second = drawn(&press(&mut app, "l"));
    assert_eq!(second[0].overlay, overlay(1));
    assert_eq!(seen(&app).1.trim(), "dog");
    app.update(key(KeyCode::Right));
    press(&mut app, "l");
    let (page, marked) = seen(&app);
    assert!(
        page.contains("word 3 of 3") && page.contains("image 1 of 2"),
        "{page}"
    );
    assert_eq!(marked.trim(), "runs", "after the last word nothing comes");
    press(&mut app, "h");
    assert_eq!(seen(&app).1.trim(), "dog");
}

#[test]
fn attention_stays_on_for_next_image_until_closed() {
    let mut app = gallery();
    press(&mut app, "w");
    attended(&mut app, 0);
    press(&mut app, "l");
    assert_eq!(asked(&press(&mut app, "j")), [request(1)]);
    attended(&mut app, 0);
    assert!(
        seen(&app).0.contains("computing attention ..."),
        "that was of the image before"
    );
    attended(&mut app, 1);
    let (page, marked) = seen(&app);
    assert!(
        page.contains("word 1 of 2") && page.contains("image 2 of 2"),
        "{page}"
    );
    assert_eq!(marked.trim(), "two");

    for end in [KeyCode::Esc, KeyCode::Char('w')] {
        app.update(key(end));
        let (page, marked) = seen(&app);
        assert!(!page.contains("word 1") && marked.is_empty(), "{page}");
        assert!(page.contains("image 2 of 2"), "{page}");
        assert_eq!(asked(&press(&mut app, "w")), [request(1)]);
        attended(&mut app, 1);
    }
    app.update(key(KeyCode::Esc));
    press(&mut app, "h");
    assert!(
        seen(&app).0.contains("image 1 of 2"),
        "left and right go to images again"
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
    let (page, marked) = seen(&app);
    assert!(page.contains("no decoder here attends (merge)"), "{page}");
    assert_eq!(marked, "");
    press(&mut app, "l");
    assert!(seen(&app).0.contains("image 1 of 2"));
}
