//! The end of a subcommand: its exit code, and the error on standard error.

use std::error::Error;
use std::fmt;
use std::io;

use super::interrupt::{self, Interrupted};
use super::terminal::{self, Paint, Role, Terminal, display_safe};

/// The exit codes, which scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done = 0,
    Failed = 1,
    Usage = 2,
    /// Saved, to be continued: `EX_TEMPFAIL`.
    Requeue = 75,
    Interrupted = 130,
}

/// The next step, as the outermost context of an error.
#[derive(Debug)]
pub(super) struct Hint(&'static str);

impl fmt::Display for Hint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// Adds the next step to an error that cannot know it.
pub(super) trait WithHint<T> {
    fn hint(self, hint: &'static str) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint(self, hint: &'static str) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Hint(hint)))
    }
}

/// Prints the error of a subcommand, if any, and returns the exit code.
pub(super) fn outcome(result: anyhow::Result<()>, terminal: &Terminal) -> Outcome {
    let Err(error) = result else { return Outcome::Done };
    if is_caused_by(&error, |cause| kind_of(cause) == Some(io::ErrorKind::BrokenPipe)) {
        // `cutline ... | head` has read all it needs.
        return Outcome::Done;
    }
    if is_caused_by(&error, |cause| cause.is::<Interrupted>()) {
        return match interrupt::is_requeued() {
            true => Outcome::Requeue,
            false => Outcome::Interrupted,
        };
    }
    for line in lines(&error, terminal.stderr.paint) {
        terminal::print_to_stderr(&terminal.wrap_for(terminal.stderr, &line));
    }
    Outcome::Failed
}

fn is_caused_by(error: &anyhow::Error, test: impl Fn(&(dyn Error + 'static)) -> bool) -> bool {
    error.chain().any(test)
}

fn kind_of(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    error.downcast_ref::<io::Error>().map(io::Error::kind)
}

/// The error in one line: what failed, why, and what to try next.
pub(super) fn in_one_line(error: &anyhow::Error) -> String {
    lines(error, Paint::Plain)
        .iter()
        .map(|line| {
            let line = line.trim_start();
            line.strip_prefix("error: ").unwrap_or(line)
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// A line for the error, for each cause that adds something, and for the hint.
fn lines(error: &anyhow::Error, paint: Paint) -> Vec<String> {
    let hint = error.downcast_ref::<Hint>();
    let mut messages: Vec<String> = Vec::new();
    for cause in error.chain().skip(usize::from(hint.is_some())) {
        let text = cause.to_string();
        // Many errors include the message of their source.
        if !messages.iter().any(|before| before.contains(&text)) {
            messages.push(text);
        }
    }
    let mut lines = Vec::new();
    for (i, text) in messages.iter().enumerate() {
        let label = if i == 0 {
            paint.text(Role::Failure, "error:")
        } else {
            paint.text(Role::Quiet, "  because:")
        };
        lines.push(format!("{label} {}", display_safe(text)));
    }
    if let Some(hint) = hint {
        lines.push(format!("{} {hint}", paint.text(Role::Heading, "hint:")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    fn truncated() -> Result<(), io::Error> {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file ends early\u{1b}[2J",
        ))
    }

    #[test]
    fn error_has_a_line_per_cause_and_the_hint_last() {
        let error = truncated()
            .context("cannot read x.pth")
            .context("no weights")
            .hint("fetch the file again");
        assert_eq!(
            lines(&error.unwrap_err(), Paint::Plain),
            [
                "error: no weights",
                "  because: cannot read x.pth",
                "  because: the file ends early\u{fffd}[2J",
                "hint: fetch the file again",
            ]
        );
    }

    #[test]
    fn error_with_causes_and_hint_fits_in_one_line() {
        let error = truncated().context("no weights").hint("fetch the file again");
        assert_eq!(
            in_one_line(&error.unwrap_err()),
            "no weights; because: the file ends early\u{fffd}[2J; hint: fetch the file again"
        );
    }

    #[test]
    fn cause_within_the_message_is_not_repeated() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read x: {source}; check the path")]
        struct Read {
            source: io::Error,
        }
        let error = anyhow::Error::new(Read {
            source: io::Error::other("gone"),
        });
        assert_eq!(
            lines(&error, Paint::Plain),
            ["error: cannot read x: gone; check the path"]
        );
    }

    #[test]
    fn outcome_has_its_exit_code() {
        let terminal = Terminal::plain();
        assert_eq!(outcome(Ok(()), &terminal), Outcome::Done);
        let gone = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot print");
        assert_eq!(outcome(gone, &terminal), Outcome::Done);
        assert_eq!(
            outcome(Err(Interrupted).context("training"), &terminal),
            Outcome::Interrupted
        );
        assert_eq!(Outcome::Interrupted as u8, 130);
    }
}
