//! Presets: settings that belong together, as `--set` takes them.

use super::settings::RunSettings;
use crate::config::{self, Assignment, ConfigError};
use crate::suggest::UnknownName;

/// The settings of the demo, which learn the built-in scenes in about a minute on two cores. Images and words are few
/// and clean: a small network without dropout or label smoothing suffices.
pub const DEMO: [&str; 10] = [
    "encoder.kind=small_cnn",
    "decoder.hidden_size=128",
    "decoder.embedding_size=64",
    "decoder.dropout=0",
    "training.epochs=10",
    "training.sampler=by_image",
    "training.batch_size=80",
    "training.learning_rate=1.5e-3",
    "training.lr_schedule.warmup_steps=50",
    "training.label_smoothing=0",
];

/// A known recipe: a row of [`PRESETS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The name on the command line.
    pub name: &'static str,
    /// The recipe and the features it requires, in one line.
    pub help: &'static str,
    /// The settings that differ from the defaults.
    pub settings: &'static [&'static str],
}

/// All presets.
pub const PRESETS: [Preset; 4] = [
    Preset {
        name: "baseline",
        help: "Merge decoder with the settings of published scripts; pooled features",
        settings: &[
            "decoder.kind=merge",
            "decoder.dropout=0.5",
            "training.label_smoothing=0",
            "training.lr_schedule.kind=constant",
            "encoder.normalize_features=false",
            "search.beam_size=1",
        ],
    },
    Preset {
        name: "show-and-tell",
        help: "The image is the LSTM's first input (Vinyals et al. 2015); pooled features",
        settings: &["decoder.kind=inject"],
    },
    Preset {
        name: "show-attend-tell",
        help: "Soft attention over regions (Xu et al. 2015); grid features",
        settings: &[
            "decoder.kind=soft-attention",
            "decoder.hidden_size=384",
            "decoder.dropout=0.5",
            "training.epochs=10",
            "training.sampler=by_image",
            "training.batch_size=80",
            "training.max_caption_length=22",
        ],
    },
    Preset {
        name: "show-attend-tell-scst",
        help: "show-attend-tell with augmentation, fine-tuning and SCST (Rennie et al. 2017); grid features of an early \
               EfficientNet-Lite layer, with --hflip and --random-crops 6",
        settings: &[
            "decoder.kind=soft-attention",
            "decoder.hidden_size=384",
            "decoder.dropout=0.5",
            "decoder.weight_drop=0.2",
            "encoder.unfreeze_until=features",
            "training.epochs=10",
            "training.sampler=by_image",
            "training.batch_size=80",
            "training.max_caption_length=22",
            "augment.hflip_prob=0.5",
            "augment.random_crops=6",
            "augment.random_crop_prob=0.6",
            "training.early_stopping_patience=6",
            "training.scst.epochs=8",
            "training.scst.learning_rate=1e-4",
            "training.scst.dropout=0.3",
            "training.scst.reward.bleu_4=0.5",
        ],
    },
];

impl Preset {
    /// The defaults, with the settings of this preset.
    ///
    /// # Errors
    /// If a setting is unknown, which a test rules out.
    pub fn resolve(self) -> Result<RunSettings, ConfigError> {
        let assignments: Vec<Assignment> = self.settings.iter().filter_map(|set| set.parse().ok()).collect();
        config::apply(&RunSettings::default(), None, &assignments)
    }
}

impl std::str::FromStr for Preset {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let preset = PRESETS.into_iter().find(|preset| preset.name == name);
        preset.ok_or_else(|| UnknownName::new("preset", name, PRESETS.map(|preset| preset.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_settings() {
        for preset in PRESETS {
            assert!(
                preset
                    .settings
                    .iter()
                    .all(|set| set.parse::<Assignment>().is_ok())
            );
            assert_eq!(preset.resolve().unwrap().check(), Ok(()), "{}", preset.name);
            assert_eq!(preset.name.parse::<Preset>().unwrap(), preset);
        }
    }
}
