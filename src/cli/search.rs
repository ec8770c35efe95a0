//! Search flags, shared by `evaluate` and `caption`.

use clap::Args;

use crate::search::{SearchSettings, Strategy};

/// Changes to the run's search settings.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Search (default: the run's settings)")]
pub(super) struct SearchArgs {
    /// Hypotheses that beam search keeps at each step; 1 is greedy search
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100),
        conflicts_with_all = ["temperature", "top_k", "seed"]
    )]
    pub(super) beam_size: Option<u32>,
    /// Length normalization: log-probabilities are divided by length to this power; 0 favors short captions
    #[arg(long, value_name = "EXPONENT", value_parser = finite)]
    pub(super) length_penalty: Option<f64>,
    /// Rerank the beam by minimum Bayes risk: the weight of the expected CIDEr-D against the other hypotheses, from 0 (off) to
    /// 1. Works best with a wide beam, such as --beam-size 20
    #[arg(long, value_name = "WEIGHT", value_parser = zero_to_one)]
    pub(super) mbr_weight: Option<f64>,
    /// Softmax temperature over the other hypotheses in the expectation; below 1, likely hypotheses count for more
    #[arg(long, value_name = "T", value_parser = positive)]
    pub(super) mbr_temperature: Option<f64>,
    /// Minimum caption length in words
    #[arg(long, value_name = "N")]
    pub(super) min_length: Option<usize>,
    /// Maximum caption length in words
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) max_length: Option<usize>,
    /// Never repeat an n-gram of this size within a caption; 0 allows all
    #[arg(long, value_name = "N")]
    pub(super) no_repeat_ngram: Option<usize>,
    /// Sample with this temperature instead of beam search; below 1 favors likely words
    #[arg(long, value_name = "T", value_parser = positive)]
    pub(super) temperature: Option<f64>,
    /// Sample from the N most likely words only
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) top_k: Option<usize>,
    /// Sample with this random seed; the same seed gives the same captions
    #[arg(long, value_name = "SEED")]
    pub(super) seed: Option<u64>,
}

impl SearchArgs {
    /// The run's settings with these flags applied.
    ///
    /// # Errors
    /// Where the minimum length exceeds the maximum.
    pub(super) fn over(&self, own: &SearchSettings) -> anyhow::Result<SearchSettings> {
        let settings = SearchSettings {
            strategy: self.strategy().unwrap_or(own.strategy),
            beam_size: self.beam_size.map_or(own.beam_size, |beam| beam as usize),
            length_penalty: self.length_penalty.unwrap_or(own.length_penalty),
            mbr_weight: self.mbr_weight.unwrap_or(own.mbr_weight),
            mbr_temperature: self.mbr_temperature.unwrap_or(own.mbr_temperature),
            min_length: self.min_length.unwrap_or(own.min_length),
            max_length: self.max_length.unwrap_or(own.max_length),
            no_repeat_ngram: self.no_repeat_ngram.unwrap_or(own.no_repeat_ngram),
            temperature: self.temperature.unwrap_or(own.temperature),
            top_k: self.top_k.unwrap_or(own.top_k),
            seed: self.seed.unwrap_or(own.seed),
        };
        let (min, max) = (settings.min_length, settings.max_length);
        anyhow::ensure!(
            min <= max,
            "the minimum caption length, {min}, exceeds the maximum, {max}; change --min-length or --max-length"
        );
        Ok(settings)
    }

    /// The strategy that the flags imply, if any.
    pub(super) fn strategy(&self) -> Option<Strategy> {
        if self.temperature.is_some() || self.top_k.is_some() || self.seed.is_some() {
            Some(Strategy::Sample)
        } else {
            self.beam_size.map(|_| Strategy::Beam)
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) => Err("must be a finite number".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn zero_to_one(text: &str) -> Result<f64, String> {
    match finite(text)? {
        number if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("must be 0 to 1".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match finite(text)? {
        number if number > 0.0 => Ok(number),
        _ => Err("must be above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_override_run_settings() {
        let own = SearchSettings {
            beam_size: 5,
            max_length: 12,
            ..Default::default()
        };
        assert_eq!(SearchArgs::default().over(&own).unwrap(), own);
        let wider = SearchArgs {
            beam_size: Some(7),
            ..Default::default()
        };
        assert_eq!(
            wider.over(&own).unwrap(),
            SearchSettings {
                beam_size: 7,
                ..own.clone()
            }
        );
        let sampled = SearchArgs {
            seed: Some(3),
            ..Default::default()
        };
        let sampled = sampled.over(&own).unwrap();
        assert_eq!((sampled.strategy, sampled.seed), (Strategy::Sample, 3));
        assert_eq!(wider.over(&sampled).unwrap().strategy, Strategy::Beam);
    }

    #[test]
    fn min_length_above_max_length_is_refused() {
        let args = SearchArgs {
            min_length: Some(21),
            ..Default::default()
        };
        let error = args.over(&SearchSettings::default()).unwrap_err().to_string();
        assert!(error.contains("21, exceeds the maximum, 20"), "{error}");
    }
}
