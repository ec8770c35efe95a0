//! The program on a pseudo-terminal: tests press keys and read the screen.
//!
//! A thread reads the program's output, so that neither the program nor a test blocks on it. The terminal has 256 colors
//! and no graphics protocol, unless a test chooses other [`Manners`].

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

/// Far longer than any wait.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// A screen without changes for this time is stable.
const REST: Duration = Duration::from_millis(500);
/// The interval in which the reader checks whether the line was cut.
const BETWEEN_CHECKS: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// A terminal's size in columns and rows.
pub(crate) type Size = (u16, u16);

/// The classic size.
pub(crate) const USUAL: Size = (80, 24);
/// A cell of an image, in texts of the screen.
pub(crate) const IMAGE: &str = "▒";

/// How a terminal answers queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    Answers,
    IsSilent,
    /// It reports kitty's graphics protocol.
    DrawsAsKitty,
    /// It reports sixels.
    DrawsSixels,
}

/// The query for kitty's protocol, and the answer.
const KITTY: (&[u8], &[u8]) = (b"\x1b_Gi=31", b"\x1b_Gi=31;OK\x1b\\");
/// The attributes of a terminal that draws sixels.
const SIXELS: &[u8] = b"\x1b[?62;4;c";
/// Those of a terminal without.
const PLAIN: &[u8] = b"\x1b[?62;c";

/// A program on a terminal; dropping it kills the program.
pub(crate) struct Screen {
    child: Box<dyn Child + Send + Sync>,
    line: Option<Line>,
    terminal: Arc<Terminal>,
    modes: LocalModes,
}

impl Screen {
    /// Starts a program on a terminal of this size, with its own variables, `PATH` and `TERM`.
    pub(crate) fn open(command: &Command, size: Size) -> Self {
        Self::open_at(command, size, Manners::Answers)
    }

    /// The same, with these answers to queries.
    pub(crate) fn open_at(command: &Command, size: Size, manners: Manners) -> Self {
        let pair = native_pty_system().openpty(pty_size(size)).unwrap();
        let line = Line::new(pair.master);
        let modes = line.modes();
        let terminal = Arc::new(Terminal::new(size, manners));
        let child = pair.slave.spawn_command(at_terminal(command)).unwrap();
        let line = line.read_into(&terminal);
        Self {
            child,
            line: Some(line),
            terminal,
            modes,
        }
    }

    /// Presses keys: characters, or names such as `<Enter>` or `<Ctrl-C>`. A key right after `<Esc>` is a key with Alt.
    pub(crate) fn press(&self, keys: &str) {
        self.line().write(&bytes_of(keys));
    }

