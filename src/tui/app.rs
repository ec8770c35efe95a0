//! The state of the workbench, and how messages change it. Nothing is read, written or drawn here.

use super::keys::{self, Action, Context};
use super::run_view::{Quantity, RunRow, RunView};
use crate::runs::Record;
use crate::runs::job::{Command, State, Status};
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use std::collections::BTreeMap;

/// The share of the range of steps by which it is moved, and what it is divided by to zoom.
const PAN: f64 = 0.25;
const ZOOM: u64 = 2;
/// The shortest range of steps that a chart shows.
const SHORTEST: u64 = 10;

/// A page of the workbench.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// A training as it goes on.
    #[default]
    Train,
    /// All runs.
    Runs,
}

impl Tab {
    /// All of them, from left to right.
    pub const ALL: [Self; 2] = [Self::Train, Self::Runs];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Train => "Train",
            Self::Runs => "Runs",
        }
    }

    /// Where its keys stand in the table.
    pub fn context(self) -> Context {
        match self {
            Self::Train => Context::Train,
            Self::Runs => Context::Runs,
        }
    }

    fn after(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// What lies over the tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Popup {
    /// The keys.
    Help,
    /// Whether something is to be done that cannot be undone.
    Confirm {
        /// The question.
        question: String,
        /// What is done if so.
        effect: Effect,
    },
    /// A new learning rate.
    LearningRate {
        /// What has been typed.
        typed: String,
    },
}

/// What the charts show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChartView {
    /// Which figure.
    pub quantity: Quantity,
    /// Of which steps; all of them if not said.
    pub range: Option<(u64, u64)>,
    /// The vertical axis.
    pub axis: Axis,
}

/// How values are laid out on an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// Evenly.
    #[default]
    Plain,
    /// By their logarithm.
    Logarithmic,
}

/// Something that has happened.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// The runs there are.
    Runs(Vec<RunRow>),
    /// What the log of the run that is followed tells.
    Records {
        /// The run.
        run: String,
        /// What is new.
        records: Vec<Record>,
    },
    /// What the run that is followed is at.
    Status {
        /// The run.
        run: String,
        /// Its state.
        state: State,
    },
    /// What came of an effect.
    Done(Result<String, String>),
    /// The process is to end.
    Quit,
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Follow the log of this run from now on.
    Follow(String),
    /// Leave a command for a run.
    Control {
        /// The run.
        run: String,
        /// The command.
        command: Command,
    },
    /// Start a trainer that goes on with a run.
    TakeUp(String),
    /// Remove a run.
    Remove(String),
}

/// The state of the workbench.
#[derive(Clone, Debug)]
pub struct App {
    /// The page that is shown.
    pub tab: Tab,
    /// The runs there are; none until they have been looked for.
    pub runs: Option<Vec<RunRow>>,
    /// Which of them is selected.
    pub selected: usize,
    /// The run that is looked at.
    pub open: Option<RunView>,
    /// What lies over the page.
    pub popup: Option<Popup>,
    /// What came of the last thing that was done.
    pub notice: Option<Result<String, String>>,
    /// What the charts show.
    pub chart: ChartView,
    /// Whether it goes on.
    pub life: Life,
}

/// Whether the workbench goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It does.
    GoesOn,
    /// It ends.
    Ends,
}

impl Default for App {
    fn default() -> Self {
        Self {
            tab: Tab::default(),
            runs: None,
            selected: 0,
            open: None,
            popup: None,
            notice: None,
            chart: ChartView {
                quantity: Quantity::Loss,
                range: None,
                axis: Axis::Plain,
            },
            life: Life::GoesOn,
        }
    }
}

