//! Settings that belong together, as `--set` takes them.

use super::settings::RunSettings;
use crate::config::{self, Assignment, ConfigError};

/// Settings under which two cores learn the built-in data set in about a minute, as `--set` takes them. Images and
/// words are few and clean: a small network without dropout or label smoothing, which reads all captions of an image
/// at once.
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

/// A recipe that is known to work, by the name of where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// The merge decoder as captioning scripts have published it.
    Baseline,
    /// Vinyals et al. 2015.
    ShowAndTell,
    /// Xu et al. 2015.
    ShowAttendTell,
    /// What scores best.
    ShowAttendTellScst,
}

impl Preset {
    /// Every preset there is.
    pub const ALL: [Self; 4] = [
        Self::Baseline,
        Self::ShowAndTell,
        Self::ShowAttendTell,
        Self::ShowAttendTellScst,
    ];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::ShowAndTell => "show-and-tell",
            Self::ShowAttendTell => "show-attend-tell",
            Self::ShowAttendTellScst => "show-attend-tell-scst",
        }
    }

    /// What it is, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Baseline => {
                "image and words meet after the LSTM, as published scripts have it; pooled features"
            }
            Self::ShowAndTell => "the LSTM reads the image first (Vinyals et al. 2015); pooled features",
            Self::ShowAttendTell => {
                "the LSTM looks at a region for each word (Xu et al. 2015); features of a grid"
            }
            Self::ShowAttendTellScst => {
                "show-attend-tell on images seen in a mirror and through windows, the network's last layers trained further, \
                 then captions rewarded (Rennie et al. 2017); a grid of EfficientNet-Lite at an early layer, mirrored and \
                 through 6 windows too"
            }
        }
    }

    /// What differs from the defaults, as `--set` takes it.
    pub fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Baseline => &[
                "decoder.kind=merge",
                "decoder.dropout=0.5",
                "training.label_smoothing=0",
                "training.lr_schedule.kind=constant",
                "encoder.normalize_features=false",
                "search.beam_size=1",
            ],
            Self::ShowAndTell => &["decoder.kind=inject"],
            Self::ShowAttendTell => &[
                "decoder.kind=soft-attention",
                "decoder.hidden_size=384",
                "decoder.dropout=0.5",
                "training.epochs=10",
                "training.sampler=by_image",
                "training.batch_size=80",
                "training.max_caption_length=22",
            ],
            Self::ShowAttendTellScst => &[
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
        }
    }

    /// The defaults, with what differs from them.
    ///
    /// # Errors
    /// Where a setting is no longer known; a mistake in the program.
    pub fn resolve(self) -> Result<RunSettings, ConfigError> {
        config::resolve(None, &self.assignments())
    }

    /// [`settings`](Self::settings), read.
    pub fn assignments(self) -> Vec<Assignment> {
        let settings = self.settings().iter();
        settings.filter_map(|setting| setting.parse().ok()).collect()
    }
}

impl std::str::FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| UnknownPreset(name.into()))
    }
}

/// A name of a preset that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "no preset is called `{0}`; there are `baseline`, `show-and-tell`, `show-attend-tell` and `show-attend-tell-scst`"
)]
pub struct UnknownPreset(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_made_of_settings_that_make_sense() {
        for preset in Preset::ALL {
            assert_eq!(preset.assignments().len(), preset.settings().len());
            let settings = preset.resolve().unwrap();
            assert_eq!(settings.check(), Ok(()), "{}", preset.name());
            assert_eq!(preset.name().parse::<Preset>().unwrap(), preset);
        }
    }
}