    /// Waits until the screen shows this text, within a row.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        self.waits_until(&format!("{text:?} to show"), |screen| shows(screen, text));
    }

    /// Waits until no row of the screen shows this text.
    #[track_caller]
    pub(crate) fn no_longer_shows(&self, text: &str) {
        self.waits_until(&format!("{text:?} to go"), |screen| !shows(screen, text));
    }

    /// Waits until `is_so`.
    #[track_caller]
    pub(crate) fn waits_until(&self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let came = self.terminal.wait(TIMEOUT, |seen| is_so(seen.parser.screen()));
        assert!(came, "waited a minute for {what}:\n{}", self.framed());
    }

    /// Waits until these bytes were sent to a terminal with graphics.
    #[track_caller]
    pub(crate) fn is_sent(&self, bytes: &[u8]) {
        let came = self.terminal.wait(TIMEOUT, |seen| contains(&seen.sent, bytes));
        assert!(came, "waited a minute for {bytes:?}:\n{}", self.framed());
    }

    /// The rows of the screen once they are stable.
    #[track_caller]
    pub(crate) fn rests(&self) -> Vec<String> {
        let since = Instant::now();
        loop {
            let shown = self.text();
            let is_other = |seen: &Seen| rows(seen.parser.screen()) != shown;
            if !self.terminal.wait(REST, is_other) {
                return shown;
            }
            assert!(
                since.elapsed() < TIMEOUT,
                "no rest in a minute:\n{}",
                self.framed()
            );
        }
    }

    /// The rows of the screen, without trailing blanks.
    pub(crate) fn text(&self) -> Vec<String> {
        self.terminal.look(|seen| rows(seen.parser.screen()))
    }

    /// Every cell of the screen with its colors; blanks have no foreground color.
    pub(crate) fn cells(&self) -> Vec<(String, vt100::Color, vt100::Color, Ink)> {
        self.terminal.look(|seen| {
            let (rows, columns) = seen.parser.screen().size();
            let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            let cells = places.filter_map(|(row, column)| seen.parser.screen().cell(row, column));
            cells.map(colored).collect()
        })
    }

    /// Bytes written by the program.
    pub(crate) fn bytes(&self) -> u64 {
        self.terminal.look(|seen| seen.bytes)
    }

    pub(crate) fn resize(&self, size: Size) {
        let (columns, rows) = size;
        self.terminal
            .change(|seen| seen.parser.screen_mut().set_size(rows, columns));
        self.line().master.resize(pty_size(size)).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills the program (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Waits until the program is suspended and the terminal restored.
    #[track_caller]
    pub(crate) fn sleeps(&self) {
        self.waits_until("the terminal to be given back", |screen| {
            !screen.alternate_screen() && !screen.hide_cursor()
        });
        let since = Instant::now();
        while !is_stopped(self.pid()) {
            assert!(since.elapsed() < TIMEOUT, "no sleep in a minute");
            thread::sleep(POLL_INTERVAL);
        }
        assert_eq!(self.line().modes(), self.modes);
    }

    /// Closes the terminal, and waits for the program to end.
    #[track_caller]
    pub(crate) fn hang_up(&mut self) {
        if let Some(line) = self.line.take() {
            line.cut();
        }
        self.wait();
    }

    /// Waits for the program to end with this exit code.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, code: u32) {
        let status = self.wait();
        assert!(
            status.signal().is_none() && status.exit_code() == code,
            "{status}:\n{}",
            self.framed()
        );
    }

    /// Checks that the terminal is restored: main screen, cursor, line mode.
    #[track_caller]
    pub(crate) fn assert_restored(&self) {
        let is_whole = self.terminal.wait(TIMEOUT, |seen| seen.is_over);
        assert!(is_whole, "the terminal is still written to");
        let (is_usual, has_cursor) = self.terminal.look(|seen| {
            let screen = seen.parser.screen();
            (!screen.alternate_screen(), !screen.hide_cursor())
        });
        assert!(is_usual, "on the screen of the program:\n{}", self.framed());
        assert!(has_cursor, "without a cursor:\n{}", self.framed());
        assert_eq!(self.line().modes(), self.modes);
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                since.elapsed() < TIMEOUT,
                "no end in a minute:\n{}",
                self.framed()
            );
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn line(&self) -> &Line {
        self.line.as_ref().unwrap()
    }

    /// The screen, for messages.
    fn framed(&self) -> String {
        let rows: Vec<String> = self.text().iter().map(|row| format!("|{row}\n")).collect();
        rows.concat()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(line) = self.line.take() {
            line.cut();
        }
    }
}

fn shows(screen: &vt100::Screen, text: &str) -> bool {
    rows(screen).iter().any(|row| row.contains(text))
}

/// The rows of a screen, without trailing blanks.
pub(crate) fn rows(screen: &vt100::Screen) -> Vec<String> {
    let (rows, columns) = screen.size();
    let text = |row| -> String {
        let cells = (0..columns).filter_map(|column| screen.cell(row, column));
        cells
            .filter(|cell| !cell.is_wide_continuation())
            .map(letters)
            .collect()
    };
    (0..rows).map(|row| text(row).trim_end().to_owned()).collect()
}

fn letters(cell: &vt100::Cell) -> &str {
    // Only images have a background beyond the first 16 colors.
    let is_of_image = matches!(cell.bgcolor(), vt100::Color::Idx(16..));
    match cell.contents() {
        " " | "▀" | "▄" if is_of_image => IMAGE,
        "" => " ",
        letters => letters,
    }
}

