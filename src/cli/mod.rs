//! The command line: one file per subcommand, and shared code.
//!
//! Each subcommand is a struct of arguments with `run(self, &Context)`. Results go to standard output through
//! [`Context::print`]; progress, notices and errors go to standard error.

mod attach;
mod attention;
mod by_name;
mod caption;
mod choices;
#[cfg(test)]
mod commands_page;
mod compare;
mod completions;
mod compute;
mod control;
mod demo;
mod doctor;
mod ensemble;
mod eval_inputs;
mod evaluate;
mod event_printer;
mod exit_code;
mod features;
mod fetch;
mod image_paths;
mod inline_image;
mod interrupt;
mod job;
mod json;
mod keys;
mod optional_metrics;
mod output;
mod pack;
mod prepare;
mod preprocessing;
mod progress;
mod runs;
mod score;
mod search;
mod show;
mod spice;
mod table;
mod terminal;
mod threads;
mod train;
mod tune_search;
mod workbench;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::jobs::{Acknowledgement, Event, Root};
use crate::nn::cpu::slices::among_threads;
use crate::nn::device::{DeviceChoice, MatmulPrecision};
use crate::tui::theme::CharacterSet;
use crate::vision::image_io::ImageLoader;
use exit_code::Outcome;
use progress::{PauseClock, Progress, Task};
use terminal::{ColorMode, Terminal};

/// Image captioning in the terminal: train, evaluate and use a CNN encoder with an LSTM decoder.
#[derive(Debug, Parser)]
#[command(
    name = "cutline",
    version,
    max_term_width = 100,
    after_help = "Without a command, on a terminal, the workbench opens. Start with `cutline demo`: it needs no data.",
    after_long_help = AFTER_LONG_HELP
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_LONG_HELP: &str = "\
From nothing to scored captions:
  cutline fetch flickr8k mobilenet_v2
  cutline prepare flickr8k --backbone mobilenet_v2
  cutline train flickr8k --decoder merge
  cutline evaluate flickr8k-merge-001
  cutline caption flickr8k-merge-001 image.jpg

Train in the background, and follow and control it from any terminal:
  cutline train flickr8k --detach
  cutline runs
  cutline attach flickr8k-merge-001
  cutline control flickr8k-merge-001 stop

Without any data:
  cutline demo

Exit codes:
  0    done
  1    failed; standard error has the reason and the next step
  2    wrong command line
  75   saved, to be started again: SIGUSR1, SIGUSR2, or SIGTERM in a Slurm job
  130  interrupted; finished work is kept (an interrupted training saves a checkpoint and exits with 0)";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Working directory with `datasets/` and `checkpoints/`
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = ROOT,
        default_value = "."
    )]
    root: PathBuf,
    /// When to use colors; `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    color: ColorMode,
    /// Draw the workbench with ASCII characters only
    #[arg(long, global = true)]
    ascii: bool,
    /// Print results and errors only: no progress, no notices
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Device: auto (a GPU if there is one, else the CPU), cpu, or cuda:N; `cutline doctor` lists the GPUs
    #[arg(
        long,
        global = true,
        value_name = "auto|cpu|cuda:N",
        env = DEVICE,
        default_value_t
    )]
    device: DeviceChoice,
    /// Allow TF32 matrix products on GPUs of compute capability 8.0 and later: faster, with three exact digits instead of
    /// seven
    #[arg(long, global = true)]
    tf32: bool,
    /// Allow BF16 matrix products, with two exact digits, on such GPUs; sums have 32 bits as in TF32
    #[arg(long, global = true, conflicts_with = "tf32")]
    bf16: bool,
}

const ROOT: &str = "CUTLINE_ROOT";
const DEVICE: &str = "CUTLINE_DEVICE";
/// How CUDA numbers GPUs. By default number 0 is the fastest.
const ORDER: &str = "CUDA_DEVICE_ORDER";

impl Global {
    /// The precision of products, if an option names one.
    fn precision(&self) -> Option<MatmulPrecision> {
        match (self.tf32, self.bf16) {
            (true, _) => Some(MatmulPrecision::Tf32),
            (_, true) => Some(MatmulPrecision::Bf16),
            _ => None,
        }
    }

