//! The flags that choose how captions are searched for, shared by `evaluate` and `caption`.

use clap::Args;

/// Greedy unless a beam or a temperature is given.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How captions are searched for")]
pub(super) struct SearchArgs {
    /// How many captions the beam search keeps at each step; 1 takes the likeliest word each time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) beam: u32,
    /// The exponent of the length by which a beam's log-probability is divided; 0 favours short captions
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.7)]
    pub(super) length_penalty: f32,
    /// The fewest words of a caption
    #[arg(long, value_name = "WORDS", default_value_t = 1)]
    pub(super) min_words: usize,
    /// The most words of a caption
    #[arg(long, value_name = "WORDS", default_value_t = 30, value_parser = at_least_one)]
    pub(super) max_words: usize,
    /// Let no run of N words come twice in a caption
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) no_repeat: Option<usize>,
    /// Draw the words at random instead: below 1 plainer, above 1 bolder
    #[arg(long, value_name = "T", value_parser = positive)]
    pub(super) temperature: Option<f32>,
    /// Draw from the N likeliest words only
    #[arg(long, value_name = "N", requires = "temperature", value_parser = at_least_one)]
    pub(super) top_k: Option<usize>,
    /// The seed of the draws; the same seed gives the same captions
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "temperature")]
    pub(super) seed: u64,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        Ok(_) => Err("must be above 0".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
