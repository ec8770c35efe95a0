//! Search flags, shared by `evaluate` and `caption`: one for each search setting but the strategy.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{self, Assignment};
use crate::search::{SearchSettings, Strategy};
use crate::training::{RunSettings, SETTINGS, Setting, Values};

const HEADING: &str = "Search (default: the run's settings; a sampling flag replaces beam search)";
const BEAM_SIZE: &str = "beam_size";
const SAMPLING: [&str; 3] = ["temperature", "top_k", "seed"];

/// Changes to the run's search settings.
#[derive(Clone, Debug, Default)]
pub(super) struct SearchArgs {
    sets: Vec<Assignment>,
}

/// The settings with a flag, and their names without `search.`.
fn flags() -> impl Iterator<Item = (&'static Setting, &'static str)> {
    let named = |setting: &'static Setting| Some((setting, setting.key.strip_prefix("search.")?));
    SETTINGS
        .iter()
        .filter_map(named)
        .filter(|(_, name)| *name != "strategy")
}

fn flag(setting: &'static Setting, name: &'static str) -> Arg {
    let (value, help) = match setting.values {
        Values::Any | Values::AtLeast(_) | Values::Between(..) => ("N", setting.help.to_owned()),
        values => ("X", format!("{} [{values}]", setting.help)),
    };
    let flag = Arg::new(name)
        .long(name.replace('_', "-"))
        .value_name(value)
        .value_parser(move |text: &str| setting.parse(text))
        .help(help)
        .help_heading(HEADING);
    match name {
        BEAM_SIZE => flag.conflicts_with_all(SAMPLING),
        _ => flag,
    }
}

impl Args for SearchArgs {
    fn augment_args(command: Command) -> Command {
        command.args(flags().map(|(setting, name)| flag(setting, name)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SearchArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let sets = flags().filter_map(|(_, name)| matches.get_one(name).cloned());
        Ok(Self { sets: sets.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl SearchArgs {
    /// Whether a flag names this setting, such as `beam_size`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sets
            .iter()
            .any(|set| set.key().strip_prefix("search.") == Some(name))
    }

    /// The run's settings with these flags applied.
    pub(super) fn apply_to(&self, own: &SearchSettings) -> anyhow::Result<SearchSettings> {
        let own = RunSettings {
            search: SearchSettings {
                strategy: self.strategy().unwrap_or(own.strategy),
                ..own.clone()
            },
            ..RunSettings::default()
        };
        let settings = config::apply(&own, None, &self.sets)?.search;
        let (min, max) = (settings.min_length, settings.max_length());
        anyhow::ensure!(
            min <= max,
            "the minimum caption length, {min}, exceeds the maximum, {max}; change --min-length or --max-length"
        );
        Ok(settings)
    }

    /// The strategy that the flags imply, if any.
    pub(super) fn strategy(&self) -> Option<Strategy> {
        match SAMPLING.iter().any(|name| self.has(name)) {
            true => Some(Strategy::Sample),
            false => self.has(BEAM_SIZE).then_some(Strategy::Beam),
        }
    }

    #[cfg(test)]
    pub(super) fn parse(words: &[&str]) -> Result<Self, clap::Error> {
        let command = Self::augment_args(Command::new("test").no_binary_name(true));
        Self::from_arg_matches(&command.try_get_matches_from(words)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AutoOr;

    #[test]
    fn flags_override_run_settings() {
        let own = SearchSettings {
            beam_size: 5,
            max_length: AutoOr::Set(12),
            ..Default::default()
        };
        assert_eq!(SearchArgs::default().apply_to(&own).unwrap(), own);
        let wider = SearchArgs::parse(&["--beam-size", "7"]).unwrap();
        assert_eq!(
            wider.apply_to(&own).unwrap(),
            SearchSettings {
                beam_size: 7,
                ..own.clone()
            }
        );
        let sampled = SearchArgs::parse(&["--seed", "3"])
            .unwrap()
            .apply_to(&own)
            .unwrap();
        assert_eq!((sampled.strategy, sampled.seed), (Strategy::Sample, 3));
        assert_eq!(wider.apply_to(&sampled).unwrap().strategy, Strategy::Beam);
    }

    #[test]
    fn value_out_of_range_is_rejected() {
        for words in [
            ["--beam-size", "0"],
            ["--mbr-weight", "1.5"],
            ["--max-length", "0"],
            ["--length-penalty", "inf"],
            ["--temperature", "-1"],
            ["--top-k", "many"],
        ] {
            assert!(SearchArgs::parse(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn min_length_above_max_length_is_rejected() {
        let args = SearchArgs::parse(&["--min-length", "21"]).unwrap();
        let error = args.apply_to(&SearchSettings::default()).unwrap_err().to_string();
        assert!(error.contains("21, exceeds the maximum, 20"), "{error}");
    }
}
