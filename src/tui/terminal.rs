//! The terminal: setup and restore, suspend, input, and detection of graphics protocols.

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

/// Time for a terminal to answer a graphics query; a connection may be slow.
const PATIENCE: Duration = Duration::from_millis(500);

/// Device Status Report, which every terminal answers.
const STATUS_QUERY: &[u8] = b"\x1b[5n";

pub struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Sets the terminal up. A panic restores it before its message is printed: in raw mode on the alternate screen
    /// nobody could read it.
    pub fn enter() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        let default_hook = panic::take_hook();
        panic::set_hook(Box::new(move |why| {
            error!("{why}");
            let _ = disable_extras();
            default_hook(why);
        }));
        enable_extras()?;
        let mut screen = Self { terminal };
        // A killed workbench may have left anything on the screen.
        screen.redraw_all()?;
        Ok(screen)
    }

    /// Makes the next frame redraw every cell: the terminal may show something else than the last frame. Not with
    /// `clear`, which queries the cursor position: the input thread would read the answer.
    pub fn redraw_all(&mut self) -> io::Result<()> {
        let (columns, rows) = self.size()?;
        self.terminal.resize(Rect::new(0, 0, columns, rows))
    }

    /// Restores the terminal.
    pub fn leave(self) -> io::Result<()> {
        let disabled = disable_extras();
        ratatui::try_restore().and(disabled)
    }

    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Draws a frame; only changed cells are written.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
    }

    /// Suspends to the shell until it continues the process. The order matters: the terminal is restored before
    /// SIGTSTP stops the process, and set up again after SIGCONT.
    pub fn suspend(&mut self) -> io::Result<()> {
        disable_extras()?;
        self.terminal.show_cursor()?;
        ratatui::try_restore()?;
        emulate_default_handler(SIGTSTP)?;
        self.terminal = ratatui::try_init()?;
        enable_extras()?;
        self.redraw_all()
    }
}

fn enable_extras() -> io::Result<()> {
    execute!(stdout(), EnableMouseCapture, EnableBracketedPaste)
}

fn disable_extras() -> io::Result<()> {
    execute!(stdout(), DisableBracketedPaste, DisableMouseCapture)
}

pub fn listen(messages: Sender<Message>) -> io::Result<()> {
    thread::Builder::new().name("terminal".into()).spawn(move || {
        loop {
            let message = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Message::Key(key),
                Ok(Event::Mouse(mouse)) if is_handled(mouse.kind) => Message::Mouse(mouse),
                Ok(Event::Paste(text)) => Message::Paste(text),
                Ok(Event::Resize(columns, rows)) => Message::Resized(columns, rows),
                Ok(_) => continue,
                // The terminal is closed.
                Err(_) => Message::Quit,
            };
            let is_last = matches!(message, Message::Quit);
            if messages.send(message).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(())
}

/// Mouse moves and button releases have no effect.
fn is_handled(kind: event::MouseEventKind) -> bool {
    !matches!(kind, event::MouseEventKind::Moved | event::MouseEventKind::Up(_))
}

pub fn listen_to_signals(messages: Sender<Message>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGTSTP])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            info!(signal, "signal received");
            let message = match signal {
                SIGTSTP => Message::Suspend,
                _ => Message::Quit,
            };
            if messages.send(message).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Whether the terminal answers a query within two seconds. Key presses meanwhile are kept.
fn answers_queries() -> bool {
    supports_keyboard_enhancement().is_ok()
}

fn query_picker() -> Picker {
    let options = QueryStdioOptions {
        timeout: PATIENCE,
        ..QueryStdioOptions::default()
    };
    let picker = Picker::from_query_stdio_with_options(options).unwrap_or_else(|_| Picker::halfblocks());
    if picker.capabilities().is_empty() {
        // Within tmux the outer terminal may not answer. The query thread of the library then swallows the next
        // input; let that be the answer to this query, which tmux gives itself, and not a key press.
        let _ = stdout().write_all(STATUS_QUERY).and_then(|()| stdout().flush());
    }
    picker
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageProtocol {
    /// The best protocol that the terminal reports; half-blocks if it does not answer.
    #[default]
    Detect,
    Characters,
}

impl ImageProtocol {
    /// The name of the detected protocol. Not while the workbench is open, whose input thread would read the answer.
    pub fn name(self) -> &'static str {
        match self.picker().protocol_type() {
            ProtocolType::Halfblocks => "half-blocks",
            ProtocolType::Sixel => "sixel",
            ProtocolType::Kitty => "kitty",
            ProtocolType::Iterm2 => "iterm2",
        }
    }

    /// Detects the protocol. Not while the input thread runs: it would read the terminal's answer as key presses.
    pub fn picker(self) -> Picker {
        let picker = match self {
            Self::Detect if answers_queries() => query_picker(),
            Self::Detect | Self::Characters => Picker::halfblocks(),
        };
        info!(protocol = ?picker.protocol_type(), "pictures");
        // Without a protocol the character size is a guess; half-blocks assume twice as high as wide.
        match picker.protocol_type() {
            ProtocolType::Halfblocks => Picker::halfblocks(),
            _ => picker,
        }
    }
}
