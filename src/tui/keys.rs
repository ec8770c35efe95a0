//! The keys: ONE table, from which keys are looked up, footer, help and palette are drawn, and which the README
//! repeats. What a user has changed of it is a [`Keymap`](super::keymap::Keymap).

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::fmt;
use std::str::FromStr;

/// Where a key means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// In every tab.
    Everywhere,
    /// In the tab of data sets.
    Data,
    /// In the tab of a training.
    Train,
    /// In the tab of scores.
    Evaluate,
    /// In the tab of images and captions.
    Gallery,
    /// In the tab of all runs.
    Runs,
}

impl Context {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 6] = [
        Self::Everywhere,
        Self::Data,
        Self::Train,
        Self::Evaluate,
        Self::Gallery,
        Self::Runs,
    ];

    /// Its heading in the help, and its table in the user's settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
            Self::Data => "data",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Gallery => "gallery",
            Self::Runs => "runs",
        }
    }
}

/// A key, with what is held down beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character; upper case stands for itself.
    Char(char),
    /// A character with Ctrl.
    Ctrl(char),
    /// A key that is no character.
    Code(KeyCode),
}

/// Keys that are called by a name.
const NAMED: [(&str, Key); 15] = [
    ("Space", Key::Char(' ')),
    ("Enter", Key::Code(KeyCode::Enter)),
    ("Esc", Key::Code(KeyCode::Esc)),
    ("Tab", Key::Code(KeyCode::Tab)),
    ("Shift-Tab", Key::Code(KeyCode::BackTab)),
    ("Up", Key::Code(KeyCode::Up)),
    ("Down", Key::Code(KeyCode::Down)),
    ("Left", Key::Code(KeyCode::Left)),
    ("Right", Key::Code(KeyCode::Right)),
    ("Home", Key::Code(KeyCode::Home)),
    ("End", Key::Code(KeyCode::End)),
    ("PageUp", Key::Code(KeyCode::PageUp)),
    ("PageDown", Key::Code(KeyCode::PageDown)),
    ("Backspace", Key::Code(KeyCode::Backspace)),
    ("Delete", Key::Code(KeyCode::Delete)),
];

impl Key {
    /// Whether this is the key that was pressed.
    pub fn is(self, event: KeyEvent) -> bool {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        match self {
            Self::Char(wanted) => !ctrl && event.code == KeyCode::Char(wanted),
            Self::Ctrl(wanted) => ctrl && event.code == KeyCode::Char(wanted),
            Self::Code(wanted) => event.code == wanted,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMED.iter().find(|(_, key)| key == self);
        match (named, self) {
            (Some((name, _)), _) => out.write_str(name),
            (None, Self::Char(key)) => write!(out, "{key}"),
            (None, Self::Ctrl(key)) => write!(out, "Ctrl-{}", key.to_ascii_uppercase()),
            (None, Self::Code(code)) => write!(out, "{code}"),
        }
    }
}

/// A text that names no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key; write a character, a name such as Enter, PageUp or F1, or Ctrl-X")]
pub struct NoKey(pub String);

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let no_key = || NoKey(text.to_owned());
        if let Some((_, key)) = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(*key);
        }
        let single = |text: &str| {
            let mut letters = text.chars();
            letters.next().filter(|_| letters.next().is_none())
        };
        if let Some(letter) = single(text).filter(|letter| !letter.is_control()) {
            return Ok(Self::Char(letter));
        }
        let (front, rest) = text.split_at_checked(1).ok_or_else(no_key)?;
        match rest.parse() {
            Ok(number @ 1..=12) if front.eq_ignore_ascii_case("f") => {
                return Ok(Self::Code(KeyCode::F(number)));
            }
            _ => {}
        }
        let (held, letter) = text.split_once('-').ok_or_else(no_key)?;
        let letter = single(letter).filter(char::is_ascii_alphanumeric);
        match letter {
            Some(letter) if held.eq_ignore_ascii_case("ctrl") => Ok(Self::Ctrl(letter.to_ascii_lowercase())),
            _ => Err(no_key()),
        }
    }
}

/// Whether a binding stands in the footer; all stand in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// In both.
    InFooter,
    /// In the help alone.
    InHelp,
}

/// Keys, and what they do.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Where.
    pub context: Context,
    /// Any of these, unless the user has chosen others.
    pub keys: &'static [Key],
    /// What.
    pub action: Action,
    /// The action's name in Rust.
    id: &'static str,
    /// In a word, for the footer.
    pub name: &'static str,
    /// In a sentence, for the help.
    pub help: &'static str,
    /// Whether it stands in the footer.
    pub shown: Shown,
}

impl Binding {
    /// The name by which the user's settings call it, such as `next-chart`.
    pub fn id(&self) -> String {
        let mut id = String::new();
        for letter in self.id.chars() {
            if letter.is_ascii_uppercase() && !id.is_empty() {
                id.push('-');
            }
            id.push(letter.to_ascii_lowercase());
        }
        id
    }
}

