//! The state of the workbench, and how messages change it. Nothing is read, written or drawn here.

use super::form::{Fault, Form, Pressed};
use super::forms::prepare::SOURCE;
use super::forms::{Purpose, Submission};
use super::keymap::Keymap;
use super::keys::{Action, Context};
use super::message::{Effect, MachineLoad, Message};
use super::pages::data::DataPage;
use super::pages::evaluate::EvaluatePage;
use super::pages::gallery::GalleryPage;
use super::pages::runs::Runs;
use super::pages::train::TrainPage;
use super::pictures::Pictures;
use super::popup::{FilePicker, Popup};
use super::{mouse, view};
use crate::jobs::{ControlCommand, JobState};
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;

/// A page of the workbench.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// Data sets.
    Data,
    /// A training as it goes on.
    #[default]
    Train,
    /// Scores.
    Evaluate,
    /// Images and captions.
    Gallery,
    /// All runs.
    Runs,
}

impl Tab {
    /// All of them, from left to right.
    pub const ALL: [Self; 5] = [Self::Data, Self::Train, Self::Evaluate, Self::Gallery, Self::Runs];

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Data => "Data",
            Self::Train => "Train",
            Self::Evaluate => "Evaluate",
            Self::Gallery => "Gallery",
            Self::Runs => "Runs",
        }
    }

    /// Where its keys stand in the table.
    pub fn context(self) -> Context {
        match self {
            Self::Data => Context::Data,
            Self::Train => Context::Train,
            Self::Evaluate => Context::Evaluate,
            Self::Gallery => Context::Gallery,
            Self::Runs => Context::Runs,
        }
    }

    /// The tab whose keys stand there, if it is one tab's.
    pub fn of(context: Context) -> Option<Self> {
        Self::ALL.into_iter().find(|tab| tab.context() == context)
    }

    fn after(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// Where in a list, and how far from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// One up.
    Up,
    /// One down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
}

/// Rows of a page, where a list is moved by pages.
const PAGE: usize = 10;

impl Move {
    /// Of the actions that move in a list.
    pub fn of(action: Action) -> Option<Self> {
        Some(match action {
            Action::Up => Self::Up,
            Action::Down => Self::Down,
            Action::PageUp => Self::PageUp,
            Action::PageDown => Self::PageDown,
            Action::First => Self::First,
            Action::Last => Self::Last,
            _ => return None,
        })
    }

    /// Where it leads to from `at`, in a list of `count`.
    pub fn from(self, at: usize, count: usize) -> usize {
        let to = match self {
            Self::Up => at.saturating_sub(1),
            Self::Down => at + 1,
            Self::PageUp => at.saturating_sub(PAGE),
            Self::PageDown => at + PAGE,
            Self::First => 0,
            Self::Last => usize::MAX,
        };
        to.min(count.saturating_sub(1))
    }
}

/// Whether the workbench goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// It does.
    #[default]
    GoesOn,
    /// It ends.
    Ends,
}

/// The state of the workbench.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// The page that is shown.
    pub tab: Tab,
    /// The runs there are.
    pub runs: Runs,
    /// The page of data sets.
    pub data: DataPage,
    /// The page of a training.
    pub train: TrainPage,
    /// The page of scores.
    pub evaluate: EvaluatePage,
    /// The page of images and captions.
    pub gallery: GalleryPage,
    /// What lies over the page, the topmost last.
    pub popups: Vec<Popup>,
    /// The form whose command is being started: it comes back where that fails.
    starting: Option<Popup>,
    /// What came of the last thing that was done.
    pub notice: Option<Result<String, String>>,
    /// Which keys do what.
    pub keymap: Keymap,
    /// Images that are ready to be drawn.
    pub pictures: Pictures,
    /// What the machine is busy with.
    pub machine: MachineLoad,
    /// The terminal.
    pub size: Rect,
    /// Whether it goes on.
    pub life: Life,
}

impl App {
    /// With these keys, on a terminal of this size.
    pub fn new(keymap: Keymap, (columns, rows): (u16, u16)) -> Self {
        Self {
            keymap,
            size: Rect::new(0, 0, columns, rows),
            ..Self::default()
        }
    }

