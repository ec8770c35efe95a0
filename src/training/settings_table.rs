//! The settings: ONE table, which validation, `set`, the workbench's forms, `--help`, `train --print-settings` and
//! `docs/settings.md` read.
//!
//! Types and defaults are those of the structs in [`settings`](super::settings), reached by the dotted key through
//! serde. A new setting is a field there and a row here; a test fails if one of both is missing.

use super::lr_schedule::LrScheduleKind;
use super::settings::{RunSettings, Sampler};
use super::settings_changes::ChangeError;
use crate::config::{self, Assignment};
use crate::decoders::DecoderKind;
use crate::metrics::{METRICS, Metric};
use crate::model::EncoderKind;
use std::fmt::Write;
use strum::VariantNames;
use toml::Value;

/// A setting: a row of [`SETTINGS`].
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The dotted key, as in `--set key=value`.
    pub key: &'static str,
    /// The accepted values.
    pub values: Values,
    /// Whether it may change while a run is trained. All others have shaped the model, the order of the batches or the
    /// state of the optimizer already.
    pub mutable_during_training: bool,
    /// The form of the workbench that has a field for it, and the label of that field.
    pub form: Option<(SettingsForm, &'static str)>,
    /// The meaning, in one line.
    pub help: &'static str,
}

/// A form of the workbench that has fields for settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsForm {
    /// The form that starts a training.
    Train,
    /// The forms that caption with other search settings. A label is the name of the flag of `evaluate` and `caption`,
    /// with blanks for hyphens.
    Search,
}

/// The values that a setting accepts, within its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// All of the type.
    Any,
    /// One of these names.
    OneOf(&'static [&'static str]),
    /// Whole numbers of at least this.
    AtLeast(i64),
    /// Whole numbers from the first to the second, both included.
    Between(i64, i64),
    /// Finite numbers.
    Finite,
    /// Finite numbers above 0.
    Positive,
    /// Finite numbers of 0 or more.
    NonNegative,
    /// Numbers of 0 or more, and less than 1.
    BelowOne,
    /// Numbers from 0 to 1, both included.
    ZeroToOne,
}

use SettingsForm::{Search, Train};
use Values::{Any, AtLeast, BelowOne, Between, Finite, NonNegative, OneOf, Positive, ZeroToOne};

/// Sizes up to a number that no machine of today has memory for.
const SIZE: Values = Between(1, 65_536);
/// The memory of a search grows with the product of both of its sizes.
const SEARCH_SIZE: Values = Between(1, 1_024);

const MONITORS: [&str; METRICS.len() + 1] = Metric::keys("loss");

