//! Opens the workbench with the user's keys, the terminal's colors and a log file.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use super::Context;
use super::terminal::Paint;
use crate::tui::keymap::Keymap;
use crate::tui::theme::{CharacterSet, Colors, Theme};
use crate::tui::{self, ImageProtocol, WorkbenchOptions, user_settings};

/// The log filter, such as `info`; without it there is no log.
const LOG: &str = "CUTLINE_LOG";

/// Opens the workbench, on a run if one is given, until the user quits.
pub(super) fn open(context: &Context, run: Option<&str>) -> anyhow::Result<()> {
    let keymap = keymap()?;
    log_into_file()?;
    let options = WorkbenchOptions {
        run: run.map(str::to_owned),
        theme: theme(context),
        keymap,
        images: image_protocol(context),
    };
    Ok(tui::open(&context.root, options)?)
}

/// The graphics protocol for this terminal.
pub(super) fn image_protocol(context: &Context) -> ImageProtocol {
    match (context.characters, context.terminal.stdout.paint) {
        (CharacterSet::Unicode, Paint::Colored) if env::var_os("TERM").is_none_or(|term| term != "dumb") => {
            ImageProtocol::Detect
        }
        _ => ImageProtocol::Characters,
    }
}

pub(super) fn keymap() -> anyhow::Result<Keymap> {
    match settings_path() {
        Some(path) => Ok(user_settings::keymap(&path)?),
        None => Ok(Keymap::default()),
    }
}

pub(super) fn settings_path() -> Option<PathBuf> {
    user_settings::path(|name| env::var_os(name))
}

pub(super) fn theme(context: &Context) -> Theme {
    let colors = match context.terminal.stdout.paint {
        Paint::Colored => Colors::Sixteen,
        Paint::Plain => Colors::None,
    };
    let theme = Theme::new(colors, context.characters);
    let names_true_color = |value: String| value == "truecolor" || value == "24bit";
    match env::var("COLORTERM").is_ok_and(names_true_color) {
        true => theme.with_true_color(),
        false => theme,
    }
}

/// Logs to a file: anything else written to the terminal would damage the screen.
fn log_into_file() -> anyhow::Result<()> {
    let Some(filter) = env::var(LOG).ok().filter(|filter| !filter.is_empty()) else {
        return Ok(());
    };
    let filter = EnvFilter::try_new(&filter).with_context(|| format!("{LOG}={filter}: try {LOG}=info"))?;
    let home = state_home().context("there is no home directory for the log; set XDG_STATE_HOME")?;
    let directory = home.join("cutline");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let path = directory.join("workbench.log");
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    // An error means that the process has a log already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .try_init();
    Ok(())
}

fn state_home() -> Option<PathBuf> {
    let variable = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local").join("state")))
}
