//! The workbench: a terminal user interface that shows datasets and runs, and steers them. It computes nothing
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

// Also for the modules below: they import the types of the workbench from here.
use crate::jobs::Root;
use app::{App, Lifecycle, pause_or_resume};
use chart_view::ChartView;
use effects::EffectRunner;
use form::{Field, Form, FormError, KeyOutcome};
use forms::{FormPurpose, OpenForm};
use image_cache::{ImageCache, ImageKey, PreparedImage};
use keymap::{ActiveBinding, Keymap};
use keys::{Action, KeyContext};
use message::{
    AttentionRequest, CaptionRequest, CaptionerRequest, ComparedEvaluations, DatasetDetail, DatasetListing,
    DirectoryEntry, Effect, EntryKind, EvaluationKey, EvaluationListing, GalleryImages, GalleryRequest,
    GallerySlot, MachineLoad, Message, RunListing,
};
use navigation::{ListMove, Tab, cycle};
use pending::Pending;
use popups::Popup;
use ratatui_image::picker::Picker;
use run_view::{ChartSpec, RunView, XAxis, charts};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use terminal::Screen;
use theme::{CharacterSet, Colors, Theme};
use tracing::info;
use view::draw;
use workers::{caption_worker, image_worker, watch};

pub use terminal::ImageProtocol;

#[derive(Clone, Debug)]
pub struct WorkbenchOptions {
    pub run: Option<String>,
    pub theme: Theme,
    pub keymap: Keymap,
    pub images: ImageProtocol,
}

/// The minimum time between two frames, and after input. Over a connection frames cost bandwidth.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);
const REMOTE_FRAME_INTERVAL: Duration = Duration::from_millis(250);
const AFTER_INPUT: Duration = Duration::from_millis(30);

/// Opens the workbench on `root` until the user quits.
///
/// # Errors
/// Errors of the terminal; it is restored in any case.
pub fn open(root: &Root, options: WorkbenchOptions) -> io::Result<()> {
    let is_remote = ["SSH_CONNECTION", "SSH_TTY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let interval = match is_remote {
        true => REMOTE_FRAME_INTERVAL,
        false => FRAME_INTERVAL,
    };
    info!(root = %root.path().display(), is_remote, "workbench opens");
    let (sender, messages) = channel();
    // Before the terminal is changed: a signal while it is queried must not leave it so.
    terminal::listen_to_signals(sender.clone())?;
    let mut screen = Screen::enter()?;
    let result = run(&mut screen, root, options, interval, (sender, &messages));
    // Restored before any error is reported: an error must be printed on the user's own screen.
    let is_gone = terminal::is_gone();
    let restored = screen.leave();
    info!("workbench closes");
    match is_gone {
        // Drawing failed because the terminal is gone.
        true => Ok(()),
        false => result.and(restored),
    }
}

fn run(
    screen: &mut Screen,
    root: &Root,
    options: WorkbenchOptions,
    interval: Duration,
    (sender, messages): (Sender<Message>, &Receiver<Message>),
) -> io::Result<()> {
    let theme = options.theme;
    let mut app = App::new(options.keymap, screen.size()?);
    if let Some(name) = options.run {
        app.runs.open_run(&name);
    }
    // Draw first: querying the terminal and reading the disk take time.
    screen.draw(|frame| draw(frame, &app, &theme))?;
    // The terminal is queried before the input thread starts, which would take the answer for key presses.
    let picker = options.images.picker();
    let effects = start_threads(root, picker, sender)?;

    let mut last_frame = Instant::now();
    while app.lifecycle == Lifecycle::Running {
        let size = app.size;
        let work = handle_messages(messages, &mut app, interval, last_frame);
        effects.wake_watcher();
        for effect in work {
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
fn start_threads(root: &Root, picker: Picker, sender: Sender<Message>) -> io::Result<EffectRunner> {
    let (image_requests, images) = channel();
    let (caption_requests, captions) = channel();
    let (wake_ups, watched_wake_ups) = channel();
    let effects = EffectRunner {
        root: root.clone(),
        messages: sender.clone(),
        image_requests,
        caption_requests,
        wake_ups,
    };
    terminal::listen(sender.clone())?;
    terminal::listen_to_hang_up(sender.clone())?;
    let (watched, to_main) = (root.clone(), sender.clone());
    spawn("watch", move || {
        watch::watch(&watched, &to_main, &watched_wake_ups)
    })?;
    let to_main = sender.clone();
    spawn("images", move || image_worker::run(&picker, &images, &to_main))?;
    let root = root.clone();
    spawn("captions", move || caption_worker::run(&root, &captions, &sender))?;
    Ok(effects)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work)?;
    Ok(())
}

/// Waits for a message, then handles all messages until the next frame is due: sooner after input.
fn handle_messages(
    messages: &Receiver<Message>,
    app: &mut App,
    interval: Duration,
    last_frame: Instant,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    let Ok(mut message) = messages.recv() else {
        app.lifecycle = Lifecycle::Exiting;
        return effects;
    };
    let mut due = last_frame + interval;
    loop {
        if is_input(&message) {
            due = last_frame + AFTER_INPUT;
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
    use Message::{Key, Mouse, Paste, Quit, Resized};
    matches!(message, Key(_) | Mouse(_) | Paste(_) | Resized(..) | Quit)
}
