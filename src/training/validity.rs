//! Which settings of a run make sense.

use super::settings::RunSettings;

/// A setting outside what makes sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} = {value} is out of range; choose {expected}")]
pub struct OutOfRange {
    /// The setting, as `--set` takes it.
    pub key: &'static str,
    value: String,
    expected: &'static str,
}

const AT_LEAST_ONE: &str = "1 or more";
/// More units, dimensions or images than any machine of today has room for at once.
const MOST: usize = 65_536;
const UP_TO_MOST: &str = "1 to 65536";
const SHARE: &str = "0 or more, and less than 1";
const POSITIVE: &str = "a number above 0";
const NOT_NEGATIVE: &str = "0 or more";

impl RunSettings {
    /// Holds every number against its range.
    ///
    /// # Errors
    /// Names the first setting that is out of range, and the range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let Self {
            seed: _,
            encoder,
            augment,
            decoder,
            training,
            search,
        } = self;
        let small_cnn = &encoder.small_cnn;
        up_to_most("encoder.small_cnn.size", small_cnn.size.get() as usize)?;
        for width in &small_cnn.widths {
            up_to_most("encoder.small_cnn.widths", width.get())?;
        }
        within(
            "encoder.lr_multiplier",
            encoder.lr_multiplier,
            is_not_negative,
            NOT_NEGATIVE,
        )?;
        let schedule = &training.lr_schedule;
        let optimizer = &training.optimizer;
        up_to_most("decoder.hidden_size", decoder.hidden_size)?;
        up_to_most("decoder.embedding_size", decoder.embedding_size)?;
        if decoder.tie_embeddings && decoder.embedding_size != decoder.hidden_size {
            return Err(OutOfRange {
                key: "decoder.embedding_size",
                value: decoder.embedding_size.to_string(),
                expected: "equal to decoder.hidden_size, because decoder.tie_embeddings is set",
            });
        }
        within("decoder.dropout", decoder.dropout, is_share, SHARE)?;
        within("decoder.weight_drop", decoder.weight_drop, is_share, SHARE)?;
        up_to_most("decoder.attention_size", decoder.attention_size)?;
        within(
            "decoder.doubly_stochastic_weight",
            decoder.doubly_stochastic_weight,
            is_not_negative,
            NOT_NEGATIVE,
        )?;
        at_least_one("training.epochs", training.epochs)?;
        up_to_most("training.batch_size", training.batch_size)?;
        at_least_one("training.max_caption_length", training.max_caption_length)?;
        within(
            "training.learning_rate",
            training.learning_rate,
            is_positive,
            POSITIVE,
        )?;
        within(
            "training.label_smoothing",
            training.label_smoothing,
            is_share,
            SHARE,
        )?;
        within("training.word_dropout", training.word_dropout, is_share, SHARE)?;
        within(
            "training.scheduled_sampling",
            training.scheduled_sampling,
            is_share,
            SHARE,
        )?;
        within("training.ema_decay", training.ema_decay, is_share, SHARE)?;
        within("augment.hflip_prob", augment.hflip_prob, is_share, SHARE)?;
        within(
            "augment.random_crop_prob",
            augment.random_crop_prob,
            is_share,
            SHARE,
        )?;
        let scst = &training.scst;
        if !(2..=MOST).contains(&scst.samples) {
            return Err(OutOfRange {
                key: "training.scst.samples",
                value: scst.samples.to_string(),
                expected: "2 to 65536: a caption is compared with the others of its image",
            });
        }
        within(
            "training.scst.learning_rate",
            scst.learning_rate,
            is_positive,
            POSITIVE,
        )?;
        within("training.scst.dropout", scst.dropout, is_share, SHARE)?;
        within(
            "training.scst.initial_logit_scale",
            scst.initial_logit_scale,
            is_positive,
            POSITIVE,
        )?;
        for (key, weight) in [
            ("training.scst.reward.cider_d", scst.reward.cider_d),
            ("training.scst.reward.bleu_4", scst.reward.bleu_4),
        ] {
            within(key, weight, is_not_negative, NOT_NEGATIVE)?;
        }
        if scst.epochs > 0 && scst.reward.cider_d == 0.0 && scst.reward.bleu_4 == 0.0 {
            return Err(OutOfRange {
                key: "training.scst.reward.cider_d",
                value: "0, with training.scst.reward.bleu_4 = 0".to_owned(),
                expected: "one of both above 0: nothing else is rewarded",
            });
        }
        within(
            "training.checkpoint_minutes",
            training.checkpoint_minutes,
            is_not_negative,
            NOT_NEGATIVE,
        )?;
        within(
            "training.lr_schedule.min_ratio",
            schedule.min_ratio,
            is_share,
            SHARE,
        )?;
        within("training.lr_schedule.factor", schedule.factor, is_share, SHARE)?;
        within("training.optimizer.beta1", optimizer.beta1, is_share, SHARE)?;
        within("training.optimizer.beta2", optimizer.beta2, is_share, SHARE)?;
        within("training.optimizer.eps", optimizer.eps, is_positive, POSITIVE)?;
        within(
            "training.optimizer.weight_decay",
            optimizer.weight_decay,
            is_not_negative,
            NOT_NEGATIVE,
        )?;
        within(
            "training.optimizer.max_grad_norm",
            optimizer.max_grad_norm,
            is_not_negative,
            NOT_NEGATIVE,
        )?;
        up_to_most("search.beam_size", search.beam_size)?;
        up_to_most("search.max_length", search.max_length)?;
        within(
            "search.temperature",
            search.temperature as f32,
            is_positive,
            POSITIVE,
        )?;
        within(
            "search.length_penalty",
            search.length_penalty as f32,
            f32::is_finite,
            "a number",
        )?;
        within(
            "search.mbr_weight",
            search.mbr_weight as f32,
            |share| (0.0..=1.0).contains(&share),
            "0 to 1",
        )?;
        within(
            "search.mbr_temperature",
            search.mbr_temperature as f32,
            is_positive,
            POSITIVE,
        )?;
        if search.min_length > search.max_length {
            return Err(OutOfRange {
                key: "search.min_length",
                value: search.min_length.to_string(),
                expected: "no more than search.max_length",
            });
        }
        Ok(())
    }
}