/// All settings, in the order of the forms and the documentation.
#[rustfmt::skip] // A row is a line.
pub const SETTINGS: &[Setting] = &[
    row("encoder.kind", OneOf(EncoderKind::VARIANTS), "Stored features, or a small CNN trained from scratch; auto: features if there are any"),
    row("encoder.features", Any, "Name of the feature store; empty: the only one that fits the decoder"),
    row("encoder.normalize_features", Any, "Normalize stored features to mean 0 and standard deviation 1 per channel"),
    row("encoder.unfreeze_until", Any, "Fine-tune the pretrained layers behind the stored one up to this layer; empty: none"),
    row("encoder.lr_multiplier", NonNegative, "Multiplier of the learning rate for fine-tuned layers"),
    row("encoder.small_cnn.size", SIZE, "Side of the images that the small CNN reads, in pixels"),
    row("encoder.small_cnn.widths", SIZE, "Channels of the small CNN's stages"),
    row("augment.hflip_prob", BelowOne, "Probability of a horizontal flip of a training image (see prepare)"),
    row("augment.random_crops", Any, "Number of stored random crops per training image (see prepare)"),
    row("augment.random_crop_prob", BelowOne, "Probability of a random crop, if there are any"),
    row("decoder.kind", OneOf(DecoderKind::VARIANTS), "Decoder architecture").in_form(Train, "decoder"),
    row("decoder.hidden_size", SIZE, "Units of the LSTM").in_form(Train, "hidden size"),
    row("decoder.embedding_size", SIZE, "Dimensions of a word embedding").in_form(Train, "embedding size"),
    row("decoder.tie_embeddings", Any, "Tie input and output embeddings (requires embedding size = hidden size)"),
    row("decoder.dropout", BelowOne, "Dropout of features, embeddings and the last hidden layer").in_form(Train, "dropout"),
    row("decoder.weight_drop", BelowOne, "Dropout of the recurrent weights of the LSTM (DropConnect)"),
    row("decoder.attention_size", SIZE, "Dimensions of the keys and queries of an attention decoder"),
    row("decoder.doubly_stochastic_weight", NonNegative, "Weight of the doubly stochastic penalty of an attention decoder (Xu et al. 2015)"),
    row("training.epochs", AtLeast(1), "Maximum number of epochs").mutable().in_form(Train, "epochs"),
    row("training.batch_size", SIZE, "Captions of a batch").in_form(Train, "batch size"),
    row("training.sampler", OneOf(Sampler::VARIANTS), "Batches of captions of similar length, or of images with all their captions"),
    row("training.max_caption_length", AtLeast(1), "Words after which a training caption is truncated; auto: the 99th percentile of the dataset's captions, 30 to 256"),
    row("training.learning_rate", Positive, "The highest learning rate").mutable().in_form(Train, "learning rate"),
    row("training.lr_schedule.kind", OneOf(LrScheduleKind::VARIANTS), "LR schedule after the warmup"),
    row("training.lr_schedule.warmup_steps", Any, "Steps of linear warmup; auto: 200, or a tenth of all steps if that is less"),
    row("training.lr_schedule.min_ratio", BelowOne, "Lowest learning rate of cosine and plateau, as a fraction of the highest"),
    row("training.lr_schedule.factor", BelowOne, "Plateau: factor of a learning rate drop"),
    row("training.lr_schedule.patience", Any, "Plateau: epochs without a better checkpoint before a drop"),
    row("training.optimizer.beta1", BelowOne, "Adam: decay of the first moment"),
    row("training.optimizer.beta2", BelowOne, "Adam: decay of the second moment"),
    row("training.optimizer.eps", Positive, "Adam: added to the root of the second moment"),
    row("training.optimizer.weight_decay", NonNegative, "Decoupled weight decay of matrices (AdamW)").mutable(),
    row("training.optimizer.max_grad_norm", NonNegative, "Clip gradients to this global norm; 0: no clipping").mutable(),
    row("training.label_smoothing", BelowOne, "Target probability spread over all words").mutable(),
    row("training.word_dropout", BelowOne, "Probability of replacing an input word by the unknown word"),
    row("training.scheduled_sampling", BelowOne, "Probability of feeding the decoder its own word, in the last epoch; rises from 0"),
    row("training.ema_decay", BelowOne, "Decay of the moving average of the weights that is evaluated and kept; 0: none"),
    row("training.scst.epochs", Any, "Maximum number of epochs of self-critical sequence training; 0: none").mutable(),
    row("training.scst.samples", Between(2, 65_536), "SCST: captions sampled per image, compared with each other"),
    row("training.scst.learning_rate", Positive, "SCST: the highest learning rate").mutable(),
    row("training.scst.dropout", BelowOne, "SCST: dropout of features, embeddings and the last hidden layer").mutable(),
    row("training.scst.initial_logit_scale", Positive, "SCST: factor of the logits at its start, an inverse temperature"),
    row("training.scst.reward.cider_d", NonNegative, "SCST: weight of CIDEr-D in the reward").mutable(),
    row("training.scst.reward.bleu_4", NonNegative, "SCST: weight of BLEU-4 in the reward").mutable(),
    row("training.monitor", OneOf(&MONITORS), "Dev metric that selects the best checkpoint"),
    row("training.early_stopping_patience", Any, "Stop after this many epochs without a better checkpoint; 0: never").mutable(),
    row("training.checkpoint_steps", Any, "Steps between saves of latest; 0: only at the end of an epoch").mutable(),
    row("training.checkpoint_minutes", NonNegative, "Minutes between saves of latest; 0: only at the end of an epoch").mutable(),
    row("training.cpu_partitions", Between(1, 1024), "Parts that CPU work is divided into; at most this many threads are busy, and results depend on it in the last digits"),
    row("search.strategy", OneOf(&["beam", "sample"]), "Beam search, or sampling").in_form(Search, "strategy"),
    row("search.beam_size", SEARCH_SIZE, "Hypotheses that beam search keeps at each step; 1 is greedy search").mutable().in_form(Search, "beam size"),
    row("search.length_penalty", Finite, "Beam search divides log-probabilities by the length to this power; 0 favors short captions").mutable().in_form(Search, "length penalty"),
    row("search.mbr_weight", ZeroToOne, "Rerank the beam by minimum Bayes risk: weight of the expected CIDEr-D against the other hypotheses").mutable().in_form(Search, "mbr weight"),
    row("search.mbr_temperature", Positive, "MBR: softmax temperature over the other hypotheses; below 1, likely ones count for more").mutable().in_form(Search, "mbr temperature"),
    row("search.min_length", Any, "Minimum caption length in words"),
    row("search.max_length", SEARCH_SIZE, "Maximum caption length in words; auto: the 99th percentile of the dataset's captions, 20 to 256").mutable().in_form(Search, "max length"),
    row("search.no_repeat_ngram", Any, "Never repeat an n-gram of this size within a caption; 0 allows all").mutable().in_form(Search, "no repeat ngram"),
    row("search.temperature", Positive, "Sampling: softmax temperature; below 1 favors likely words").in_form(Search, "temperature"),
    row("search.top_k", Any, "Sampling: draw from this many most likely words only; 0: from all"),
    row("search.seed", Any, "Sampling: random seed; the same seed gives the same captions").in_form(Search, "seed"),
    row("seed", Any, "Seed of weight initialization, batch order, dropout and sampling").in_form(Train, "seed"),
];

