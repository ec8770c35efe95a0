//! Tests of the report on synthetic captions.

use super::*;
use crate::diagnosis::{Cause, Symptom};
use crate::jobs::CheckpointKind;
use crate::metrics::Metric;
use crate::model::ImageInputs;

/// Two references of an image.
fn references(number: usize) -> [String; 2] {
    [
        format!("a thing{number} lies on the place{number} today"),
        format!("one thing{number} lies at the place{number} now"),
    ]
}

pub(super) const HEALTHY: Evidence = Evidence {
    encoder: EncoderOrigin::Pretrained,
    feature_similarity: Some(0.4),
    token_log_probability: -1.0,
    uniform_log_probability: -7.8,
};

/// The report on forty images whose captions are `caption(number)`.
pub(super) fn report_on(caption: impl Fn(usize) -> String, evidence: Evidence) -> Report {
    report_on_images(40, caption, evidence)
}

pub(super) fn report_on_images(
    count: usize,
    caption: impl Fn(usize) -> String,
    evidence: Evidence,
) -> Report {
    let captions = (0..count).map(|number| CaptionedImage {
        image: format!("{number}.png"),
        caption: caption(number),
        log_probability: -2.0,
        scores: Scores::default(),
        references: references(number).into(),
    });
    let info = EvaluationInfo {
        run: "run".into(),
        checkpoint: CheckpointKind::Best,
        ensemble: Vec::new(),
        dataset: "things".into(),
        data_hash: String::new(),
        split: Split::Dev,
        tokenizer: String::new(),
    };
    report(
        captions.collect(),
        &TrainingCorpus::default(),
        evidence,
        info,
        &SearchSettings::default(),
    )
}

pub(super) fn right(number: usize) -> String {
    references(number)[0].clone()
}

pub(super) fn same(_: usize) -> String {
    right(7)
}

#[test]
fn healthy_captioner_has_no_diagnosis() {
    let report = report_on(right, HEALTHY);
    assert_eq!(report.diagnosis, None);
    assert!((report.summary.scores.score(Metric::BLEU_4) - 1.0).abs() < 1e-6);
}

fn same_caption(fraction: f64) -> Symptom {
    Symptom::SameCaption {
        fraction,
        caption: same(0),
    }
}

#[test]
fn same_caption_is_diagnosed_with_its_fraction() {
    let symptoms = report_on(same, HEALTHY).diagnosis.unwrap().symptoms;
    assert_eq!(symptoms[0], same_caption(1.0));
    let mostly_right = |number| if number < 8 { same(number) } else { right(number) };
    assert_eq!(
        report_on(mostly_right, HEALTHY).diagnosis,
        None,
        "one image in five"
    );
    let nine = |number| if number < 10 { same(number) } else { right(number) };
    let symptoms = report_on(nine, HEALTHY).diagnosis.unwrap().symptoms;
    assert_eq!(symptoms, [same_caption(0.25)]);
}

#[test]
fn captions_that_ignore_the_image_are_diagnosed() {
    // Every image gets a caption of its own, but all are equally wrong.
    let blind = |number: usize| format!("a thing lies on the place word{number}");
    let diagnosis = report_on(blind, HEALTHY).diagnosis.unwrap();
    assert!(
        matches!(diagnosis.symptoms[..], [Symptom::ImageIgnored { cider_d_kept, .. }] if cider_d_kept > 0.9),
        "{diagnosis:?}"
    );
}

#[test]
fn captions_without_a_common_word_are_diagnosed() {
    let diagnosis = report_on(|number| format!("word{number}"), HEALTHY)
        .diagnosis
        .unwrap();
    assert!(
        matches!(diagnosis.symptoms[..], [Symptom::NoWordOverlap { bleu_1 }] if bleu_1 < 1e-3),
        "{diagnosis:?}"
    );
}

#[test]
fn few_images_have_no_diagnosis() {
    assert_eq!(report_on_images(19, same, HEALTHY).diagnosis, None);
    assert!(report_on_images(20, same, HEALTHY).diagnosis.is_some());
}

#[test]
fn causes_follow_from_the_evidence() {
    use Cause::{Diverged, FeaturesAlike, LearningRate, Preprocessing, Undertrained};
    let alike = Evidence {
        feature_similarity: Some(0.999),
        ..HEALTHY
    };
    let unlearned = Evidence {
        token_log_probability: -7.5,
        ..HEALTHY
    };
    let along = |evidence| Evidence {
        encoder: EncoderOrigin::TrainedJointly,
        ..evidence
    };
    let not_a_number = Evidence {
        token_log_probability: f64::NAN,
        ..HEALTHY
    };
    let no_features = Evidence {
        feature_similarity: Some(f64::NAN),
        ..HEALTHY
    };
    let table: [(Evidence, &[Cause]); 8] = [
        (alike, &[FeaturesAlike, Preprocessing]),
        (along(alike), &[FeaturesAlike, LearningRate, Undertrained]),
        (HEALTHY, &[LearningRate, Undertrained, Preprocessing]),
        (along(HEALTHY), &[LearningRate, Undertrained]),
        (unlearned, &[Undertrained, LearningRate]),
        (along(unlearned), &[Undertrained, LearningRate]),
        (not_a_number, &[Diverged]),
        (no_features, &[Diverged]),
    ];
    for (evidence, causes) in table {
        let diagnosis = report_on(same, evidence).diagnosis.unwrap();
        assert_eq!(diagnosis.causes, causes, "{evidence:?}");
    }
}