impl App {
    /// Takes a message into account. What is returned is to be done outside.
    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        match message {
            Message::Key(key) => return self.press(key),
            Message::Resized => {}
            Message::Runs(runs) => return self.list(runs),
            Message::Records { run, records } => {
                if let Some(view) = self.open_run(&run) {
                    records.iter().for_each(|record| view.take(record));
                }
            }
            Message::Status { run, state } => {
                if let Some(view) = self.open_run(&run) {
                    view.state = Some(state);
                }
            }
            Message::Done(result) => self.notice = Some(result),
            Message::Quit => self.life = Life::Ends,
        }
        Vec::new()
    }

    /// The run that is selected in the list.
    pub fn selected_run(&self) -> Option<&RunRow> {
        self.runs.as_ref()?.get(self.selected)
    }

    /// The range of steps that the chart shows.
    pub fn chart_range(&self) -> Option<(u64, u64)> {
        self.chart.range.or_else(|| self.open.as_ref()?.range())
    }

    fn open_run(&mut self, name: &str) -> Option<&mut RunView> {
        self.open.as_mut().filter(|view| view.name == name)
    }

    fn list(&mut self, runs: Vec<RunRow>) -> Vec<Effect> {
        let selected = self.selected_run().map(|row| row.name.clone());
        let at = |name: &String| runs.iter().position(|row| row.name == *name);
        let last = runs.len().saturating_sub(1);
        self.selected = selected.as_ref().and_then(at).unwrap_or(self.selected.min(last));
        let is_open = self.open.as_ref().is_some_and(|view| at(&view.name).is_some());
        // What somebody comes back for is what is being trained, or was last.
        let first = match is_open {
            true => None,
            false => most_interesting(&runs),
        };
        self.runs = Some(runs);
        match first {
            Some(at) => {
                self.selected = at;
                self.look_at_selected()
            }
            None if is_open => Vec::new(),
            None => {
                self.open = None;
                Vec::new()
            }
        }
    }

    fn look_at_selected(&mut self) -> Vec<Effect> {
        let Some(name) = self.selected_run().map(|row| row.name.clone()) else {
            return Vec::new();
        };
        self.look_at(&name)
    }

    /// Looks at the run of that name.
    pub fn look_at(&mut self, name: &str) -> Vec<Effect> {
        if self.open.as_ref().is_some_and(|view| view.name == name) {
            return Vec::new();
        }
        self.open = Some(RunView::new(name));
        self.chart.range = None;
        vec![Effect::Follow(name.to_owned())]
    }

    fn press(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.notice = None;
        match self.popup.take() {
            None => match keys::action(self.tab.context(), key) {
                Some(action) => self.act(action),
                None => Vec::new(),
            },
            Some(Popup::Help) => Vec::new(),
            Some(Popup::Confirm { effect, .. }) => match key.code {
                KeyCode::Char('y') | KeyCode::Enter => vec![effect],
                _ => Vec::new(),
            },
            Some(Popup::LearningRate { typed }) => self.type_rate(typed, key),
        }
    }

    fn type_rate(&mut self, mut typed: String, key: KeyEvent) -> Vec<Effect> {
        match key.code {
            KeyCode::Esc => return Vec::new(),
            KeyCode::Enter => {
                let settings = BTreeMap::from([("lr".to_owned(), typed)]);
                return self.control(Command::Set { settings });
            }
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Char(letter) if letter.is_ascii_digit() || "eE.-+".contains(letter) => {
                typed.push(letter)
            }
            _ => {}
        }
        self.popup = Some(Popup::LearningRate { typed });
        Vec::new()
    }

    fn act(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Quit => self.life = Life::Ends,
            Action::Help => self.popup = Some(Popup::Help),
            Action::NextTab => self.tab = self.tab.after(1),
            Action::PreviousTab => self.tab = self.tab.after(Tab::ALL.len() - 1),
            Action::ShowTrain => self.tab = Tab::Train,
            Action::ShowRuns => self.tab = Tab::Runs,
            Action::Up => return self.select(self.selected.saturating_sub(1)),
            Action::Down => return self.select(self.selected + 1),
            Action::First => return self.select(0),
            Action::Last => return self.select(usize::MAX),
            Action::Open => {
                self.tab = Tab::Train;
                return self.look_at_selected();
            }
            Action::PauseOrResume => return self.control(self.pause_or_resume()),
            Action::Checkpoint => return self.control(Command::Checkpoint),
            Action::Evaluate => return self.control(Command::Evaluate),
            Action::Sample => return self.control(Command::Sample),
            Action::LearningRate => self.ask_for_rate(),
            Action::Stop => self.ask_to_stop(),
            Action::TakeUp => return self.take_up(),
            Action::Remove => self.ask_to_remove(),
            Action::NextChart => self.chart.quantity = self.chart.quantity.after(1),
            Action::PreviousChart => self.chart.quantity = self.chart.quantity.after(-1),
            Action::LogAxis => {
                self.chart.axis = match self.chart.axis {
                    Axis::Plain => Axis::Logarithmic,
                    Axis::Logarithmic => Axis::Plain,
                }
            }
            Action::ZoomIn => self.zoom(|length| length / ZOOM),
            Action::ZoomOut => self.zoom(|length| length * ZOOM),
            Action::Earlier => self.pan(-PAN),
            Action::Later => self.pan(PAN),
            Action::WholeRange => self.chart.range = None,
        }
        Vec::new()
    }

    /// Selects a run; in the tab of a training that means to look at it.
    fn select(&mut self, at: usize) -> Vec<Effect> {
        let last = self.runs.as_ref().map_or(0, Vec::len).saturating_sub(1);
        self.selected = at.min(last);
        match self.tab {
            Tab::Train => self.look_at_selected(),
            Tab::Runs => Vec::new(),
        }
    }

    /// The run that keys are about: the one that is looked at, or the selected one.
    fn target(&self) -> Option<(String, State)> {
        match self.tab {
            Tab::Train => {
                let view = self.open.as_ref()?;
                // Before its log is read, what the list says of it.
                let listed = || {
                    let row = self.runs.as_ref()?.iter().find(|row| row.name == view.name)?;
                    Some(row.status.state)
                };
                Some((view.name.clone(), view.state.or_else(listed)?))
            }
            Tab::Runs => {
                let row = self.selected_run()?;
                Some((row.name.clone(), row.status.state))
            }
        }
    }

    /// The run that keys are about, if somebody works on it; otherwise that is said.
    fn live_target(&mut self) -> Option<String> {
        let (name, state) = self.target()?;
        if state.is_live() {
            return Some(name);
        }
        self.notice = Some(Err(format!("{name} is {}: u takes it up again", state.name())));
        None
    }

    fn control(&mut self, command: Command) -> Vec<Effect> {
        match self.live_target() {
            Some(run) => vec![Effect::Control { run, command }],
            None => Vec::new(),
        }
    }

    fn pause_or_resume(&self) -> Command {
        match self.target() {
            Some((_, State::Paused)) => Command::Resume,
            _ => Command::Pause,
        }
    }

    fn ask_for_rate(&mut self) {
        if self.live_target().is_some() {
            let typed = String::new();
            self.popup = Some(Popup::LearningRate { typed });
        }
    }

    fn ask_to_stop(&mut self) {
        if let Some(run) = self.live_target() {
            self.popup = Some(Popup::Confirm {
                question: format!("Save and end the training of {run}?"),
                effect: Effect::Control {
                    run,
                    command: Command::Stop,
                },
            });
        }
    }

    fn ask_to_remove(&mut self) {
        match self.target() {
            Some((run, state)) if state.is_live() => {
                self.notice = Some(Err(format!("{run} is {}: stop it first", state.name())));
            }
            Some((run, _)) => {
                self.popup = Some(Popup::Confirm {
                    question: format!("Remove {run} with all its checkpoints?"),
                    effect: Effect::Remove(run),
                });
            }
            None => {}
        }
    }

    fn take_up(&mut self) -> Vec<Effect> {
        match self.target() {
            Some((run, state)) if state.is_live() => {
                self.notice = Some(Err(format!("{run} is {} already", state.name())));
                Vec::new()
            }
            Some((run, _)) => vec![Effect::TakeUp(run)],
            None => Vec::new(),
        }
    }

    fn zoom(&mut self, change: impl Fn(u64) -> u64) {
        let whole = self.open.as_ref().and_then(RunView::range);
        let (Some((first, last)), Some((begin, end))) = (self.chart_range(), whole) else {
            return;
        };
        let length = change(last - first).max(SHORTEST);
        if length >= end - begin {
            self.chart.range = None;
            return;
        }
        // About the later end, where what happens is.
        let first = last.saturating_sub(length).max(begin);
        self.chart.range = Some((first, first + length));
    }

    fn pan(&mut self, share: f64) {
        let whole = self.open.as_ref().and_then(RunView::range);
        let (Some((first, last)), Some((begin, end))) = (self.chart.range, whole) else {
            return;
        };
        let length = last - first;
        let moved = first as f64 + share * length as f64;
        let first = (moved.max(begin as f64) as u64).min(end.saturating_sub(length));
        self.chart.range = Some((first, first + length));
    }
}

/// Where the run is that somebody wants to see first: one that is being trained, or else the one last worked on.
fn most_interesting(runs: &[RunRow]) -> Option<usize> {
    let rank = |status: &Status| {
        let time = status.summary.last_time.unwrap_or(0.0);
        (status.state.is_live(), time)
    };
    (0..runs.len()).max_by(|&one, &other| {
        let (one, other) = (rank(&runs[one].status), rank(&runs[other].status));
        one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
    })
}