macro_rules! bindings {
    ($($context:ident [$($key:expr),+] $action:ident $name:literal $help:literal $shown:ident;)*) => {
        /// Every key there is.
        pub const TABLE: &[Binding] = &[$(Binding {
            context: Context::$context,
            keys: &[$($key),+],
            action: Action::$action,
            id: stringify!($action),
            name: $name,
            help: $help,
            shown: Shown::$shown,
        }),*];
    };
}

use Key::{Char, Code, Ctrl};

/// Something that a key does; what exactly, the [`TABLE`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table has a sentence for each")]
pub enum Action {
    ShowData,
    ShowTrain,
    ShowEvaluate,
    ShowGallery,
    ShowRuns,
    NextTab,
    PreviousTab,
    Help,
    Palette,
    Suspend,
    Quit,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Back,
    Prepare,
    NextView,
    TrainOnIt,
    NewRun,
    PauseOrResume,
    Checkpoint,
    EvaluateNow,
    Sample,
    LearningRate,
    Stop,
    TakeUp,
    NextChart,
    PreviousChart,
    LogAxis,
    AxisUnit,
    ZoomIn,
    ZoomOut,
    WholeRange,
    Cursor,
    Overlay,
    Health,
    NewEvaluation,
    Baseline,
    NextScore,
    NextOrder,
    Export,
    ChooseEvaluation,
    CompareWith,
    Search,
    Sort,
    Jump,
    Alternatives,
    OtherSearch,
    OpenImage,
    Attention,
    Mark,
    Compare,
    Rename,
    Note,
    Log,
    Remove,
}

