//! The terminal: setup and restore, suspend, input, and detection of graphics protocols.

use super::{Message, spawn};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event,
    KeyEventKind,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    supports_keyboard_enhancement,
};
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, Frame, Terminal};
use ratatui_image::picker::cap_parser::QueryStdioOptions;
use ratatui_image::picker::{Picker, ProtocolType};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io::{self, Write, stdout};
use std::panic;
use std::sync::mpsc::Sender;
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
    /// it would be unreadable.
    pub fn enter() -> io::Result<Self> {
        // Not `ratatui::init`: its panic hook prints to standard error, which panics again once the terminal is gone.
        let terminal = set_up()?;
        let default_hook = panic::take_hook();
        panic::set_hook(Box::new(move |why| {
            error!("{why}");
            let _ = restore();
            default_hook(why);
        }));
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

    pub fn leave(mut self) -> io::Result<()> {
        if is_gone() {
            // Dropping the terminal would write to it, fail, and panic while reporting that.
            std::mem::forget(self);
            return Ok(());
        }
        self.terminal.show_cursor()?;
        restore()
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
        self.terminal.show_cursor()?;
        restore()?;
        emulate_default_handler(SIGTSTP)?;
        self.terminal = set_up()?;
        self.redraw_all()
    }
}

fn set_up() -> io::Result<DefaultTerminal> {
    enable_raw_mode()?;
    execute!(
        stdout(),
        EnterAlternateScreen,
        EnableMouseCapture,
        EnableBracketedPaste
    )?;
    Terminal::new(CrosstermBackend::new(stdout()))
}

fn restore() -> io::Result<()> {
    let restored = execute!(
        stdout(),
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        Show
    );
    disable_raw_mode().and(restored)
}

/// Whether the terminal has been closed.
pub fn is_gone() -> bool {
    hangs_up_within(Some(&Timespec::default()))
}

/// Waits until the terminal is closed. No SIGHUP says so in a container's `exec`, or under `nohup`.
fn hangs_up_within(timeout: Option<&Timespec>) -> bool {
    let stdin = io::stdin();
    // Without events to wait for, `poll` still reports a hang-up.
    let mut terminal = [PollFd::new(&stdin, PollFlags::empty())];
    while poll(&mut terminal, timeout) == Err(rustix::io::Errno::INTR) {}
    terminal[0]
        .revents()
        .intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Quits once the terminal is closed: the input thread does not notice, and would poll at full speed forever.
pub fn listen_to_hang_up(messages: Sender<Message>) -> io::Result<()> {
    spawn("hang-up", move || {
        if hangs_up_within(None) {
            info!("the terminal is closed");
            let _ = messages.send(Message::Quit);
        }
    })
}

pub fn listen(messages: Sender<Message>) -> io::Result<()> {
    spawn("terminal", move || {
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
    })
}

fn is_handled(kind: event::MouseEventKind) -> bool {
    !matches!(kind, event::MouseEventKind::Moved | event::MouseEventKind::Up(_))
}

pub fn listen_to_signals(messages: Sender<Message>) -> io::Result<()> {
    // All that would end the process by default: none may leave the terminal raw.
    let mut signals = Signals::new([
        SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGTSTP,
    ])?;
    spawn("signals", move || {
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
    })
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
        info!(protocol = ?picker.protocol_type(), "images");
        // Without a protocol the character size is a guess; half-blocks assume twice as high as wide.
        match picker.protocol_type() {
            ProtocolType::Halfblocks => Picker::halfblocks(),
            _ => picker,
        }
    }
}
