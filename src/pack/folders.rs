//! A run as a folder for other programs: of ONNX graphs, or with the files of Hugging Face's hub.

use super::packing::features_of;
use super::{PackError, Packing, StatedScores, card};
use crate::files::write_atomically;
use crate::metrics::{DisplayLevel, Metric};
use crate::model::ModelSpec;
use crate::nn::Backend;
use crate::onnx;
use crate::training::RunSettings;
use crate::vision::features::extractor::layers_of;
use serde::Serialize;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// What the hub's metadata says about a model and Cutline cannot know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubTerms {
    /// The hub's identifier of the license.
    pub license: Option<String>,
    /// The code of the captions' language.
    pub language: Option<String>,
}

/// `config.json` of the hub.
#[derive(Serialize)]
struct HubConfig<'p> {
    model_type: &'static str,
    version: &'p str,
    model: &'p ModelSpec,
    settings: &'p RunSettings,
}

/// The packed file in a folder for the hub.
pub fn hub_file(folder: &Path) -> PathBuf {
    folder.join("model.safetensors")
}

impl<D: Backend> Packing<D> {
    /// Writes the model's graphs with `config.json` and `vocabulary.json` into a folder that exists.
    ///
    /// # Errors
    /// If the model cannot be written as ONNX, or a file cannot be written.
    pub fn write_onnx(&self, folder: &Path) -> Result<(), PackError> {
        let model = &self.run().model;
        let published = match (self.cnn(), features_of(&model.spec().encoder)) {
            (Some(cnn), Some(features)) => Some(layers_of(features, cnn).map_err(super::packing::inputs)?),
            _ => None,
        };
        let (vocabulary, search) = (&self.run().vocabulary, &self.info().settings.search);
        Ok(onnx::write_folder(
            folder,
            model,
            vocabulary,
            search,
            published.as_ref(),
        )?)
    }

    /// Writes `config.json`, `vocabulary.txt` and `README.md`, beside [`hub_file`], into a folder that exists.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_hub_files(&self, folder: &Path, terms: &HubTerms) -> Result<(), PackError> {
        let info = self.info();
        let spec = self.run().model.spec();
        let config = HubConfig {
            model_type: "cutline",
            version: &info.packed_by,
            model: spec,
            settings: &info.settings,
        };
        let config = serde_json::to_string_pretty(&config).map_err(io::Error::from);
        let readme = format!("---\n{}---\n\n{}", metadata(self, terms), card::text(info, spec));
        let vocabulary = self.run().vocabulary.to_text()?;
        for (name, content) in [
            ("config.json", config),
            ("vocabulary.txt", Ok(vocabulary)),
            ("README.md", Ok(readme)),
        ] {
            let path = folder.join(name);
            content
                .and_then(|content| write_atomically(&path, |out| out.write_all(content.as_bytes())))
                .map_err(|source| PackError::Write { path, source })?;
        }
        Ok(())
    }
}

/// The metadata of the hub's model cards, in YAML. Texts are written as JSON strings, which YAML reads as they are.
fn metadata<D: Backend>(packing: &Packing<D>, terms: &HubTerms) -> String {
    let info = packing.info();
    let mut yaml = String::new();
    if let Some(license) = &terms.license {
        let _ = writeln!(yaml, "license: {}", quoted(license));
    }
    if let Some(language) = &terms.language {
        let _ = writeln!(yaml, "language:\n- {}", quoted(language));
    }
    let dataset = quoted(&info.dataset.name);
    let _ = write!(
        yaml,
        "library_name: cutline\npipeline_tag: image-to-text\ntags:\n- image-captioning\n- image-to-text\n- lstm\n- {}\n",
        quoted(info.settings.decoder.kind.into())
    );
    let _ = writeln!(yaml, "datasets:\n- {dataset}");
    if info.scores.is_empty() {
        return yaml;
    }
    yaml.push_str("metrics:\n");
    let mut families: Vec<String> = (info.scores.iter())
        .flat_map(stated)
        .map(|(metric, _)| family(metric))
        .collect();
    families.sort();
    families.dedup();
    for family in families {
        let _ = writeln!(yaml, "- {family}");
    }
    let _ = write!(yaml, "model-index:\n- name: {}\n  results:\n", quoted(&info.run));
    for scores in &info.scores {
        let _ = write!(
            yaml,
            "  - task:\n      type: image-to-text\n      name: Image captioning\n    dataset:\n      name: {}\n      type: {}\n      \
             split: {}\n    metrics:\n",
            quoted(&scores.dataset),
            quoted(&scores.dataset),
            quoted(&scores.split.to_string())
        );
        for (metric, value) in stated(scores) {
            let name = quoted(&format!("{} ({})", metric.label(), scores.search));
            let family = family(metric);
            let _ = write!(
                yaml,
                "    - type: {family}\n      value: {value}\n      name: {name}\n"
            );
        }
    }
    yaml
}

/// The scores by coco-caption's tokenizer, as papers report them.
fn stated(scores: &StatedScores) -> impl Iterator<Item = (Metric, f64)> {
    let shown = Metric::shown(DisplayLevel::Summary);
    shown.filter_map(|metric| Some((metric, *scores.ptb.get(metric)?)))
}

/// The hub's name of a metric's family.
fn family(metric: Metric) -> String {
    let key = metric.key();
    key.split('_').next().unwrap_or(key).to_owned()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
