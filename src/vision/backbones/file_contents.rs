//! What a file of weights seems to hold, for the message when it is not what was asked for.

use super::BackboneKind;
use super::fit::Fit;
use crate::suggest::Named;
use crate::vision::weights::WeightFile;
use std::collections::BTreeMap;
use strum::IntoEnumIterator;

/// Parts of names that only some networks have. The first that is found counts.
const SIGNS: [(&str, &str); 19] = [
    (
        "_se_reduce.",
        "an EfficientNet-B, which has squeeze and excitation",
    ),
    (
        ".se.conv_reduce.",
        "timm's EfficientNet or MobileNetV3 with squeeze and excitation",
    ),
    ("block3_conv4/", "Keras' VGG19"),
    ("features.1.running_mean", "a VGG with batch normalization"),
    ("features.34.weight", "torchvision's VGG19"),
    (
        "convolution.weight",
        "a network under the names of Hugging Face's transformers",
    ),
    ("vision_model.", "CLIP's or another vision transformer"),
    ("visual.", "CLIP"),
    ("denseblock1.", "a DenseNet"),
    ("layer4.0.", "a ResNet"),
    ("conv5_block1_", "Keras' ResNet or DenseNet"),
    ("Mixed_7a.", "Inception v3"),
    ("Conv1_bn/", "Keras' MobileNet"),
    ("expanded_conv_", "Keras' MobileNetV2"),
    ("block1.rep.", "Cadene's Xception for PyTorch"),
    ("patch_embed", "a vision transformer"),
    ("attn.", "a transformer"),
    ("embeddings", "a text decoder"),
    ("lstm", "a text decoder"),
];

/// `it seems to hold ...`, or the names that most tensors begin with. It is not the network that was `asked` for.
pub(super) fn describe(file: &WeightFile, asked: BackboneKind) -> String {
    let others = BackboneKind::iter().filter(|kind| *kind != asked);
    let kinds = others.filter(|kind| Fit::is_whole(*kind, file));
    let kinds: Vec<&str> = kinds.map(|kind| kind.name()).collect();
    if !kinds.is_empty() {
        return format!("it seems to hold the weights of {}", kinds.join(" or "));
    }
    if file.names().next().is_none() {
        return "it holds no tensors".to_owned();
    }
    let file_name = file.path().file_name().unwrap_or_default();
    if file_name.to_string_lossy().contains("-of-0") {
        return "it seems to be one of several files: give the list of them, such as model.safetensors.index.json".to_owned();
    }
    let sign = SIGNS
        .iter()
        .find(|(part, _)| file.names().any(|name| name.contains(part)));
    match sign {
        Some((_, network)) => format!("it seems to hold {network}"),
        None => format!("it holds tensors under {}", beginnings(file)),
    }
}

fn beginnings(file: &WeightFile) -> String {
    by_count(
        file.names()
            .map(|name| name.split(['.', '/']).next().unwrap_or_default()),
    )
}

/// `"encoder" (312), "decoder" (9)`, the most common first.
pub(super) fn by_count<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 4;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown = counts.iter().take(SHOWN);
    let mut shown: Vec<String> = shown.map(|(name, count)| format!("{name:?} ({count})")).collect();
    if counts.len() > SHOWN {
        shown.push(format!("and {} more", counts.len() - SHOWN));
    }
    shown.join(", ")
}
