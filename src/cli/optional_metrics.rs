//! The metrics that need more than captions: METEOR its data files, SPICE its Java program.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;

use super::interrupt::Interrupted;
use super::terminal::{self, Role, display_safe};
use super::{Context, by_name, spice};
use crate::metrics::{Example, Statistics, meteor};

#[derive(Debug, Args)]
pub(super) struct OptionalMetrics {
    /// Folder with METEOR's data: `meteor` of the Python package pycocoevalcap, which has `meteor-1.5.jar` and
    /// `data/paraphrase-en.gz` [default: that of `cutline fetch meteor`]. METEOR is computed only with it; Java is not needed
    #[arg(long, value_name = "DIR", env = "CUTLINE_METEOR")]
    meteor_data: Option<PathBuf>,
    /// Compute SPICE with its published Java program, `spice-1.0.jar` of pycocoevalcap with the folder `lib`. Java 8 to 14
    /// runs it
    #[arg(long, value_name = "FILE")]
    spice_jar: Option<PathBuf>,
}

impl OptionalMetrics {
    /// Says which metric is not computed for want of a flag.
    pub(super) fn notice_missing(&self, context: &Context) {
        if self.meteor_folder().is_none() {
            context.notice(
                "METEOR is not computed: it needs its data; get them with `cutline fetch meteor`, or name the folder `meteor` of \
                 the Python package pycocoevalcap with --meteor-data or CUTLINE_METEOR",
            );
        }
    }

    fn meteor_folder(&self) -> Option<PathBuf> {
        self.meteor_data.clone().or_else(by_name::meteor_data)
    }

    /// Adds the metrics to the statistics of examples. One that fails is reported on standard error, and the others are
    /// still computed. Breaks after Ctrl-C.
    pub(super) fn adding(
        &self,
        context: &Context,
    ) -> impl FnMut(&[Example<'_>], &mut [Statistics]) -> ControlFlow<()> {
        |examples, statistics| {
            self.add_meteor(examples, statistics, context);
            self.add_spice(examples, statistics, context)
        }
    }

    fn add_meteor(&self, examples: &[Example<'_>], statistics: &mut [Statistics], context: &Context) {
        let Some(folder) = self.meteor_folder() else {
            return;
        };
        match meteor::counts(&folder, examples) {
            Ok(counts) => statistics
                .iter_mut()
                .zip(counts)
                .for_each(|(statistics, counts)| statistics.add_meteor(counts)),
            Err(error) => warn("METEOR", &display_safe(&error.to_string()), context),
        }
    }

    fn add_spice(
        &self,
        examples: &[Example<'_>],
        statistics: &mut [Statistics],
        context: &Context,
    ) -> ControlFlow<()> {
        let Some(jar) = &self.spice_jar else {
            return ControlFlow::Continue(());
        };
        context.notice("SPICE: its Java program runs; this may take minutes");
        match spice::scores(jar, examples) {
            Ok(scores) => statistics
                .iter_mut()
                .zip(scores)
                .for_each(|(statistics, score)| statistics.add_spice(score)),
            Err(error) if error.is::<Interrupted>() => return ControlFlow::Break(()),
            Err(error) => warn("SPICE", &format!("{error:#}"), context),
        }
        ControlFlow::Continue(())
    }
}

/// Reports the failure of a metric that was asked for, even with `--quiet`.
fn warn(metric: &str, why: &str, context: &Context) {
    let line = format!("{metric} is not computed: {why}");
    let paint = context.terminal.stderr.paint;
    terminal::print_to_stderr(&paint.text(Role::Warning, &line));
}
