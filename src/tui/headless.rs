//! The workbench without a terminal, for benchmarks.

use super::view;
use super::{App, CharacterSet, Colors, Message, RunListing, Theme};
use crate::jobs::JobState;
use crate::jobs::Record;
use ratatui::Frame;

/// The Train tab with the charts of several running trainings.
#[doc(hidden)]
pub struct Headless {
    app: App,
    theme: Theme,
}

impl Headless {
    /// Overlays the charts of these runs on a terminal of this size, in columns and rows.
    pub fn overlaying(runs: &[&str], size: (u16, u16)) -> Self {
        let mut app = App::new(Default::default(), size);
        let listing = runs.iter().map(|name| RunListing {
            name: (*name).to_owned(),
            state: JobState::Running,
            note: None,
            last_active: None,
        });
        app.update(Message::Runs(listing.collect()));
        app.runs.marked.extend(runs.iter().map(|name| (*name).to_owned()));
        Self {
            app,
            theme: Theme::new(Colors::Sixteen, CharacterSet::Unicode),
        }
    }

    /// Appends records to the log of a run.
    pub fn append(&mut self, run: &str, records: Vec<Record>) {
        self.app.update(Message::Records {
            run: run.to_owned(),
            records: records.into(),
            percent_read: 100,
        });
    }

    /// Draws a frame.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        view::draw(frame, &self.app, &self.theme);
    }
}
