//! The workbench at a real terminal: what is pressed reaches the training, and losing the workbench does not.

use rustix::termios::{Winsize, tcsetwinsize};

use super::connection::Connection;
use super::log::Log;
use super::process::{Running, wait_until};
use super::support::{Place, train, words};
use super::{ENDLESS, state};

/// What a terminal is told to show what stood there before a full-screen program.
const LEAVES: &str = "\u{1b}[?1049l";

/// The workbench, and the terminal it is drawn on.
struct Workbench {
    process: Running,
    connection: Connection,
    printed: Vec<u8>,
}

impl Workbench {
    fn open(place: &Place, arguments: &[&str]) -> Self {
        let connection = Connection::open();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(connection.near(), size).unwrap();
        let mut command = place.command(arguments);
        command.env("TERM", "xterm-256color");
        let process = connection.start(command, connection.terminal());
        Self {
            process,
            connection,
            printed: Vec::new(),
        }
    }

    /// Waits until this has been drawn.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        wait_until("not shown", || {
            self.printed.extend(self.connection.take_printed());
            String::from_utf8_lossy(&self.printed).contains(text)
        });
    }

    fn press(&self, keys: &str) {
        rustix::io::write(self.connection.near(), keys.as_bytes()).unwrap();
    }

    /// Waits for this event while the screen goes on being drawn.
    #[track_caller]
    fn awaits(&mut self, log: &mut Log, what: &str, count: usize) {
        wait_until("no such event", || {
            self.printed.extend(self.connection.take_printed());
            let told = log.read().iter();
            told.filter(|event| event["event"] == what).count() >= count
        });
    }
}

#[test]
fn a_training_is_steered_from_one_workbench_and_then_another() {
    let place = Place::with_scenes();
    let mut detached = train("first", ENDLESS);
    detached.push("--detach".into());
    place.succeeds(&words(&detached));
    let mut log = Log::new(place.run_directory("first").job().events());

    let mut first = Workbench::open(&place, &[]);
    first.shows("first");
    first.press("p");
    first.awaits(&mut log, "control", 1);
    assert_eq!(state(&place, "first"), "paused");
    // The connection is lost; what was asked for stays so.
    let Workbench {
        mut process,
        connection,
        ..
    } = first;
    drop(connection);
    process.wait();
    assert_eq!(state(&place, "first"), "paused");

    let mut second = Workbench::open(&place, &["attach", "first"]);
    second.shows("paused");
    second.press("p");
    second.awaits(&mut log, "control", 2);
    log.wait_for_steps(10);
    second.press("w");
    second.awaits(&mut log, "control", 3);
    second.press("xy");
    second.awaits(&mut log, "end", 1);
    log.assert_ended("stopped");
    second.press("q");
    second.process.ends_with(0);
    second.shows(LEAVES);
    let asked: Vec<String> = log
        .read()
        .iter()
        .filter(|event| event["event"] == "control")
        .map(|event| event["command"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked, ["pause", "resume", "checkpoint", "stop"]);
}