    /// Takes a message into account. What is returned is to be done outside.
    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        let mut effects = self.take(message);
        effects.extend(self.ask_for_what_is_shown());
        effects
    }

    fn take(&mut self, message: Message) -> Vec<Effect> {
        match message {
            Message::Key(key) => return self.press_key(key),
            Message::Mouse(event) => return mouse::take(self, event),
            Message::Paste(text) => self.paste(&text),
            Message::Resized(columns, rows) => self.size = Rect::new(0, 0, columns, rows),
            Message::Runs(listing) => self.list_runs(listing),
            Message::Records { run, records } => self.runs.take(&run, &records),
            Message::DataSets(listing) => self.data.list(listing),
            Message::Evaluations(listing) => self.evaluate.list(listing),
            Message::Machine(load) => self.machine = load,
            Message::DataSet { name, detail } => self.data.loaded(&name, detail),
            Message::Log { run, lines } => self.show_log(&run, lines),
            Message::Entries { directory, entries } => self.list_entries(directory, entries),
            // Answers overtake each other: that of a large directory comes when more has been typed.
            Message::Recognized { place, told } if self.is_being_named(&place) => {
                self.data.recognized = Some((place, told));
            }
            Message::Recognized { .. } => {}
            Message::Images { run, files } => self.train.files = Some((run, files)),
            Message::Album { request, album } => self.gallery.loaded(&request, album),
            Message::Comparison { of, outcome } => self.evaluate.compared(of, outcome),
            Message::Captioned { request, captions } => self.gallery.captioned_by(&request, captions),
            Message::Attended { request, attention } => self.gallery.attention.answered(&request, attention),
            Message::Picture { key, picture } => self.pictures.take(key, picture),
            Message::Done(result) => self.notice = Some(result),
            Message::Started(result) => self.started(result),
            Message::Suspend => return vec![Effect::Suspend],
            Message::Quit => self.life = Life::Ends,
        }
        Vec::new()
    }

    /// What the page shows and is not at hand.
    fn ask_for_what_is_shown(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        match self.tab {
            Tab::Data => effects.extend(self.data.ask()),
            Tab::Evaluate => effects.extend(self.evaluate.ask()),
            Tab::Gallery => effects.extend(self.ask_for_album()),
            Tab::Train => effects.extend(self.ask_for_images()),
            Tab::Runs => {}
        }
        let shown = view::pictures(self);
        effects.extend(self.pictures.ask(shown));
        effects
    }

    /// Takes a key.
    pub(super) fn press_key(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.notice = None;
        self.runs.stay();
        match self.popups.pop() {
            None => match self.keymap.action(self.tab.context(), key) {
                Some(action) => self.act(action),
                None => Vec::new(),
            },
            Some(popup) => self.press_in(popup, key),
        }
    }

    /// What an action does on this page.
    pub fn act(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Quit => self.life = Life::Ends,
            Action::Suspend => return vec![Effect::Suspend],
            Action::Help => self.popups.push(Popup::Help { scroll: 0 }),
            Action::Palette => self.popups.push(Popup::palette(&self.keymap, self.tab)),
            Action::NextTab => self.tab = self.tab.after(1),
            Action::PreviousTab => self.tab = self.tab.after(Tab::ALL.len() - 1),
            Action::ShowData => self.tab = Tab::Data,
            Action::ShowTrain => self.tab = Tab::Train,
            Action::ShowEvaluate => self.tab = Tab::Evaluate,
            Action::ShowGallery => self.tab = Tab::Gallery,
            Action::ShowRuns => self.tab = Tab::Runs,
            _ => {
                return match self.tab {
                    Tab::Data => self.act_on_data(action),
                    Tab::Train => self.act_on_training(action),
                    Tab::Evaluate => self.act_on_scores(action),
                    Tab::Gallery => self.act_on_gallery(action),
                    Tab::Runs => self.act_on_runs(action),
                };
            }
        }
        Vec::new()
    }

    /// Opens a form over the page.
    pub(super) fn open_form(&mut self, purpose: Purpose, mut form: Form) {
        form.outcome = purpose.describe(&form);
        self.popups.push(Popup::Form {
            purpose: Box::new(purpose),
            form: Box::new(form),
        });
    }

    /// Says why something is not done.
    pub(super) fn refuse(&mut self, why: impl Into<String>) -> Vec<Effect> {
        self.notice = Some(Err(why.into()));
        Vec::new()
    }

    /// Asks whether to do something that ends or removes something.
    pub(super) fn confirm(&mut self, question: impl Into<String>, effect: Effect) -> Vec<Effect> {
        self.popups.push(Popup::Confirm {
            question: question.into(),
            effect: Box::new(effect),
        });
        Vec::new()
    }

    fn press_in(&mut self, popup: Popup, key: KeyEvent) -> Vec<Effect> {
        match popup {
            Popup::Confirm { effect, .. } => match key.code {
                KeyCode::Char('y' | 'Y') => vec![*effect],
                _ => Vec::new(),
            },
            Popup::Form { purpose, form } => self.press_in_form(purpose, form, key),
            Popup::Picker(picker) => self.press_in_picker(picker, key),
            Popup::Palette(mut palette) => match palette.press(key) {
                Pressed::Submitted => match palette.chosen() {
                    Some((context, action)) => {
                        self.tab = Tab::of(context).unwrap_or(self.tab);
                        self.act(action)
                    }
                    None => Vec::new(),
                },
                Pressed::Left => Vec::new(),
                Pressed::Taken | Pressed::Pick => self.keep(Popup::Palette(palette)),
            },
            Popup::Choose(mut chooser) => match chooser.press(key) {
                Pressed::Submitted => self.chosen(&chooser),
                Pressed::Left => Vec::new(),
                Pressed::Taken | Pressed::Pick => self.keep(Popup::Choose(chooser)),
            },
            Popup::Help { scroll } => self.scroll(key, scroll, |scroll| Popup::Help { scroll }),
            Popup::Text { title, lines, scroll } => {
                self.scroll(key, scroll, |scroll| Popup::Text { title, lines, scroll })
            }
            Popup::Image { .. } => Vec::new(),
        }
    }

    fn keep(&mut self, popup: Popup) -> Vec<Effect> {
        self.popups.push(popup);
        Vec::new()
    }

    /// Keys that move scroll what is read; any other closes it.
    fn scroll(&mut self, key: KeyEvent, scroll: usize, with: impl FnOnce(usize) -> Popup) -> Vec<Effect> {
        let action = self.keymap.action(Context::Everywhere, key);
        match action.and_then(Move::of) {
            Some(direction) => {
                let to = direction.from(scroll, usize::MAX);
                self.keep(with(to))
            }
            None => Vec::new(),
        }
    }

    fn press_in_form(&mut self, purpose: Box<Purpose>, mut form: Box<Form>, key: KeyEvent) -> Vec<Effect> {
        let field = form
            .fields
            .get(form.at)
            .map(|field| (field.name, field.value().to_owned()));
        match form.press(key) {
            Pressed::Left => return Vec::new(),
            Pressed::Submitted => match purpose.submit(&form) {
                Ok(submission) => {
                    if let Err(fault) = self.check_source(&purpose, &form) {
                        form.outcome = Err(fault);
                        return self.keep(Popup::Form { purpose, form });
                    }
                    if matches!(submission, Submission::Effect(Effect::Start(_))) {
                        self.starting = Some(Popup::Form { purpose, form });
                    }
                    return self.carry_out(submission);
                }
                Err(fault) => {
                    let named = form
                        .fields
                        .iter()
                        .position(|field| Some(field.name) == fault.field);
                    form.at = named.unwrap_or(form.at);
                    form.outcome = Err(fault);
                    return self.keep(Popup::Form { purpose, form });
                }
            },
            Pressed::Pick => {
                let start = form.current().map_or("", |field| field.value()).to_owned();
                self.popups.push(Popup::Form { purpose, form });
                return self.open_picker(&start);
            }
            Pressed::Taken => {}
        }
        if let Some((name, before)) = field
            && form.value(name) != before
        {
            purpose.follow(&mut form, name);
        }
        form.outcome = purpose.describe(&form);
        let effects = recognition(&purpose, &form);
        self.popups.push(Popup::Form { purpose, form });
        effects
    }

    /// Whether this place stands in the form that prepares a data set.
    fn is_being_named(&self, place: &str) -> bool {
        matches!(
            self.popups.last(),
            Some(Popup::Form { purpose, form })
                if matches!(**purpose, Purpose::Prepare) && form.value(SOURCE) == place
        )
    }

    /// Refuses to prepare what has been looked at and is nothing that can be.
    fn check_source(&self, purpose: &Purpose, form: &Form) -> Result<(), Fault> {
        let source = form.value(SOURCE);
        match (purpose, &self.data.recognized) {
            (Purpose::Prepare, Some((place, Err(why)))) if place == source => {
                Err(Fault::of(SOURCE, why.clone()))
            }
            _ => Ok(()),
        }
    }

    /// A command has been started, or has not: then its form comes back, with the reason.
    fn started(&mut self, result: Result<String, String>) {
        let form = self.starting.take();
        match (result, form) {
            (Err(why), Some(Popup::Form { purpose, mut form })) if self.popups.is_empty() => {
                self.runs.look_at_no_next();
                form.outcome = Err(Fault {
                    field: None,
                    message: why,
                });
                self.popups.push(Popup::Form { purpose, form });
            }
            (result, _) => self.notice = Some(result),
        }
    }

    fn carry_out(&mut self, submission: Submission) -> Vec<Effect> {
        match submission {
            Submission::Effect(effect) => {
                self.go_where_it_shows(&effect);
                return vec![effect];
            }
            Submission::Search(search) => return self.try_search(search),
            Submission::Image(path) => return self.open_image(path),
            Submission::Filter(words) => self.gallery.filter(&words),
            Submission::Jump(image) => {
                if let Err(why) = self.gallery.jump(&image) {
                    return self.refuse(why);
                }
            }
            Submission::Export(path) => {
                return match self.evaluate.side_by_side() {
                    Some(compared) => vec![Effect::Export { path, compared }],
                    None => self.refuse("there is nothing to compare yet"),
                };
            }
        }
        Vec::new()
    }

    /// What is started is seen as it goes on.
    fn go_where_it_shows(&mut self, effect: &Effect) {
        let Effect::Start(arguments) = effect else {
            return;
        };
        match arguments.first().map(String::as_str) {
            Some("prepare") => {
                self.tab = Tab::Data;
                let name = arguments.iter().skip_while(|word| *word != "--name").nth(1);
                self.data.select_next(name.cloned());
            }
            Some("train") => {
                self.tab = Tab::Train;
                self.runs.look_at_next();
            }
            Some("evaluate") => {
                self.tab = Tab::Evaluate;
                self.evaluate.select_next();
            }
            _ => {}
        }
    }

    fn open_picker(&mut self, start: &str) -> Vec<Effect> {
        let picker = FilePicker::at(start);
        let directory = picker.directory.clone();
        self.popups.push(Popup::Picker(picker));
        vec![Effect::List(directory)]
    }

    fn press_in_picker(&mut self, mut picker: FilePicker, key: KeyEvent) -> Vec<Effect> {
        let directory = picker.directory.clone();
        match picker.press(key) {
            Pressed::Left => return Vec::new(),
            Pressed::Submitted => {
                let picked = picker.picked();
                let mut effects = Vec::new();
                if let Some(Popup::Form { purpose, form }) = self.popups.last_mut() {
                    if let Some(field) = form.current() {
                        field.set(&picked.display().to_string());
                    }
                    form.outcome = purpose.describe(form);
                    effects = recognition(purpose, form);
                }
                return effects;
            }
            Pressed::Taken | Pressed::Pick => {}
        }
        let effects = match picker.directory == directory {
            true => Vec::new(),
            false => vec![Effect::List(picker.directory.clone())],
        };
        self.popups.push(Popup::Picker(picker));
        effects
    }

    fn list_entries(
        &mut self,
        directory: std::path::PathBuf,
        entries: Result<Vec<super::message::DirectoryEntry>, String>,
    ) {
        if let Some(Popup::Picker(picker)) = self.popups.last_mut()
            && picker.directory == directory
        {
            picker.list(entries);
        }
    }

    fn paste(&mut self, text: &str) {
        if let Some(Popup::Form { purpose, form }) = self.popups.last_mut() {
            form.paste(text);
            form.outcome = purpose.describe(form);
        }
    }

    /// The run that keys are about: the one that is looked at, or the selected one.
    pub(super) fn target(&self) -> Option<(String, JobState)> {
        let view = match self.tab {
            Tab::Runs => self.runs.selected(),
            _ => self.runs.open(),
        }?;
        Some((view.name.clone(), view.state?))
    }

    /// The run that keys are about, if somebody works on it; otherwise that is said.
    pub(super) fn live_target(&mut self) -> Option<String> {
        let Some((name, state)) = self.target() else {
            self.refuse("there is no run yet");
            return None;
        };
        if state.is_live() {
            return Some(name);
        }
        let key = self.keymap.key_of(self.tab.context(), Action::TakeUp);
        self.refuse(format!("{name} is {}: {key} takes it up again", state.name()));
        None
    }

    /// Leaves a command for the run that keys are about.
    pub(super) fn control(&mut self, command: ControlCommand) -> Vec<Effect> {
        match self.live_target() {
            Some(job) => vec![Effect::Control { job, command }],
            None => Vec::new(),
        }
    }

    pub(super) fn ask_to_stop(&mut self) -> Vec<Effect> {
        match self.live_target() {
            Some(job) => self.confirm(
                format!("Save and end the training of {job}?"),
                Effect::Control {
                    job,
                    command: ControlCommand::Stop,
                },
            ),
            None => Vec::new(),
        }
    }

    pub(super) fn take_up(&mut self) -> Vec<Effect> {
        match self.target() {
            Some((run, state)) if state.is_live() => {
                self.refuse(format!("{run} is {} already", state.name()))
            }
            Some((run, JobState::Complete)) => self.refuse(format!(
                "{run} has all its epochs; for more: cutline train --resume {run} --set training.epochs=N"
            )),
            Some((run, _)) => vec![Effect::TakeUp(run)],
            None => self.refuse("there is no run yet"),
        }
    }
}

/// Where a source is being named, what it is.
fn recognition(purpose: &Purpose, form: &Form) -> Vec<Effect> {
    match purpose {
        Purpose::Prepare => vec![Effect::Recognize(form.value(SOURCE).to_owned())],
        _ => Vec::new(),
    }
}