/// Whether foreground and background are swapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Usual,
    Swapped,
}

fn colored(cell: &vt100::Cell) -> (String, vt100::Color, vt100::Color, Ink) {
    let text = letters(cell).to_owned();
    let ink = match cell.inverse() {
        true => Ink::Swapped,
        false => Ink::Usual,
    };
    let front = match text.as_str() {
        " " => vt100::Color::Default,
        _ => cell.fgcolor(),
    };
    (text, front, cell.bgcolor(), ink)
}

/// Whether a process is stopped.
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The state comes after the name, which may contain anything.
    let (_, behind) = stat.rsplit_once(") ").unwrap();
    behind.starts_with('T')
}

fn pty_size((columns, rows): Size) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        ..PtySize::default()
    }
}

/// The same command with its own environment, without that of the tests' terminal.
fn at_terminal(command: &Command) -> CommandBuilder {
    let mut at_terminal = CommandBuilder::new(command.get_program());
    at_terminal.args(command.get_args());
    let here = || std::env::current_dir().unwrap();
    at_terminal.cwd(command.get_current_dir().map_or_else(here, Into::into));
    at_terminal.env_clear();
    at_terminal.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    at_terminal.env("TERM", "xterm-256color");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => at_terminal.env(name, value),
            None => at_terminal.env_remove(name),
        }
    }
    at_terminal
}

/// The user's end of a pseudo-terminal.
struct Line {
    master: Box<dyn MasterPty + Send>,
    near: Arc<OwnedFd>,
    is_cut: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Line {
    fn new(master: Box<dyn MasterPty + Send>) -> Self {
        let near = master.as_raw_fd().unwrap();
        // SAFETY: `master` keeps it open.
        let near = unsafe { BorrowedFd::borrow_raw(near) };
        Self {
            near: Arc::new(near.try_clone_to_owned().unwrap()),
            master,
            is_cut: Arc::default(),
            reader: None,
        }
    }

    /// Starts a thread that reads the output until the program ends or the line is cut.
    fn read_into(mut self, terminal: &Arc<Terminal>) -> Self {
        let reader = Reader {
            near: Arc::clone(&self.near),
            is_cut: Arc::clone(&self.is_cut),
            terminal: Arc::clone(terminal),
        };
        self.reader = Some(thread::spawn(move || reader.read()));
        self
    }

    fn write(&self, bytes: &[u8]) {
        write(&self.near, bytes).unwrap();
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.near).unwrap().local_modes
    }