const fn row(key: &'static str, values: Values, help: &'static str) -> Setting {
    Setting {
        key,
        values,
        mutable_during_training: false,
        form: None,
        help,
    }
}

impl Setting {
    const fn mutable(self) -> Self {
        Self {
            mutable_during_training: true,
            ..self
        }
    }

    const fn in_form(self, form: SettingsForm, label: &'static str) -> Self {
        Self {
            form: Some((form, label)),
            ..self
        }
    }

    /// The row of a dotted key.
    pub fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The rows with a field in this form, and the labels of the fields.
    pub fn of_form(form: SettingsForm) -> impl Iterator<Item = (&'static Self, &'static str)> {
        let fields = SETTINGS
            .iter()
            .filter_map(|setting| Some((setting, setting.form?)));
        fields
            .filter(move |(_, (of, _))| *of == form)
            .map(|(setting, (_, label))| (setting, label))
    }

    /// The value in these settings, as a user types it.
    pub fn text_in(&self, settings: &RunSettings) -> String {
        self.value_in(&as_toml(settings)).map_or_else(String::new, typed)
    }

    fn value_in<'v>(&self, settings: &'v Value) -> Option<&'v Value> {
        self.key
            .split('.')
            .try_fold(settings, |value, name| value.get(name))
    }

    /// Reads a value as a user types it.
    ///
    /// # Errors
    /// If it does not fit the type or the accepted values.
    pub fn parse(&self, text: &str) -> Result<Assignment, ChangeError> {
        let assignment: Assignment = format!("{}={text}", self.key).parse()?;
        let settings = config::apply(&RunSettings::default(), None, std::slice::from_ref(&assignment));
        self.check(&as_toml(&settings.map_err(ChangeError::of)?))?;
        Ok(assignment)
    }

    fn check(&self, settings: &Value) -> Result<(), OutOfRange> {
        match self.value_in(settings) {
            Some(value) if self.values.contains(value) => Ok(()),
            value => Err(OutOfRange {
                key: self.key,
                value: value.map_or_else(String::new, typed),
                expected: self.values.to_string(),
            }),
        }
    }
}

impl Values {
    /// Whether a value of the right type is among them; of a list, every element.
    fn contains(self, value: &Value) -> bool {
        match (self, value) {
            (Any, _) => true,
            (_, Value::Array(values)) => values.iter().all(|value| self.contains(value)),
            (OneOf(names), Value::String(name)) => names.contains(&name.as_str()),
            // `auto`: serde accepts no other text for a number.
            (AtLeast(_) | Between(..), Value::String(_)) => true,
            (AtLeast(least), Value::Integer(number)) => *number >= least,
            (Between(least, most), Value::Integer(number)) => (least..=most).contains(number),
            (Finite, Value::Float(number)) => number.is_finite(),
            (Positive, Value::Float(number)) => *number > 0.0 && number.is_finite(),
            (NonNegative, Value::Float(number)) => *number >= 0.0 && number.is_finite(),
            (BelowOne, Value::Float(number)) => (0.0..1.0).contains(number),
            (ZeroToOne, Value::Float(number)) => (0.0..=1.0).contains(number),
            _ => false,
        }
    }
}

