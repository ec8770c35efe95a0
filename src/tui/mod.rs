//! The workbench: looks at runs and steers them. It computes nothing heavy: it reads what jobs write, and leaves
//! control files, so it may be closed, killed or disconnected at any moment, and opened several times over.
//!
//! ```text
//! keys, size  --+                        +--> draw
//! runs' logs  --+--> Message -> App -----+
//! outcomes    --+                        +--> Effect -> control files, new trainers
//! ```

pub mod app;
pub mod keys;
mod run_view;
mod series;
mod tabs;
#[cfg(test)]
mod tests;
pub mod theme;
mod view;
mod watch;
mod widgets;

use crate::runs::Root;
use crate::runs::job::{Command, ask};
use app::{App, Effect, Life, Message};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use theme::Theme;

pub use view::draw;

/// The least time between two frames, unless a key was pressed.
const BETWEEN_FRAMES: Duration = Duration::from_millis(100);
/// How long a job may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens the workbench on the runs under `root`, at the run of a name if one is given, until the user leaves it.
///
/// # Errors
/// Those of the terminal, which is put back as it was in any case.
pub fn open(root: &Root, at: Option<&str>, theme: &Theme) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let result = run(&mut terminal, root, at, theme);
    let restored = ratatui::try_restore();
    result.and(restored)
}

fn run(terminal: &mut DefaultTerminal, root: &Root, at: Option<&str>, theme: &Theme) -> io::Result<()> {
    let (tell, messages) = channel();
    let (follow, followed) = channel();
    listen_to_terminal(tell.clone())?;
    listen_to_signals(tell.clone())?;
    let watcher = (root.clone(), tell.clone());
    thread::Builder::new()
        .name("watch".into())
        .spawn(move || watch::watch(&watcher.0, &followed, &watcher.1))?;
    let hands = Hands { root, follow, tell };
    let mut app = App::default();
    if let Some(name) = at {
        for effect in app.look_at(name) {
            hands.carry_out(effect);
        }
    }
    while app.life == Life::GoesOn {
        terminal.draw(|frame| draw(frame, &app, theme))?;
        for effect in next_messages(&messages, &mut app) {
            hands.carry_out(effect);
        }
    }
    Ok(())
}

/// Waits for something to happen, and takes it into account with all that happens until the next frame is due: at
/// once after a key.
fn next_messages(messages: &Receiver<Message>, app: &mut App) -> Vec<Effect> {
    let mut effects = Vec::new();
    let Ok(first) = messages.recv() else {
        app.life = Life::Ends;
        return effects;
    };
    let due = Instant::now() + BETWEEN_FRAMES;
    let mut message = first;
    loop {
        let is_key = matches!(message, Message::Key(_) | Message::Resized | Message::Quit);
        effects.extend(app.update(message));
        if is_key {
            return effects;
        }
        match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(next) => message = next,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return effects,
        }
    }
}

fn listen_to_terminal(tell: Sender<Message>) -> io::Result<()> {
    thread::Builder::new().name("terminal".into()).spawn(move || {
        loop {
            let message = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Message::Key(key),
                Ok(Event::Resize(..)) => Message::Resized,
                Ok(_) => continue,
                // The terminal is gone.
                Err(_) => Message::Quit,
            };
            let is_last = matches!(message, Message::Quit);
            if tell.send(message).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(())
}

fn listen_to_signals(tell: Sender<Message>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            let _ = tell.send(Message::Quit);
        }
    })?;
    Ok(())
}

/// What the workbench does outside.
struct Hands<'a> {
    root: &'a Root,
    follow: Sender<String>,
    tell: Sender<Message>,
}

impl Hands<'_> {
    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Follow(run) => {
                // Without a watcher there is nothing to follow.
                let _ = self.follow.send(run);
            }
            Effect::Control { run, command } => self.in_background(move |root| control(root, &run, &command)),
            Effect::TakeUp(run) => self.in_background(move |root| take_up(root, &run)),
            Effect::Remove(run) => self.in_background(move |root| remove(root, &run)),
        }
    }

    /// Does what may take a moment, and tells what came of it.
    fn in_background(&self, work: impl FnOnce(&Root) -> Result<String, String> + Send + 'static) {
        let (root, tell) = (self.root.clone(), self.tell.clone());
        thread::spawn(move || {
            let _ = tell.send(Message::Done(work(&root)));
        });
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn control(root: &Root, run: &str, command: &Command) -> Result<String, String> {
    let run = root.find_run(run).map_err(told)?;
    let answer = ask(&run.job(), command, PATIENCE).map_err(told)?;
    Ok(answer.to_string())
}

fn take_up(root: &Root, name: &str) -> Result<String, String> {
    let run = root.find_run(name).map_err(told)?;
    let process = run.take_up(&[]).map_err(told)?;
    Ok(format!("{name} goes on in process {}", process.pid))
}

fn remove(root: &Root, name: &str) -> Result<String, String> {
    root.find_run(name).and_then(|run| run.remove()).map_err(told)?;
    Ok(format!("{name} is removed"))
}
