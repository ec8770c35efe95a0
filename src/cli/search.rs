//! The flags that choose how captions are searched for, shared by `evaluate` and `caption`.

use clap::Args;

use crate::search::{SearchSettings, Strategy};

/// Without any of these flags captions are searched for by the run's own settings.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How captions are searched for (default: the run's own settings)")]
pub(super) struct SearchArgs {
    /// How many captions the beam search keeps at each step; 1 takes the likeliest word each time
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100),
        conflicts_with_all = ["temperature", "top_k", "seed"]
    )]
    pub(super) beam_size: Option<u32>,
    /// The exponent of the length by which a beam's log-probability is divided; 0 favors short captions
    #[arg(long, value_name = "EXPONENT", value_parser = finite)]
    pub(super) length_penalty: Option<f64>,
    /// Weight of minimum Bayes risk in the ranking of a beam's hypotheses, from 0 to 1: the expected CIDEr-D against the
    /// other hypotheses. Use a wide beam
    #[arg(long, value_name = "WEIGHT", value_parser = share)]
    pub(super) mbr_weight: Option<f64>,
    /// Temperature of the hypotheses' probabilities in minimum Bayes risk: below 1, likely hypotheses count for more
    #[arg(long, value_name = "T", value_parser = positive)]
    pub(super) mbr_temperature: Option<f64>,
    /// The fewest words of a caption
    #[arg(long, value_name = "WORDS")]
    pub(super) min_length: Option<usize>,
    /// The most words of a caption
    #[arg(long, value_name = "WORDS", value_parser = at_least_one)]
    pub(super) max_length: Option<usize>,
    /// Let no run of N words come twice in a caption; 0 allows all
    #[arg(long, value_name = "N")]
    pub(super) no_repeat_ngram: Option<usize>,
    /// Draw the words at random instead: below 1 plainer, above 1 bolder
    #[arg(long, value_name = "T", value_parser = positive)]
    pub(super) temperature: Option<f64>,
    /// Draw the words at random, from the N likeliest only
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) top_k: Option<usize>,
    /// Draw the words at random, from this seed; the same seed gives the same captions
    #[arg(long, value_name = "SEED")]
    pub(super) seed: Option<u64>,
}

impl SearchArgs {
    /// The run's own settings with what the flags change.
    ///
    /// # Errors
    ///
    /// Where no caption can be as long and as short as asked for.
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
        let (fewest, most) = (settings.min_length, settings.max_length);
        anyhow::ensure!(
            fewest <= most,
            "captions cannot have at least {fewest} and at most {most} words; change --min-length or --max-length"
        );
        Ok(settings)
    }

    /// What the flags ask for, if they ask for either.
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

fn share(text: &str) -> Result<f64, String> {
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
    fn flags_go_over_the_runs_own_settings() {
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
        let drawn = SearchArgs {
            seed: Some(3),
            ..Default::default()
        };
        let drawn = drawn.over(&own).unwrap();
        assert_eq!((drawn.strategy, drawn.seed), (Strategy::Sample, 3));
        assert_eq!(wider.over(&drawn).unwrap().strategy, Strategy::Beam);
    }

    #[test]
    fn lengths_that_no_caption_has_are_refused() {
        let args = SearchArgs {
            min_length: Some(21),
            ..Default::default()
        };
        let error = args.over(&SearchSettings::default()).unwrap_err().to_string();
        assert!(error.contains("at least 21 and at most 20 words"), "{error}");
    }
}