fn at_least_one(key: &'static str, value: usize) -> Result<(), OutOfRange> {
    match value {
        0 => Err(OutOfRange {
            key,
            value: value.to_string(),
            expected: AT_LEAST_ONE,
        }),
        _ => Ok(()),
    }
}

fn up_to_most(key: &'static str, value: usize) -> Result<(), OutOfRange> {
    if (1..=MOST).contains(&value) {
        return Ok(());
    }
    Err(OutOfRange {
        key,
        value: value.to_string(),
        expected: UP_TO_MOST,
    })
}

fn within(
    key: &'static str,
    value: f32,
    is_valid: fn(f32) -> bool,
    expected: &'static str,
) -> Result<(), OutOfRange> {
    match is_valid(value) {
        true => Ok(()),
        false => Err(OutOfRange {
            key,
            value: value.to_string(),
            expected,
        }),
    }
}

fn is_share(value: f32) -> bool {
    (0.0..1.0).contains(&value)
}

fn is_positive(value: f32) -> bool {
    value > 0.0 && value.is_finite()
}

fn is_not_negative(value: f32) -> bool {
    value >= 0.0 && value.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(RunSettings::default().check(), Ok(()));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for assignment in [
            "decoder.hidden_size=0",
            "decoder.embedding_size=99999999999",
            "encoder.small_cnn.size=4000000000",
            "decoder.dropout=1.0",
            "training.batch_size=0",
            "training.learning_rate=nan",
            "training.learning_rate=-1e-3",
            "training.optimizer.max_grad_norm=inf",
            "search.beam_size=0",
            "search.mbr_weight=1.5",
            "search.mbr_temperature=0",
            "search.min_length=99",
        ] {
            let key = assignment.split('=').next().unwrap();
            let settings: RunSettings = config::resolve(None, &[assignment.parse().unwrap()]).unwrap();
            assert_eq!(settings.check().unwrap_err().key, key);
        }
    }

    #[test]
    fn rewards_are_for_something() {
        let check = |epochs: &str| {
            let assignments = [
                epochs,
                "training.scst.reward.cider_d=0",
                "training.scst.reward.bleu_4=0",
            ];
            let assignments = assignments.map(|assignment| assignment.parse().unwrap());
            config::resolve::<RunSettings>(None, &assignments)
                .unwrap()
                .check()
        };
        assert_eq!(check("training.scst.epochs=0"), Ok(()));
        let refused = check("training.scst.epochs=3").unwrap_err();
        assert!(
            refused.to_string().contains("nothing else is rewarded"),
            "{refused}"
        );
    }

    #[test]
    fn tied_words_have_as_many_dimensions_as_there_are_units() {
        let check = |embedding: &str| {
            let assignments = [
                "decoder.tie_embeddings=true",
                "decoder.hidden_size=128",
                embedding,
            ];
            let assignments = assignments.map(|assignment| assignment.parse().unwrap());
            config::resolve::<RunSettings>(None, &assignments)
                .unwrap()
                .check()
        };
        assert_eq!(check("decoder.embedding_size=128"), Ok(()));
        assert_eq!(
            check("decoder.embedding_size=64").unwrap_err().key,
            "decoder.embedding_size"
        );
    }
}
