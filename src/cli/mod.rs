//! The command line: one file a subcommand, and what they share.
//!
//! Each subcommand is a struct of arguments with `run(self, &Context)`. What it says goes to standard output
//! through [`Context::print`]; progress, notices and errors go to standard error.

mod attach;
mod attention;
mod caption;
mod choices;
mod compare;
mod completions;
mod compute;
mod control;
mod demo;
mod doctor;
mod ensemble;
mod eval_inputs;
mod evaluate;
mod failure;
mod features;
mod follow;
pub mod interrupt;
mod job;
mod json;
mod keys;
mod output;
mod picture;
mod prepare;
pub mod progress;
#[cfg(test)]
mod reference;
mod runs;
mod score;
mod search;
mod show;
mod sweep;
mod table;
pub mod terminal;
mod train;
mod workbench;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Once;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::jobs::Root;
use crate::nn::cpu::slices::among_threads;
use crate::nn::device::{DeviceChoice, Products};
use crate::tui::theme::CharacterSet;
use failure::Outcome;
use progress::{Progress, Task};
use terminal::{ColorMode, Terminal};

/// Caption images: train, evaluate and use a CNN encoder with an LSTM decoder.
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
The way through, from a folder of captioned images to scored captions:
  cutline prepare ~/flickr8k --name flickr8k --backbone vgg16 --weights ~/vgg16.safetensors
  cutline train flickr8k --decoder merge
  cutline evaluate flickr8k-merge-001
  cutline caption flickr8k-merge-001 image.jpg

A training that outlives the connection, and what to do about it from any terminal:
  cutline train flickr8k --detach
  cutline runs
  cutline attach flickr8k-merge-001
  cutline control flickr8k-merge-001 stop

With nothing at hand:
  cutline demo

Exit codes:
  0    done
  1    failed; standard error says why and what to try next
  2    the command line was wrong
  130  interrupted; what was finished is kept. A training that was interrupted has saved and exits with 0";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// The working directory, which holds `datasets/` and `checkpoints/`
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = ROOT,
        default_value = "."
    )]
    root: PathBuf,
    /// When to color what is printed; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    color: ColorMode,
    /// Draw the workbench with ASCII characters only: no lines, no blocks, no braille
    #[arg(long, global = true)]
    ascii: bool,
    /// Print results and errors only: no progress, no notices
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Where to compute: on a GPU if there is one, else on the CPU (auto), on the CPU (cpu), or on the GPU with this
    /// number (cuda:N); `cutline doctor` lists them
    #[arg(
        long,
        global = true,
        value_name = "auto|cpu|cuda:N",
        env = DEVICE,
        default_value_t
    )]
    device: DeviceChoice,
    /// Let a GPU multiply matrices in TF32: faster from compute capability 8.0 on, and exact to three digits instead of
    /// seven; NVIDIA_TF32_OVERRIDE=1 in the environment does the same
    #[arg(long, global = true)]
    tf32: bool,
}

/// The environment's word on the working directory.
const ROOT: &str = "CUTLINE_ROOT";
/// The environment's word on the device.
const DEVICE: &str = "CUTLINE_DEVICE";
/// How CUDA numbers GPUs: the one that works fastest is 0, unless this says otherwise.
const ORDER: &str = "CUDA_DEVICE_ORDER";