    fn cut(mut self) {
        self.is_cut.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn write(near: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::write(near, bytes)?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Reads a line to its end.
struct Reader {
    near: Arc<OwnedFd>,
    is_cut: Arc<AtomicBool>,
    terminal: Arc<Terminal>,
}

impl Reader {
    fn read(&self) {
        let mut written = vec![0; 1 << 16];
        while self.waits_for_more() {
            // A terminal that no process has open returns an error.
            let Ok(read @ 1..) = rustix::io::read(&*self.near, &mut written) else {
                break;
            };
            let answers = self.terminal.change(|seen| seen.take(&written[..read]));
            if write(&self.near, &answers).is_err() {
                break;
            }
        }
        self.terminal.change(|seen| seen.is_over = true);
    }

    /// Waits for output; false once the line was cut.
    fn waits_for_more(&self) -> bool {
        loop {
            if self.is_cut.load(Ordering::Relaxed) {
                return false;
            }
            let mut line = [PollFd::new(&*self.near, PollFlags::IN)];
            if matches!(poll(&mut line, Some(&BETWEEN_CHECKS)), Ok(1..)) {
                return true;
            }
        }
    }
}

/// A terminal's screen, and a signal for changes.
struct Terminal {
    seen: Mutex<Seen>,
    news: Condvar,
}

impl Terminal {
    fn new((columns, rows): Size, manners: Manners) -> Self {
        let seen = Seen {
            parser: vt100::Parser::new_with_callbacks(rows, columns, 0, Answers::default()),
            manners,
            bytes: 0,
            sent: Vec::new(),
            is_over: false,
        };
        Self {
            seen: Mutex::new(seen),
            news: Condvar::new(),
        }
    }

    fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let changed = change(&mut self.seen.lock().unwrap());
        self.news.notify_all();
        changed
    }

    /// Whether `is_so` became true in time.
    fn wait(&self, patience: Duration, is_so: impl Fn(&Seen) -> bool) -> bool {
        let seen = self.seen.lock().unwrap();
        let waited = self.news.wait_timeout_while(seen, patience, |seen| !is_so(seen));
        !waited.unwrap().1.timed_out()
    }
}

/// The output, as a terminal interprets it.
struct Seen {
    parser: vt100::Parser<Answers>,
    manners: Manners,
    bytes: u64,
    /// All bytes, if the terminal has graphics, which the screen does not show.
    sent: Vec<u8>,
    is_over: bool,
}

fn contains(bytes: &[u8], sought: &[u8]) -> bool {
    bytes.windows(sought.len()).any(|window| window == sought)
}

impl Seen {
    /// Interprets output. Returns the terminal's answers.
    fn take(&mut self, written: &[u8]) -> Vec<u8> {
        self.bytes += written.len() as u64;
        self.parser.process(written);
        let answers = std::mem::take(&mut self.parser.callbacks_mut().0);
        match self.manners {
            Manners::Answers => answers,
            Manners::IsSilent => Vec::new(),
            Manners::DrawsAsKitty => {
                self.sent.extend(written);
                let (question, answer) = KITTY;
                let first = if contains(written, question) { answer } else { &[] };
                [first, &answers].concat()
            }
            Manners::DrawsSixels => {
                self.sent.extend(written);
                match answers.strip_prefix(PLAIN) {
                    Some(rest) => [SIXELS, rest].concat(),
                    None => answers,
                }
            }
        }
    }
}

/// Answers to queries. Those for graphics and keyboard protocols have none, as on terminals without them.
#[derive(Default)]
struct Answers(Vec<u8>);

impl vt100::Callbacks for Answers {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        mark: Option<u8>,
        _: Option<u8>,
        parameters: &[&[u16]],
        asked: char,
    ) {
        let answer = match (mark, asked, parameters) {
            (None, 'c', _) => String::from_utf8_lossy(PLAIN).into_owned(),
            (None, 'n', [[5]]) => "\x1b[0n".to_owned(),
            (None, 'n', [[6]]) => {
                let (row, column) = screen.cursor_position();
                format!("\x1b[{};{}R", row + 1, column + 1)
            }
            (None, 't', [[16]]) => "\x1b[6;20;10t".to_owned(),
            _ => return,
        };
        self.0.extend(answer.into_bytes());
    }
}

/// The bytes of keys.
fn bytes_of(keys: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = keys;
    while let Some(first) = rest.chars().next() {
        let named = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        rest = match named {
            Some((name, after)) => {
                bytes.extend(bytes_of_named(name));
                after
            }
            None => {
                bytes.extend(first.to_string().into_bytes());
                &rest[first.len_utf8()..]
            }
        };
    }
    bytes
}

fn bytes_of_named(name: &str) -> Vec<u8> {
    let known = match name {
        "Enter" => "\r",
        "Esc" => "\x1b",
        "Tab" => "\t",
        "Shift-Tab" => "\x1b[Z",
        "Backspace" => "\x7f",
        "Up" => "\x1b[A",
        "Down" => "\x1b[B",
        "Right" => "\x1b[C",
        "Left" => "\x1b[D",
        "Home" => "\x1b[H",
        "End" => "\x1b[F",
        "PageUp" => "\x1b[5~",
        "PageDown" => "\x1b[6~",
        "Delete" => "\x1b[3~",
        "F1" => "\x1bOP",
        _ => {
            let letter = name.strip_prefix("Ctrl-").map(str::as_bytes);
            let Some([letter @ b'A'..=b'Z']) = letter else {
                panic!("no key is named {name}");
            };
            return vec![letter - b'A' + 1];
        }
    };
    known.as_bytes().to_vec()
}
