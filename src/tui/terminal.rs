//! The terminal: entered and left, put to sleep, listened to, and asked how it draws pictures.

use super::message::Message;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event,
    KeyEventKind,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::supports_keyboard_enhancement;
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, Frame};
use ratatui_image::picker::cap_parser::QueryStdioOptions;
use ratatui_image::picker::{Picker, ProtocolType};
use signal_hook::consts::{SIGHUP, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io::{self, Write, stdout};
use std::panic;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use tracing::{error, info};

/// How long a terminal that answers may take to say how it draws pictures; a connection may be slow.
const PATIENCE: Duration = Duration::from_millis(500);

/// Device Status Report, which every terminal answers.
const STATUS_QUERY: &[u8] = b"\x1b[5n";

/// The screen of the workbench.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over. A panic gives it back before it is told.
    pub(super) fn enter() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |why| {
            error!("{why}");
            let _ = disable_extras();
            told(why);
        }));
        enable_extras()?;
        let mut screen = Self { terminal };
        // What a workbench that was killed has left there is not what is thought to be there.
        screen.draw_anew()?;
        Ok(screen)
    }

    /// Draws everything with the next frame: the terminal may show something else than was drawn.
    ///
    /// Not with `clear`, which asks where the cursor is: the answer would go to the thread that listens for keys.
    pub(super) fn draw_anew(&mut self) -> io::Result<()> {
        let (columns, rows) = self.size()?;
        self.terminal.resize(Rect::new(0, 0, columns, rows))
    }

    /// Gives the terminal back as it was.
    pub(super) fn leave(self) -> io::Result<()> {
        let disabled = disable_extras();
        ratatui::try_restore().and(disabled)
    }

    /// Its columns and rows.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Draws a frame: what has changed since the last one.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
    }

    /// Gives the terminal back to the shell and sleeps, until the shell says to go on.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        disable_extras()?;
        self.terminal.show_cursor()?;
        ratatui::try_restore()?;
        emulate_default_handler(SIGTSTP)?;
        self.terminal = ratatui::try_init()?;
        enable_extras()?;
        self.draw_anew()
    }
}

fn enable_extras() -> io::Result<()> {
    execute!(stdout(), EnableMouseCapture, EnableBracketedPaste)
}

fn disable_extras() -> io::Result<()> {
    execute!(stdout(), DisableBracketedPaste, DisableMouseCapture)
}

/// Tells what comes from the terminal.
pub(super) fn listen(tell: Sender<Message>) -> io::Result<()> {
    thread::Builder::new().name("terminal".into()).spawn(move || {
        loop {
            let message = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Message::Key(key),
                Ok(Event::Mouse(mouse)) if is_of_use(mouse.kind) => Message::Mouse(mouse),
                Ok(Event::Paste(text)) => Message::Paste(text),
                Ok(Event::Resize(columns, rows)) => Message::Resized(columns, rows),
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

/// A mouse that is only moved changes nothing.
fn is_of_use(kind: event::MouseEventKind) -> bool {
    !matches!(kind, event::MouseEventKind::Moved | event::MouseEventKind::Up(_))
}

/// Tells of signals: to end, and to sleep.
pub(super) fn listen_to_signals(tell: Sender<Message>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGTSTP])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            info!(signal, "a signal came");
            let message = match signal {
                SIGTSTP => Message::Suspend,
                _ => Message::Quit,
            };
            if tell.send(message).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Whether the terminal answers at all, within two seconds. Keys that are pressed meanwhile are kept for later.
fn answers() -> bool {
    supports_keyboard_enhancement().is_ok()
}

/// Asks the terminal how it draws pictures.
fn ask() -> Picker {
    let options = QueryStdioOptions {
        timeout: PATIENCE,
        ..QueryStdioOptions::default()
    };
    let picker = Picker::from_query_stdio_with_options(options).unwrap_or_else(|_| Picker::halfblocks());
    if picker.capabilities().is_empty() {
        // Inside tmux the terminal around it may be silent. The thread that waits for it then takes whatever comes
        // next; let that be this answer, which tmux gives itself, and not a key.
        let _ = stdout().write_all(STATUS_QUERY).and_then(|()| stdout().flush());
    }
    picker
}

/// How images are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PictureProtocol {
    /// As the terminal answers that it can; with half-blocks where it does not answer.
    #[default]
    Asked,
    /// With characters alone; nothing is asked of the terminal.
    Characters,
}

impl PictureProtocol {
    /// What the terminal is drawn on with, once it has been asked. Not while the workbench is open.
    pub fn spoken(self) -> &'static str {
        match self.picker().protocol_type() {
            ProtocolType::Halfblocks => "half-blocks",
            ProtocolType::Sixel => "sixel",
            ProtocolType::Kitty => "kitty",
            ProtocolType::Iterm2 => "iterm2",
        }
    }

    /// Asks the terminal, where it is to be asked. Not while it is listened to: the answer comes as keys do.
    pub(super) fn picker(self) -> Picker {
        let picker = match self {
            Self::Asked if answers() => ask(),
            Self::Asked | Self::Characters => Picker::halfblocks(),
        };
        info!(protocol = ?picker.protocol_type(), "pictures");
        // Without a protocol the size of a character is a guess; half-blocks are twice as high as wide.
        match picker.protocol_type() {
            ProtocolType::Halfblocks => Picker::halfblocks(),
            _ => picker,
        }
    }
}