bindings![
    Everywhere [Char('1')] ShowData "data" "The tab of data sets" InHelp;
    Everywhere [Char('2')] ShowTrain "train" "The tab of the run that is looked at" InHelp;
    Everywhere [Char('3')] ShowEvaluate "evaluate" "The tab of scores" InHelp;
    Everywhere [Char('4')] ShowGallery "gallery" "The tab of images and their captions" InHelp;
    Everywhere [Char('5')] ShowRuns "runs" "The tab of all runs" InHelp;
    Everywhere [Code(KeyCode::Tab)] NextTab "tab" "The next tab" InHelp;
    Everywhere [Code(KeyCode::BackTab)] PreviousTab "back" "The tab before" InHelp;
    Everywhere [Char('k'), Code(KeyCode::Up)] Up "up" "One line up; the run before, while training" InHelp;
    Everywhere [Char('j'), Code(KeyCode::Down)] Down "down" "One line down; the next run, while training" InHelp;
    Everywhere [Char('h'), Code(KeyCode::Left)] Left "left" "To the left: earlier steps, the image or view before" InHelp;
    Everywhere [Char('l'), Code(KeyCode::Right)] Right "right" "To the right: later steps, the next image or view" InHelp;
    Everywhere [Ctrl('u'), Code(KeyCode::PageUp)] PageUp "page up" "A page up" InHelp;
    Everywhere [Ctrl('d'), Code(KeyCode::PageDown)] PageDown "page down" "A page down" InHelp;
    Everywhere [Char('g'), Code(KeyCode::Home)] First "first" "To the first" InHelp;
    Everywhere [Char('G'), Code(KeyCode::End)] Last "last" "To the last" InHelp;
    Everywhere [Code(KeyCode::Enter)] Open "open" "Open what is selected" InHelp;
    Everywhere [Code(KeyCode::Esc)] Back "back" "Leave what was opened" InHelp;
    Everywhere [Ctrl('z')] Suspend "suspend" "Back to the shell; `fg` comes back here" InHelp;
    Everywhere [Char(':'), Ctrl('p')] Palette "commands" "Every command, found by a few letters of it" InFooter;
    Everywhere [Char('?'), Code(KeyCode::F(1))] Help "help" "This help" InFooter;
    Everywhere [Char('q'), Ctrl('c')] Quit "quit" "Leave; what is being trained goes on" InFooter;
    Data [Char('n')] Prepare "prepare" "Prepare a data set: a form" InFooter;
    Data [Char('t')] TrainOnIt "train" "Train on the selected data set: a form" InFooter;
    Data [Char('v')] NextView "view" "The next view: report, problems, samples" InFooter;
    Data [Char('p'), Char(' ')] PauseOrResume "pause" "Pause the preparing, or let it go on" InHelp;
    Data [Char('x')] Stop "stop" "Stop the preparing; asks first" InHelp;
    Train [Char('n')] NewRun "new" "Start a training: a form" InFooter;
    Train [Char('p'), Char(' ')] PauseOrResume "pause" "Pause the training, or let it go on" InFooter;
    Train [Char('w')] Checkpoint "save" "Save a checkpoint now" InFooter;
    Train [Char('e')] EvaluateNow "evaluate" "Caption and score the dev split now" InFooter;
    Train [Char('s')] Sample "sample" "Caption a few dev images now" InHelp;
    Train [Char('r')] LearningRate "rate" "Change the learning rate" InFooter;
    Train [Char('x')] Stop "stop" "Save and end the training; asks first" InFooter;
    Train [Char('u')] TakeUp "resume" "Take up a training that was stopped or died" InHelp;
    Train [Char('i')] Health "signs" "Whether it goes well, in words, and what to try" InFooter;
    Train [Char(']'), Char('c')] NextChart "chart" "The next chart" InFooter;
    Train [Char('[')] PreviousChart "chart" "The chart before" InHelp;
    Train [Char('o')] Overlay "lay over" "Lay other runs over the chart: choose which" InHelp;
    Train [Char('v')] Cursor "read" "Read figures off at a cursor; left and right move it" InHelp;
    Train [Char('a')] AxisUnit "axis" "Along the axis: steps, epochs or time" InHelp;
    Train [Char('L')] LogAxis "log" "A logarithmic axis, or a plain one" InHelp;
    Train [Char('+'), Char('=')] ZoomIn "zoom" "A shorter range" InHelp;
    Train [Char('-')] ZoomOut "zoom" "A longer range" InHelp;
    Train [Char('0')] WholeRange "all" "The whole range" InHelp;
    Evaluate [Char('n')] NewEvaluation "new" "Score a checkpoint: a form" InFooter;
    Evaluate [Char('b')] Baseline "baseline" "Compare with the selected one from now on" InFooter;
    Evaluate [Char('s')] NextScore "score" "Judge images by another score" InFooter;
    Evaluate [Char('o')] NextOrder "order" "The best images, the worst, or the most changed" InFooter;
    Evaluate [Char('E')] Export "export" "Write the table: CSV, JSON, Markdown or LaTeX" InFooter;
    Evaluate [Char('x')] Stop "stop" "Stop the evaluation; asks first" InHelp;
    Gallery [Char('/')] Search "search" "Search in the captions" InFooter;
    Gallery [Char('s')] Sort "sort" "Sort: as they come, the best first, the worst first" InFooter;
    Gallery [Char('#')] Jump "jump" "Jump to an image by its number or name" InHelp;
    Gallery [Char('a')] Alternatives "beam" "What else the beam held, with log-probabilities" InFooter;
    Gallery [Char('t')] OtherSearch "try" "Caption it with other search settings: a form" InFooter;
    Gallery [Char('o')] OpenImage "image" "Caption any image on disk" InFooter;
    Gallery [Char('w')] Attention "where" "Where the decoder looked, if it attends; left and right go from word to word" InFooter;
    Gallery [Char('c')] CompareWith "beside" "Show another checkpoint's caption beside this one's" InHelp;
    Gallery [Char('e')] ChooseEvaluation "which" "Look at another evaluation" InHelp;
    Runs [Char(' '), Char('m')] Mark "mark" "Mark the run: marked runs lie over each other in the charts" InFooter;
    Runs [Char('c')] Compare "compare" "Compare the marked runs: settings and scores" InFooter;
    Runs [Char('L')] Log "log" "What the run's process has printed" InFooter;
    Runs [Char('n')] Note "note" "A note on the run" InHelp;
    Runs [Char('R')] Rename "rename" "Give the run another name" InHelp;
    Runs [Char('u')] TakeUp "resume" "Take up the selected run again" InFooter;
    Runs [Char('x')] Stop "stop" "Save and end the selected run; asks first" InFooter;
    Runs [Char('d')] Remove "delete" "Remove the selected run with its checkpoints; asks first" InFooter;
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::keymap::Keymap;

    /// The README's table, as the code has it.
    fn readme_table() -> String {
        let mut table = String::from("| in | key | what it does |\n| --- | --- | --- |\n");
        for binding in TABLE {
            let keys: Vec<String> = binding.keys.iter().map(|key| format!("`{key}`")).collect();
            table += &format!(
                "| {} | {} | {} |\n",
                binding.context.name(),
                keys.join(" "),
                binding.help
            );
        }
        table
    }

    #[test]
    fn the_readme_has_the_same_table() {
        let readme = include_str!("../../README.md");
        assert!(
            readme.contains(&readme_table()),
            "put this into the README:\n{}",
            readme_table()
        );
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        for key in TABLE.iter().flat_map(|binding| binding.keys) {
            assert_eq!(key.to_string().parse(), Ok(*key));
        }
        assert_eq!("ctrl-X".parse(), Ok(Ctrl('x')));
        assert_eq!("pageup".parse(), Ok(Code(KeyCode::PageUp)));
        assert_eq!("é".parse(), Ok(Char('é')));
        for wrong in ["", "F13", "Ctrl-", "Ctrl-é", "Hyper-x", "ab", "é-"] {
            assert_eq!(wrong.parse::<Key>(), Err(NoKey(wrong.into())));
        }
    }

    #[test]
    fn keys_are_found_by_what_is_pressed() {
        let keymap = Keymap::default();
        let press = |code, modifiers| keymap.action(Context::Train, KeyEvent::new(code, modifiers));
        assert_eq!(
            press(KeyCode::Char('p'), KeyModifiers::NONE),
            Some(Action::PauseOrResume)
        );
        assert_eq!(
            press(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(Action::Quit)
        );
        assert_eq!(
            press(KeyCode::Char('L'), KeyModifiers::SHIFT),
            Some(Action::LogAxis)
        );
        assert_eq!(press(KeyCode::Char('z'), KeyModifiers::NONE), None);
    }
}
