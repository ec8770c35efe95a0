//! The workbench as a command line opens it: the user's keys, the terminal's colors, a file for what it logs.

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

/// What is to be logged, such as `info`; nothing without it.
const LOG: &str = "CUTLINE_LOG";

/// Opens the workbench, at a run if one is named, until the user leaves it.
pub(super) fn open(context: &Context, at: Option<&str>) -> anyhow::Result<()> {
    let keymap = keymap()?;
    log_into_file()?;
    let theme = theme(context);
    let pictures = pictures(context);
    let options = WorkbenchOptions {
        run: at.map(str::to_owned),
        theme,
        keymap,
        images: pictures,
    };
    Ok(tui::open(&context.root, options)?)
}

/// How it draws images on this terminal.
pub(super) fn pictures(context: &Context) -> ImageProtocol {
    match (context.characters, context.terminal.stdout_paint()) {
        (CharacterSet::Unicode, Paint::Colored) if env::var_os("TERM").is_none_or(|term| term != "dumb") => {
            ImageProtocol::Detect
        }
        _ => ImageProtocol::Characters,
    }
}

/// The keys as the user has them.
pub(super) fn keymap() -> anyhow::Result<Keymap> {
    match settings_path() {
        Some(path) => Ok(user_settings::keymap(&path)?),
        None => Ok(Keymap::default()),
    }
}

/// Where the user's settings are looked for.
pub(super) fn settings_path() -> Option<PathBuf> {
    user_settings::path(|name| env::var_os(name))
}

/// How it looks on this terminal.
pub(super) fn theme(context: &Context) -> Theme {
    let colors = match context.terminal.stdout_paint() {
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

/// On a terminal that is drawn on, nothing else may be written: what is logged goes into a file, if asked for.
fn log_into_file() -> anyhow::Result<()> {
    let Some(filter) = env::var(LOG).ok().filter(|filter| !filter.is_empty()) else {
        return Ok(());
    };
    let filter = EnvFilter::try_new(&filter).with_context(|| format!("{LOG}={filter}: try {LOG}=info"))?;
    let home = state_home().context("there is no home directory for the log; set XDG_STATE_HOME")?;
    let directory = home.join("cutline");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join("workbench.log");
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    // It is set once for the process; `demo` opens one workbench at most.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .try_init();
    Ok(())
}

fn state_home() -> Option<PathBuf> {
    let given = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    given("XDG_STATE_HOME").or_else(|| Some(given("HOME")?.join(".local").join("state")))
}
