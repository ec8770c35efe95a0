//! The names of layers in the `config.json` of Keras' `.keras`, whose weights before Keras 3.15 have only their classes.

use serde_json::Value;
use std::collections::BTreeMap;

/// Deeper than any model in a model.
const MAX_DEPTH: usize = 16;
/// Longer than the class of any layer.
const MAX_CLASS: usize = 64;

/// The name of each layer by its group in the file of weights: `layers/functional/layers/conv2d_1`.
pub(super) fn layer_names(config: &[u8]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    if let Ok(model) = serde_json::from_slice::<Value>(config) {
        collect(&model, "", MAX_DEPTH, &mut names);
    }
    names
}

/// Groups are called after classes, and numbered from the second of a class on.
fn collect(model: &Value, group: &str, depth: usize, names: &mut BTreeMap<String, String>) {
    let layers = model["config"]["layers"].as_array();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for layer in layers.into_iter().flatten() {
        let (Some(class), Some(name)) = (layer["class_name"].as_str(), layer["config"]["name"].as_str())
        else {
            continue;
        };
        if class.len() > MAX_CLASS || depth == 0 {
            continue;
        }
        let class = snake_case(class);
        let count = counts.entry(class.clone()).or_default();
        let number = match *count {
            0 => String::new(),
            count => format!("_{count}"),
        };
        *count += 1;
        let layer_group = format!("{group}layers/{class}{number}");
        collect(layer, &format!("{layer_group}/"), depth - 1, names);
        names.insert(layer_group, name.to_owned());
    }
}

/// `BatchNormalization` -> `batch_normalization`, `SeparableConv2D` -> `separable_conv2d`.
fn snake_case(class: &str) -> String {
    let chars: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (at, c) in chars.iter().enumerate() {
        let is_lower = |at: usize| chars.get(at).is_some_and(char::is_ascii_lowercase);
        if at > 0 && c.is_ascii_uppercase() && (is_lower(at - 1) || is_lower(at + 1)) {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_by_class_in_every_model() {
        let layer =
            |class: &str, name: &str| serde_json::json!({"class_name": class, "config": {"name": name}});
        let inner = serde_json::json!({"class_name": "Functional", "config": {"name": "vgg16", "layers": [
            layer("Conv2D", "block1_conv1"), layer("Conv2D", "block1_conv2"), layer("SeparableConv2D", "last"),
        ]}});
        let model = serde_json::json!({"class_name": "Sequential", "config": {"layers": [
            layer("InputLayer", "input"), inner, layer("Conv2D", "head"), layer("ReLU", "relu"),
        ]}});
        let names = layer_names(model.to_string().as_bytes());
        let expected = [
            ("layers/conv2d", "head"),
            ("layers/functional", "vgg16"),
            ("layers/functional/layers/conv2d", "block1_conv1"),
            ("layers/functional/layers/conv2d_1", "block1_conv2"),
            ("layers/functional/layers/separable_conv2d", "last"),
            ("layers/input_layer", "input"),
            ("layers/re_lu", "relu"),
        ];
        let expected = expected.map(|(group, name)| (group.to_owned(), name.to_owned()));
        assert_eq!(names, expected.into());
        assert!(layer_names(b"[1, {}]").is_empty() && layer_names(b"{").is_empty());
    }
}