impl std::fmt::Display for Values {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Any => out.write_str("any"),
            OneOf(names) => out.write_str(&names.join(", ")),
            AtLeast(least) => write!(out, "{least} or more"),
            Between(least, most) => write!(out, "{least} to {most}"),
            Finite => out.write_str("a number"),
            Positive => out.write_str("a number above 0"),
            NonNegative => out.write_str("0 or more"),
            BelowOne => out.write_str("0 or more, and less than 1"),
            ZeroToOne => out.write_str("0 to 1"),
        }
    }
}

/// A setting outside its accepted values.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} = {value} is out of range; choose {expected}")]
pub struct OutOfRange {
    /// The dotted key.
    pub key: &'static str,
    value: String,
    expected: String,
}

impl RunSettings {
    /// Checks every setting against its row of [`SETTINGS`], and the settings that depend on each other.
    ///
    /// # Errors
    /// Names the first setting that is out of range, and the range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let values = as_toml(self);
        SETTINGS.iter().try_for_each(|setting| setting.check(&values))?;
        self.check_combinations()
    }

    fn check_combinations(&self) -> Result<(), OutOfRange> {
        let Self {
            decoder,
            training,
            search,
            ..
        } = self;
        if decoder.tie_embeddings && decoder.embedding_size != decoder.hidden_size {
            return Err(OutOfRange {
                key: "decoder.embedding_size",
                value: decoder.embedding_size.to_string(),
                expected: "the value of decoder.hidden_size, which decoder.tie_embeddings requires"
                    .to_owned(),
            });
        }
        let scst = &training.scst;
        if scst.epochs > 0 && scst.reward.cider_d == 0.0 && scst.reward.bleu_4 == 0.0 {
            return Err(OutOfRange {
                key: "training.scst.reward.cider_d",
                value: "0, with training.scst.reward.bleu_4 = 0".to_owned(),
                expected: "a number above 0 for one of both: there is no other reward".to_owned(),
            });
        }
        if search.min_length > search.max_length.unwrap_or(usize::MAX) {
            return Err(OutOfRange {
                key: "search.min_length",
                value: search.min_length.to_string(),
                expected: "no more than search.max_length".to_owned(),
            });
        }
        Ok(())
    }

    /// The settings as a TOML document with the meaning and the accepted values of each as a comment.
    pub fn to_commented_toml(&self) -> String {
        let text = toml::to_string_pretty(self).unwrap_or_default();
        let mut commented = String::new();
        let mut section = String::new();
        for line in text.lines() {
            if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = format!("{header}.");
            } else if let Some((name, _)) = line.split_once(" = ")
                && let Some(setting) = Setting::find(&format!("{section}{name}"))
            {
                let values = match setting.values {
                    Any => String::new(),
                    values => format!(" ({values})"),
                };
                let _ = writeln!(commented, "# {}{values}", setting.help);
            }
            commented.push_str(line);
            commented.push('\n');
        }
        commented
    }
}

/// TOML, because unlike JSON it keeps the infinite and not-a-number that a check must see.
fn as_toml(settings: &RunSettings) -> Value {
    Value::try_from(settings).unwrap_or(Value::Boolean(false))
}