#[test]
fn report_round_trips_through_json() {
    let report = report_on(same, HEALTHY);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        json["bleu_1"].as_f64(),
        report.summary.scores.get(Metric::BLEU_1).copied()
    );
    assert_eq!(json["diagnosis"]["symptoms"][0]["symptom"], "same_caption");
    assert_eq!(
        json["captions"][7]["cider_d"].as_f64(),
        Some(report.captions[7].scores.score(Metric::CIDER_D))
    );
    let back: Report = serde_json::from_value(json).unwrap();
    assert!(back == report, "as read back: {back:?}");
}

#[test]
fn report_of_a_diverged_captioner_can_be_read() {
    let mut report = report_on(same, HEALTHY);
    report.summary.evidence.token_log_probability = f64::NAN;
    report.captions[3].log_probability = f64::NAN;
    let json = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&json).unwrap();
    assert!(back.summary.evidence.token_log_probability.is_nan());
    assert!(back.captions[3].log_probability.is_nan());
    assert_eq!(back.captions[4], report.captions[4]);
}

#[test]
fn each_image_has_its_own_scores() {
    let half = |number: usize| {
        if number.is_multiple_of(2) {
            right(number)
        } else {
            same(number)
        }
    };
    let report = report_on(half, HEALTHY);
    for (number, row) in report.captions.iter().enumerate() {
        let is_right = number.is_multiple_of(2) || number == 7;
        assert_eq!(row.scores.score(Metric::BLEU_4) > 0.99, is_right, "{row:?}");
        assert_eq!(row.references, references(number));
    }
    let cider_d = |row: &CaptionedImage| row.scores.score(Metric::CIDER_D);
    let mean = report.captions.iter().map(cider_d).sum::<f64>() / report.captions.len() as f64;
    assert!((mean - report.summary.scores.score(Metric::CIDER_D)).abs() < 1e-9);
}

mod similarity {
    use super::mean_cosine;

    /// The definition: every pair by itself.
    fn by_pairs(rows: &[&[f32]]) -> f64 {
        let norm = |row: &[f32]| row.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let cosine = |a: &[f32], b: &[f32]| {
            let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
            dot / (norm(a) * norm(b))
        };
        let pairs: Vec<f64> = (0..rows.len())
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|(a, b)| cosine(rows[a], rows[b]))
            .collect();
        pairs.iter().sum::<f64>() / pairs.len() as f64
    }

    #[test]
    fn mean_cosine_equals_the_mean_over_pairs() {
        let rows: [&[f32]; 4] = [
            &[1.0, 2.0, 0.5],
            &[-1.0, 0.25, 3.0],
            &[0.0, 4.0, 1.0],
            &[2.0, 2.0, 2.0],
        ];
        let found = mean_cosine(&rows.concat(), 3).unwrap();
        assert!((found - by_pairs(&rows)).abs() < 1e-12);
    }

    #[test]
    fn mean_cosine_of_zero_features_is_one() {
        assert_eq!(mean_cosine(&[0.0; 12], 3), Some(1.0));
        assert_eq!(mean_cosine(&[0.0, 0.0, 1.0, 0.0], 2), Some(0.0));
    }

    #[test]
    fn mean_cosine_of_one_image_is_none() {
        assert_eq!(mean_cosine(&[1.0, 2.0], 2), None);
        assert_eq!(mean_cosine(&[], 2), None);
    }

    #[test]
    fn mean_cosine_of_nan_is_nan() {
        assert!(mean_cosine(&[f32::NAN, 1.0, 1.0, 1.0], 2).unwrap().is_nan());
    }
}

#[test]
fn similarity_ignores_feature_normalization() {
    use crate::decoders::{DecoderKind, DecoderSettings};
    use crate::nn::random_stream;
    use crate::vision::features::store::{FeatureDtype, FeatureSpec};
    use crate::vision::preprocess::Preprocessing;

    let spec = crate::model::ModelSpec {
        encoder: EncoderSpec::Features(FeatureSpec {
            backbone: "none".into(),
            layer: "none".into(),
            weights: String::new(),
            preprocessing: Some(Preprocessing::symmetric(8)),
            regions: 1,
            variable_regions: false,
            channels: 3,
            dtype: FeatureDtype::F32,
        }),
        decoder: DecoderSettings {
            kind: DecoderKind::Inject,
            hidden_size: 2,
            embedding_size: 2,
            dropout: 0.0,
            ..DecoderSettings::default()
        },
        vocabulary: 6,
    };
    let device = dfdx::prelude::Cpu::default();
    let mut model = Model::new(&device, spec, &mut random_stream(0, "test", 0)).unwrap();
    let alike: Vec<f32> = (0..30).map(|n| 5.0 + 1e-3 * (n * n % 7) as f32).collect();
    let inputs = ImageInputs::in_memory(alike.clone(), 3);
    model.normalize(&inputs, 10).unwrap();
    assert!(super::similarity(&model, alike).unwrap().unwrap() > 0.999);
}
