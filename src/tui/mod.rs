//! The workbench: looks at data sets and runs, and steers them. It computes nothing heavy: it starts the commands a
//! user would type, reads what they write, and leaves control files, so it may be closed, killed or disconnected at
//! any moment, and opened several times over.
//!
//! ```text
//! keys, mouse, size  --+                        +--> draw
//! what lies on disk  --+--> Message -> App -----+
//! outcomes           --+                        +--> Effect -> control files, commands, images, captions
//! ```

pub mod app;
mod captions;
pub mod chart_view;
pub mod form;
pub mod forms;
mod hands;
pub mod keymap;
pub mod keys;
mod machine;
pub mod message;
mod mouse;
pub mod pages;
mod painter;
pub mod pictures;
pub mod popup;
pub mod run_view;
pub mod series;
mod tabs;
mod terminal;
#[cfg(test)]
mod tests;
pub mod theme;
pub mod user_settings;
mod view;
mod watch;
mod widgets;

use crate::jobs::Root;
use app::{App, Life};
use hands::Hands;
use keymap::Keymap;
use message::{Effect, Message};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use terminal::Screen;
use theme::Theme;
use tracing::info;

pub use terminal::PictureProtocol;
pub use view::draw;

/// How the workbench is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// At this run, if one is given.
    pub at: Option<String>,
    /// How it looks.
    pub theme: Theme,
    /// Which keys do what.
    pub keymap: Keymap,
    /// How images are drawn.
    pub pictures: PictureProtocol,
}

/// The least time between two frames.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Where nothing was pressed.
    usual: Duration,
    /// After a key.
    pressed: Duration,
}

impl Pace {
    /// Over a connection, frames cost what others need too.
    fn of(is_remote: bool) -> Self {
        Self {
            usual: Duration::from_millis(if is_remote { 250 } else { 100 }),
            pressed: Duration::from_millis(30),
        }
    }
}

/// Opens the workbench on what lies under `root`, until the user leaves it.
///
/// # Errors
/// Those of the terminal, which is put back as it was in any case.
pub fn open(root: &Root, opening: Opening) -> io::Result<()> {
    let is_remote = ["SSH_CONNECTION", "SSH_TTY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    info!(root = %root.path().display(), is_remote, "the workbench opens");
    let mut screen = Screen::enter()?;
    let result = run(&mut screen, root, opening, Pace::of(is_remote));
    let restored = screen.leave();
    info!("the workbench closes");
    result.and(restored)
}

fn run(screen: &mut Screen, root: &Root, opening: Opening, pace: Pace) -> io::Result<()> {
    let Opening {
        at,
        theme,
        keymap,
        pictures,
    } = opening;
    let mut app = App::new(keymap, screen.size()?);
    if let Some(name) = at {
        app.runs.look_at(&name);
    }
    // Before anything is asked of the terminal or the disk, so that there is something to see at once.
    screen.draw(|frame| draw(frame, &app, &theme))?;
    let picker = pictures.picker();

    let (tell, messages) = channel();
    let (paint, painted) = channel();
    let (caption, captioned) = channel();
    let hands = Hands {
        root: root.clone(),
        tell: tell.clone(),
        paint,
        caption,
    };
    terminal::listen(tell.clone())?;
    terminal::listen_to_signals(tell.clone())?;
    let watcher = (root.clone(), tell.clone());
    spawn("watch", move || watch::watch(&watcher.0, &watcher.1))?;
    let painter = tell.clone();
    spawn("paint", move || painter::paint(&picker, &painted, &painter))?;
    let writer = (root.clone(), tell);
    spawn("caption", move || {
        captions::write(&writer.0, &captioned, &writer.1)
    })?;

    let mut drawn = Instant::now();
    while app.life == Life::GoesOn {
        let size = app.size;
        for effect in next_messages(&messages, &mut app, pace, drawn) {
            match effect {
                Effect::Suspend => {
                    screen.suspend()?;
                    let (columns, rows) = screen.size()?;
                    for effect in app.update(Message::Resized(columns, rows)) {
                        hands.carry_out(effect);
                    }
                }
                other => hands.carry_out(other),
            }
        }
        if app.size != size {
            screen.draw_anew()?;
        }
        screen.draw(|frame| draw(frame, &app, &theme))?;
        drawn = Instant::now();
    }
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work)?;
    Ok(())
}

/// Waits for something to happen, and takes it into account with all that happens until the next frame is due, which
/// is sooner after a key. The last frame was drawn at `drawn`.
fn next_messages(messages: &Receiver<Message>, app: &mut App, pace: Pace, drawn: Instant) -> Vec<Effect> {
    let mut effects = Vec::new();
    let Ok(mut message) = messages.recv() else {
        app.life = Life::Ends;
        return effects;
    };
    let mut due = drawn + pace.usual;
    loop {
        if is_pressing(&message) {
            due = drawn + pace.pressed;
        }
        effects.extend(app.update(message));
        if app.life == Life::Ends || matches!(effects.last(), Some(Effect::Suspend)) {
            return effects;
        }
        match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(next) => message = next,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return effects,
        }
    }
}

/// Whether somebody waits for what comes of it.
fn is_pressing(message: &Message) -> bool {
    matches!(
        message,
        Message::Key(_) | Message::Mouse(_) | Message::Paste(_) | Message::Resized(..) | Message::Quit
    )
}
