//! How a subcommand ends: its exit code, and what standard error says when it failed.

use std::error::Error;
use std::fmt;
use std::io;

use super::interrupt::Interrupted;
use super::terminal::{self, Paint, Role, Terminal, display_safe};

/// The exit codes that scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Interrupted = 130,
}

/// What to try next, attached to an error as its outermost context.
#[derive(Debug)]
pub(super) struct Hint(&'static str);

impl fmt::Display for Hint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

/// Attaches what to try next where the error itself cannot know it.
pub(super) trait WithHint<T> {
    fn hint(self, hint: &'static str) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint(self, hint: &'static str) -> anyhow::Result<T> {
        self.map_err(|error| error.into().context(Hint(hint)))
    }
}

/// Says why a subcommand failed, if it did, and what that means for the exit code.
pub(super) fn outcome(result: anyhow::Result<()>, terminal: &Terminal) -> Outcome {
    let Err(error) = result else { return Outcome::Done };
    if is_caused_by(&error, |cause| kind_of(cause) == Some(io::ErrorKind::BrokenPipe)) {
        // `cutline ... | head` has all it wanted.
        return Outcome::Done;
    }
    if is_caused_by(&error, |cause| cause.is::<Interrupted>()) {
        return Outcome::Interrupted;
    }
    for line in lines(&error, terminal.stderr_paint()) {
        terminal::print_to_stderr(&line);
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

/// One line for the error, one for each cause that says more, one for the hint.
fn lines(error: &anyhow::Error, paint: Paint) -> Vec<String> {
    let hint = error.downcast_ref::<Hint>();
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain().skip(usize::from(hint.is_some())) {
        let text = cause.to_string();
        // Many errors already tell their source within their own sentence.
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    let mut lines = Vec::new();
    for (position, text) in said.iter().enumerate() {
        let label = if position == 0 {
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

    fn torn() -> Result<(), io::Error> {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file ends early\u{1b}[2J",
        ))
    }

    #[test]
    fn every_cause_has_its_line_and_the_hint_comes_last() {
        let error = torn()
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
    fn all_of_it_fits_in_one_line() {
        let error = torn().context("no weights").hint("fetch the file again");
        assert_eq!(
            in_one_line(&error.unwrap_err()),
            "no weights; because: the file ends early\u{fffd}[2J; hint: fetch the file again"
        );
    }

    #[test]
    fn a_cause_already_told_is_not_told_twice() {
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
    fn endings_have_their_codes() {
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
