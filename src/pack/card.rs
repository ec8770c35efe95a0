//! The model card: what a packed file is, in Markdown.

use super::{PackInfo, StatedScores};
use crate::metrics::{DisplayLevel, Metric};
use crate::model::{EncoderSpec, ModelSpec};
use crate::vision::features::store::FeatureSpec;
use std::fmt::Write as _;

/// The card of a packed run.
pub(super) fn text(info: &PackInfo, model: &ModelSpec) -> String {
    let mut text = format!(
        "# {}\n\nAn image captioner, trained and packed with Cutline {}.\n\n",
        info.run, info.packed_by
    );
    let decoder = &model.decoder;
    let rows = [
        ("encoder", encoder(&model.encoder)),
        (
            "decoder",
            format!("{}, {} units", decoder.kind, decoder.hidden_size),
        ),
        ("vocabulary", format!("{} tokens", model.vocabulary)),
        (
            "weights",
            format!("{}, of the checkpoint {}", info.dtype, info.checkpoint),
        ),
        (
            "training data",
            format!("{} (hash {})", info.dataset.name, info.dataset.hash),
        ),
        ("search", info.settings.search.to_string()),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "- {name}: {value}");
    }
    if let Some(cnn) = &info.cnn {
        let _ = write!(
            text,
            "\n## Weights of the CNN\n\n- file: {}\n- license: {}\n- origin: {}\n",
            cnn.file, cnn.license, cnn.origin
        );
    }
    text.push_str("\n## Scores\n\n");
    match info.scores.as_slice() {
        [] => text.push_str("None are stated.\n"),
        scores => scores.iter().for_each(|stated| text.push_str(&paragraph(stated))),
    }
    text.push_str(
        "\n## Use\n\n```\ncutline caption FILE image.jpg\ncutline verify FILE --data DATASET\n```\n\n\
         Captions repeat the wording and the errors of the training captions, and describe images unlike the training images \
         wrongly.\n",
    );
    text
}

fn encoder(encoder: &EncoderSpec) -> String {
    let stored = |features: &FeatureSpec| match features.is_made_elsewhere() {
        true => format!("features made elsewhere ({})", features.backbone),
        false => format!("{}, layer {}", features.backbone, features.layer),
    };
    match encoder {
        EncoderSpec::Features(features) => stored(features),
        EncoderSpec::FineTuned { features, .. } => format!("{}, with fine-tuned layers", stored(features)),
        EncoderSpec::SmallCnn(settings) => {
            format!("a small CNN on images of {} pixels a side", settings.size)
        }
    }
}

fn paragraph(stated: &StatedScores) -> String {
    let line = |scores: &crate::metrics::Scores| {
        let metrics = Metric::shown(DisplayLevel::Summary).filter(|metric| scores.get(*metric).is_some());
        scores.line(metrics, 4, ", ")
    };
    format!(
        "{}, {} split, {} images, {}:\n\n- {}\n  `{}`\n- {}\n  `{}`\n\n",
        stated.dataset,
        stated.split,
        stated.images,
        stated.search,
        line(&stated.scores),
        stated.signature,
        line(&stated.ptb),
        stated.ptb_signature
    )
}
