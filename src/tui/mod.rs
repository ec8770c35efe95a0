//! The workbench: a terminal user interface that shows data sets and runs, and steers them. It computes nothing
//! heavy: it starts `cutline` commands, reads what they write, and sends commands through control files. Closing,
//! killing or disconnecting it loses nothing, and several may be open at once.
//!
//! ```text
//! keys, mouse, size  --+                        +--> draw
//! files on disk      --+--> Message -> App -----+
//! outcomes           --+                        +--> Effect -> control files, commands, images, captions
//! ```

#![allow(
    unreachable_pub,
    reason = "`pub` here means: for the whole workbench, which is `pub(crate)`"
)]

mod app;
mod chart_view;
mod effects;
mod form;
mod forms;
pub mod headless;
mod image_cache;
pub mod keymap;
pub mod keys;
mod message;
mod mouse;
mod navigation;
mod pending;
mod popups;
mod run_view;
mod series;
mod tabs;
mod terminal;
#[cfg(test)]
mod tests;
pub mod theme;
mod update;
pub mod user_settings;
mod view;
mod widgets;
mod workers;

use crate::jobs::Root;
use app::{App, Lifecycle};
use effects::EffectRunner;
use keymap::Keymap;
use message::{Effect, Message};
use ratatui_image::picker::Picker;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use terminal::Screen;
use theme::Theme;
use tracing::info;
use view::draw;
use workers::{caption_worker, image_worker, watch};

pub use terminal::ImageProtocol;

#[derive(Clone, Debug)]
pub struct WorkbenchOptions {
    /// The run to open.
    pub run: Option<String>,
    pub theme: Theme,
    pub keymap: Keymap,
    pub images: ImageProtocol,
}

/// The minimum time between two frames.
#[derive(Clone, Copy, Debug)]
struct FrameInterval {
    idle: Duration,
    after_input: Duration,
}

impl FrameInterval {
    const LOCAL: Self = Self {
        idle: Duration::from_millis(100),
        after_input: Duration::from_millis(30),
    };
    /// Frames cost bandwidth.
    const REMOTE: Self = Self {
        idle: Duration::from_millis(250),
        ..Self::LOCAL
    };
}

/// Opens the workbench on `root` until the user quits.
///
/// # Errors
/// Errors of the terminal; it is restored in any case.
pub fn open(root: &Root, options: WorkbenchOptions) -> io::Result<()> {
    let is_remote = ["SSH_CONNECTION", "SSH_TTY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let interval = if is_remote {
        FrameInterval::REMOTE
    } else {
        FrameInterval::LOCAL
    };
    info!(root = %root.path().display(), is_remote, "workbench opens");
    let mut screen = Screen::enter()?;
    let result = run(&mut screen, root, options, interval);
    // Restored before any error is reported: an error must be printed on the user's own screen.
    let is_gone = terminal::is_gone();
    let restored = screen.leave();
    info!("workbench closes");
    match is_gone {
        // Drawing has failed, but there is no one to tell.
        true => Ok(()),
        false => result.and(restored),
    }
}

fn run(
    screen: &mut Screen,
    root: &Root,
    options: WorkbenchOptions,
    interval: FrameInterval,
) -> io::Result<()> {
    let WorkbenchOptions {
        run,
        theme,
        keymap,
        images,
    } = options;
    let mut app = App::new(keymap, screen.size()?);
    if let Some(name) = run {
        app.runs.open_run(&name);
    }
    // Draw first: querying the terminal and reading the disk take time.
    screen.draw(|frame| draw(frame, &app, &theme))?;
    // The terminal is queried before the input thread starts, which would take the answer for key presses.
    let picker = images.picker();
    let (effects, messages) = start_threads(root, picker)?;

    let mut last_frame = Instant::now();
    while app.lifecycle == Lifecycle::Running {
        let size = app.size;
        for effect in handle_messages(&messages, &mut app, interval, last_frame) {
            match effect {
                Effect::Suspend => {
                    screen.suspend()?;
                    // The window may have another size by now, and no signal says so.
                    let (columns, rows) = screen.size()?;
                    for effect in app.update(Message::Resized(columns, rows)) {
                        effects.run(effect);
                    }
                }
                other => effects.run(other),
            }
        }
        if app.size != size {
            screen.redraw_all()?;
        }
        screen.draw(|frame| draw(frame, &app, &theme))?;
        last_frame = Instant::now();
    }
    Ok(())
}

/// Starts all threads. They end by themselves once their channel closes.
///
/// Every channel is unbounded, so that no thread ever waits for the main loop: a worker that blocked on a full channel
/// while the main loop waits for it would freeze the screen. Requests replace each other instead of queuing up.
fn start_threads(root: &Root, picker: Picker) -> io::Result<(EffectRunner, Receiver<Message>)> {
    let (sender, messages) = channel();
    let (image_requests, images) = channel();
    let (caption_requests, captions) = channel();
    let effects = EffectRunner {
        root: root.clone(),
        messages: sender.clone(),
        image_requests,
        caption_requests,
    };
    terminal::listen(sender.clone())?;
    terminal::listen_to_signals(sender.clone())?;
    terminal::listen_to_hang_up(sender.clone())?;
    let (watched, to_main) = (root.clone(), sender.clone());
    spawn("watch", move || watch::watch(&watched, &to_main))?;
    let to_main = sender.clone();
    spawn("images", move || image_worker::run(&picker, &images, &to_main))?;
    let root = root.clone();
    spawn("captions", move || caption_worker::run(&root, &captions, &sender))?;
    Ok((effects, messages))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work)?;
    Ok(())
}

/// Waits for a message, then handles all messages until the next frame is due: sooner after input.
fn handle_messages(
    messages: &Receiver<Message>,
    app: &mut App,
    interval: FrameInterval,
    last_frame: Instant,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    let Ok(mut message) = messages.recv() else {
        app.lifecycle = Lifecycle::Exiting;
        return effects;
    };
    let mut due = last_frame + interval.idle;
    loop {
        if is_input(&message) {
            due = last_frame + interval.after_input;
        }
        effects.extend(app.update(message));
        if app.lifecycle == Lifecycle::Exiting || matches!(effects.last(), Some(Effect::Suspend)) {
            return effects;
        }
        match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(next) => message = next,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return effects,
        }
    }
}

fn is_input(message: &Message) -> bool {
    matches!(
        message,
        Message::Key(_) | Message::Mouse(_) | Message::Paste(_) | Message::Resized(..) | Message::Quit
    )
}