/// A value as a user types it: numbers of single precision without their tail of digits.
fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) => (*number as f32).to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(sets: &[&str]) -> Result<RunSettings, config::ConfigError> {
        let sets: Vec<config::Assignment> = sets.iter().map(|set| set.parse().unwrap()).collect();
        config::apply(&RunSettings::default(), None, &sets)
    }

    fn leaf_keys(value: &Value, key: &str) -> Vec<String> {
        match value {
            Value::Table(table) => table
                .iter()
                .flat_map(|(name, below)| match key {
                    "" => leaf_keys(below, name),
                    _ => leaf_keys(below, &format!("{key}.{name}")),
                })
                .collect(),
            _ => vec![key.to_owned()],
        }
    }

    #[test]
    fn every_setting_has_one_row() {
        let mut keys = leaf_keys(&as_toml(&RunSettings::default()), "");
        let mut rows: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        keys.sort();
        rows.sort_unstable();
        assert_eq!(rows, keys);
    }

    #[test]
    fn names_of_a_row_are_variants_of_its_type() {
        for setting in SETTINGS {
            let OneOf(names) = setting.values else { continue };
            for name in names {
                assert!(resolve(&[&format!("{}={name}", setting.key)]).is_ok(), "{name}");
            }
            let error = resolve(&[&format!("{}=none-of-them", setting.key)])
                .unwrap_err()
                .to_string();
            let is_listed = |name: &&str| error.contains(&format!("`{name}`"));
            assert!(names.iter().all(is_listed), "{error}");
        }
    }

    #[test]
    fn defaults_are_in_range() {
        assert_eq!(RunSettings::default().check(), Ok(()));
    }

    #[test]
    fn value_out_of_range_is_rejected_by_key() {
        for set in [
            "decoder.hidden_size=0",
            "decoder.embedding_size=99999999999",
            "encoder.small_cnn.size=4000000000",
            "encoder.small_cnn.widths=[8, 65537]",
            "decoder.dropout=1.0",
            "training.batch_size=0",
            "training.learning_rate=nan",
            "training.learning_rate=-1e-3",
            "training.optimizer.max_grad_norm=inf",
            "training.scst.samples=1",
            "search.beam_size=0",
            "search.mbr_weight=1.5",
            "search.mbr_temperature=0",
        ] {
            let key = set.split('=').next().unwrap();
            assert_eq!(resolve(&[set]).unwrap().check().unwrap_err().key, key);
        }
    }

    #[test]
    fn scst_without_reward_is_rejected() {
        let check = |epochs: &str| {
            let no_reward = ["training.scst.reward.cider_d=0", "training.scst.reward.bleu_4=0"];
            resolve(&[epochs, no_reward[0], no_reward[1]]).unwrap().check()
        };
        assert_eq!(check("training.scst.epochs=0"), Ok(()));
        let rejected = check("training.scst.epochs=3").unwrap_err().to_string();
        assert!(rejected.contains("no other reward"), "{rejected}");
    }

    #[test]
    fn minimum_length_above_the_maximum_is_rejected() {
        let check = |sets: &[&str]| resolve(sets).unwrap().check();
        assert_eq!(
            check(&["search.min_length=9", "search.max_length=8"])
                .unwrap_err()
                .key,
            "search.min_length"
        );
        assert_eq!(
            check(&["search.min_length=99"]),
            Ok(()),
            "the maximum is not chosen yet"
        );
    }

    #[test]
    fn tied_embeddings_require_equal_sizes() {
        let check = |embedding: &str| {
            resolve(&[
                "decoder.tie_embeddings=true",
                "decoder.hidden_size=128",
                embedding,
            ])
            .unwrap()
            .check()
        };
        assert_eq!(check("decoder.embedding_size=128"), Ok(()));
        assert_eq!(
            check("decoder.embedding_size=64").unwrap_err().key,
            "decoder.embedding_size"
        );
    }

    #[test]
    fn commented_toml_has_every_help_and_reads_back() {
        let text = RunSettings::default().to_commented_toml();
        for setting in SETTINGS {
            assert!(text.contains(&format!("# {}", setting.help)), "{}", setting.key);
        }
        assert_eq!(
            toml::from_str::<RunSettings>(&text).unwrap(),
            RunSettings::default()
        );
    }

    const INTRODUCTION: &str = "\
# Settings

<!-- Generated from the settings table by `cargo test`. Do not edit. -->

A run's settings come in layers: the defaults, then `train --preset`, then a TOML file (`--config`), then flags
(`--set key=value`). An unknown key is rejected with the nearest known one. `cutline train --print-settings` prints the
resolved settings with a comment on each, ready to be edited and given to `--config`.

Settings marked `*` can change while a run is trained: `cutline control RUN set key=value` (`lr` is short for
`training.learning_rate`), or `cutline train --resume RUN --set key=value`.

| key | default | values | meaning |
| --- | --- | --- | --- |
";

    #[test]
    fn settings_page_matches_table() {
        let defaults = RunSettings::default();
        let mut page = INTRODUCTION.to_owned();
        for setting in SETTINGS {
            let default = match setting.text_in(&defaults).as_str() {
                "" => "empty".to_owned(),
                text => format!("`{text}`"),
            };
            let mark = if setting.mutable_during_training { " *" } else { "" };
            let (key, values, help) = (setting.key, setting.values, setting.help);
            let _ = writeln!(page, "| `{key}`{mark} | {default} | {values} | {help} |");
        }
        crate::testing::assert_page("docs/settings.md", &page);
    }
}