impl Global {
    /// Puts into the environment what CUDA and cuBLAS look for there, and what holds for the processes that are started
    /// as well: trainings that go on by themselves, and those of the workbench.
    fn hand_down(&self) {
        // SAFETY: see `main`: no other thread is there to read the environment.
        unsafe {
            std::env::set_var(DEVICE, self.device.to_string());
            if std::env::var_os(ORDER).is_none() {
                // As `nvidia-smi` and `cutline doctor` count.
                std::env::set_var(ORDER, "PCI_BUS_ID");
            }
            if self.tf32 {
                std::env::set_var(Products::VARIABLE, Products::TF32);
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Prepare(prepare::Prepare),
    Train(train::Train),
    Runs(runs::Runs),
    Attach(attach::Attach),
    Control(control::Control),
    Evaluate(evaluate::Evaluate),
    Compare(compare::Compare),
    Caption(caption::Caption),
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
            Self::Prepare(command) => command.run(context),
            Self::Train(command) => command.run(context),
            Self::Runs(command) => command.run(context),
            Self::Attach(command) => command.run(context),
            Self::Control(command) => command.run(context),
            Self::Evaluate(command) => among_threads(|| command.run(context)),
            Self::Compare(command) => command.run(context),
            Self::Caption(command) => among_threads(|| command.run(context)),
            Self::Features(command) => command.run(context),
            Self::Score(command) => command.run(context),
            Self::Show(command) => command.run(context),
            Self::Keys(command) => command.run(context),
            Self::Doctor(command) => command.run(context),
            Self::Completions(command) => command.run(context),
        }
    }
}

/// What every subcommand is given: where things live, and how to speak to the user.
#[derive(Debug)]
pub struct Context {
    /// The working directory.
    pub root: Root,
    /// What standard output and standard error are.
    pub terminal: Terminal,
    characters: CharacterSet,
    voice: Voice,
    results: Results,
    device: DeviceChoice,
    /// What needs to be said once has been.
    said: Once,
}

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Results {
    /// To standard output.
    Printed,
    /// To standard error, among the notices.
    Noticed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Usual,
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
            voice: if global.quiet { Voice::Quiet } else { Voice::Usual },
            results: Results::Printed,
            device: global.device,
            said: Once::new(),
        }
    }

    /// The context of a step on the way to a result: what the step prints is a notice here.
    fn in_passing(&self) -> Self {
        Self {
            root: self.root.clone(),
            terminal: self.terminal.stderr_only(),
            characters: self.characters,
            voice: self.voice,
            results: Results::Noticed,
            device: self.device,
            said: Once::new(),
        }
    }

    /// What a command shown to the user needs at its end to find the same root: nothing, or ` --root DIR`.
    fn root_flag(&self) -> String {
        let root = self.root.path();
        let usual = std::env::var_os(ROOT).unwrap_or_else(|| ".".into());
        if root == usual {
            String::new()
        } else {
            format!(" --root {}", terminal::display_path(root))
        }
    }

    /// Writes a result to standard output, at once.
    ///
    /// # Errors
    ///
    /// Where the reader has gone (`cutline ... | head`) the error ends the program quietly.
    pub fn print(&self, text: &str) -> std::io::Result<()> {
        if self.results == Results::Noticed {
            self.notice(text.trim_end_matches('\n'));
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // The terminal was closed: there is nobody left to tell, and the work goes on.
            Err(error) if self.terminal.stdout_is_terminal() && is_hung_up(&error) => Ok(()),
            printed => printed,
        }
    }

    /// As [`print`](Self::print), of work that goes on where the reader has gone: what it prints is not what it is for.
    ///
    /// # Errors
    /// Where standard output fails in another way.
    pub fn tell(&self, text: &str) -> std::io::Result<()> {
        match self.print(text) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed,
        }
    }

    /// Writes one line about what is going on to standard error, unless `--quiet`.
    pub fn notice(&self, line: &str) {
        if self.voice == Voice::Usual {
            terminal::print_to_stderr(line);
        }
    }

    /// Shows how a long task gets on: a bar on a terminal, a line now and then elsewhere.
    pub fn progress(&self, task: Task) -> Progress {
        match self.voice {
            Voice::Quiet => Progress::silent(),
            Voice::Usual => Progress::start(task, &self.terminal),
        }
    }
}

/// Whether the other end of a terminal has gone.
fn is_hung_up(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Runs the program on the arguments it was started with. To be called before there are other threads: it sets variables
/// of the environment.
pub fn main() -> ExitCode {
    forget_empty_variables();
    ExitCode::from(main_with(std::env::args_os().collect()) as u8)
}

/// A variable that is set to nothing, as scripts do it, counts as not set.
fn forget_empty_variables() {
    for name in [ROOT, DEVICE] {
        if std::env::var_os(name).is_some_and(|value| value.is_empty()) {
            // SAFETY: see `main`: no other thread is there to read the environment.
            unsafe { std::env::remove_var(name) }
        }
    }
}

fn main_with(arguments: Vec<OsString>) -> Outcome {
    let color = terminal::color_asked_for(&arguments).for_clap();
    let cli = Cli::command()
        .color(color)
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .inspect(|cli| cli.global.hand_down());
    match cli {
        Ok(Cli {
            global,
            command: Some(command),
        }) => {
            let context = Context::new(&global);
            failure::outcome(command.run(&context), &context.terminal)
        }
        Ok(Cli {
            global,
            command: None,
        }) => {
            let context = Context::new(&global);
            if context.terminal.is_interactive() {
                return failure::outcome(workbench::open(&context, None), &context.terminal);
            }
            // Nobody to tell when help cannot be written.
            let _ = Cli::command().color(color).print_help();
            Outcome::Done
        }
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() {
                Outcome::Usage
            } else {
                Outcome::Done
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_is_a_command_line_that_parses() {
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