    /// Sets the environment variables that CUDA reads, and those that child processes inherit: background jobs,
    /// and the jobs of the workbench.
    ///
    /// # Safety
    /// No other thread may run.
    unsafe fn export_env(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            std::env::set_var(DEVICE, self.device.to_string());
            if std::env::var_os(ORDER).is_none() {
                // The numbering of `nvidia-smi` and `cutline doctor`.
                std::env::set_var(ORDER, "PCI_BUS_ID");
            }
            if let Some(precision) = self.precision() {
                std::env::set_var(MatmulPrecision::VARIABLE, precision.name());
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Fetch(fetch::Fetch),
    Prepare(prepare::Prepare),
    Train(train::Train),
    Runs(runs::Runs),
    Attach(attach::Attach),
    Control(control::Control),
    Evaluate(evaluate::Evaluate),
    Compare(compare::Compare),
    Caption(caption::Caption),
    Pack(pack::Pack),
    Verify(pack::Verify),
    Features(features::Features),
    Score(score::Score),
    Show(show::Show),
    Keys(keys::Keys),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

impl Command {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Demo(command) => command.run(context),
            Self::Fetch(command) => command.run(context),
            Self::Prepare(command) => command.run(context),
            Self::Train(command) => command.run(context),
            Self::Runs(command) => command.run(context),
            Self::Attach(command) => command.run(context),
            Self::Control(command) => command.run(context),
            Self::Evaluate(command) => among_threads(|| command.run(context)),
            Self::Compare(command) => command.run(context),
            Self::Caption(command) => among_threads(|| command.run(context)),
            Self::Pack(command) => among_threads(|| command.run(context)),
            Self::Verify(command) => among_threads(|| command.run(context)),
            Self::Features(command) => command.run(context),
            Self::Score(command) => command.run(context),
            Self::Show(command) => command.run(context),
            Self::Keys(command) => command.run(context),
            Self::Doctor(command) => command.run(context),
            Self::Completions(command) => command.run(context),
        }
    }
}

/// The global options, as every subcommand gets them.
#[derive(Clone, Debug)]
struct Context {
    root: Root,
    terminal: Terminal,
    characters: CharacterSet,
    verbosity: Verbosity,
    results: ResultStream,
    device: DeviceChoice,
    /// Of the job that this process works on or follows.
    pauses: Arc<PauseClock>,
}

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResultStream {
    Stdout,
    /// Among the notices: the results of a substep.
    Stderr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verbosity {
    Normal,
    Quiet,
}

impl Context {
    fn new(global: &Global) -> Self {
        Self {
            root: Root::new(&global.root),
            terminal: Terminal::detect(global.color),
            characters: match global.ascii {
                true => CharacterSet::Ascii,
                false => CharacterSet::Unicode,
            },
            verbosity: match global.quiet {
                true => Verbosity::Quiet,
                false => Verbosity::Normal,
            },
            results: ResultStream::Stdout,
            device: global.device,
            pauses: Arc::default(),
        }
    }

    /// The context of a substep, whose results are only notices of the whole command.
    fn as_substep(&self) -> Self {
        Self {
            terminal: self.terminal.stderr_only(),
            results: ResultStream::Stderr,
            ..self.clone()
        }
    }

    /// The end of a suggested command: ` --root DIR`, or nothing for the default root.
    fn root_flag(&self) -> String {
        let root = self.root.path();
        let usual = std::env::var_os(ROOT).unwrap_or_else(|| ".".into());
        if root == usual {
            String::new()
        } else {
            format!(" --root {}", terminal::display_path(root))
        }
    }

    /// Writes a result to standard output and flushes it.
    ///
    /// # Errors
    /// A closed pipe (`cutline ... | head`) is an error that ends the program silently.
    fn print(&self, text: &str) -> std::io::Result<()> {
        if self.results == ResultStream::Stderr {
            self.notice(text.trim_end_matches('\n'));
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // The terminal was closed, which must not end the work.
            Err(error) if self.terminal.stdout.is_terminal && is_hung_up(&error) => Ok(()),
            Err(error) => Err(std::io::Error::new(
                error.kind(),
                format!("cannot write to standard output: {error}"),
            )),
            Ok(()) => Ok(()),
        }
    }

    /// Like [`print`](Self::print), but a closed pipe is no error: for commands whose main result is on disk.
    fn print_lossy(&self, text: &str) -> std::io::Result<()> {
        match self.print(text) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed,
        }
    }

    /// Writes a line to standard error, unless `--quiet`.
    fn notice(&self, line: &str) {
        if self.verbosity == Verbosity::Normal {
            terminal::print_to_stderr(&self.terminal.wrap_for(self.terminal.stderr, line));
        }
    }

    /// Follows the pauses of the job that this process works on or follows, as its log acknowledges them.
    fn follow_pauses(&self, event: &Event) {
        let Event::Control(Acknowledgement {
            command, error: None, ..
        }) = event
        else {
            return;
        };
        match command.as_str() {
            "pause" => self.pauses.pause(Instant::now()),
            "resume" => self.pauses.resume(Instant::now()),
            _ => {}
        }
    }

    /// Starts a progress bar on a terminal, or progress lines elsewhere.
    fn progress(&self, task: Task) -> Progress {
        match self.verbosity {
            Verbosity::Quiet => Progress::Silent,
            Verbosity::Normal => Progress::start(task, &self.terminal, &self.pauses),
        }
    }
}

/// Whether the terminal was closed.
fn is_hung_up(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Runs the program with its command-line arguments.
///
/// # Safety
/// No other thread may run: this sets environment variables, which another thread may be reading.
pub unsafe fn main() -> ExitCode {
    // SAFETY: the caller's promise; neither starts a thread before it has changed the environment.
    let outcome = unsafe {
        remove_empty_variables();
        main_with(std::env::args_os().collect())
    };
    ExitCode::from(outcome as u8)
}

/// An empty variable, as scripts may set it, counts as not set.
///
/// # Safety
/// No other thread may run.
unsafe fn remove_empty_variables() {
    for name in [ROOT, DEVICE] {
        if std::env::var_os(name).is_some_and(|value| value.is_empty()) {
            // SAFETY: the caller's promise.
            unsafe { std::env::remove_var(name) }
        }
    }
}

/// # Safety
/// No other thread may run.
unsafe fn main_with(arguments: Vec<OsString>) -> Outcome {
    // Without it the signal only ends the process, as it does any other program.
    let _ = interrupt::survive_file_size_limit();
    let color = terminal::color_flag(&arguments).for_clap();
    let parsed = Cli::command()
        .color(color)
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let is_safe = arguments.iter().all(|argument| {
        let text = argument.to_string_lossy();
        terminal::display_safe(&text) == text
    });
    let Cli { global, command } = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // The message repeats the arguments, which may hold control characters.
            match is_safe {
                true => drop(error.print()),
                false => {
                    let text = error.render().to_string();
                    text.lines()
                        .for_each(|line| terminal::print_to_stderr(&terminal::display_safe(line)));
                }
            }
            return match error.use_stderr() {
                true => Outcome::Usage,
                false => Outcome::Done,
            };
        }
    };
    // SAFETY: the caller's promise; parsing starts no threads.
    unsafe { global.export_env() };
    let context = Context::new(&global);
    if let Err(error) = threads::start(&context) {
        return exit_code::outcome(Err(error), &context.terminal);
    }
    // A wrong variable is one error of the program, not one of each image.
    if let Err(error) = ImageLoader::shared() {
        return exit_code::outcome(Err(error.into()), &context.terminal);
    }
    let result = match command {
        Some(command) => command.run(&context),
        None if context.terminal.is_interactive() => workbench::open(&context, None),
        None => {
            // A failure to print help cannot be reported either.
            let _ = Cli::command().color(color).print_help();
            return Outcome::Done;
        }
    };
    exit_code::outcome(result, &context.terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_examples_parse() {
        for subcommand in Cli::command().get_subcommands() {
            let help = subcommand.get_after_long_help().unwrap().to_string();
            let examples: Vec<&str> = help
                .lines()
                .filter(|line| line.starts_with("  cutline "))
                .collect();
            assert!(!examples.is_empty(), "{}", subcommand.get_name());
            for example in examples {
                let command_line = example.split(['|', '>']).next().unwrap();
                let parsed = Cli::try_parse_from(command_line.split_whitespace());
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            }
        }
    }
}
