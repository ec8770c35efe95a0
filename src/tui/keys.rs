//! The keys: ONE table, from which keys are looked up, the footer and the help screen are drawn, and which the README
//! repeats.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::fmt;

/// Something that a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave the workbench.
    Quit,
    /// Show or hide the help.
    Help,
    /// Show the tab to the right.
    NextTab,
    /// Show the tab to the left.
    PreviousTab,
    /// Show the tab of a training.
    ShowTrain,
    /// Show the tab of all runs.
    ShowRuns,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// To the first line.
    First,
    /// To the last line.
    Last,
    /// Open what is selected.
    Open,
    /// Pause a training, or let it go on.
    PauseOrResume,
    /// Save a checkpoint.
    Checkpoint,
    /// Caption and score the dev split.
    Evaluate,
    /// Caption a few dev photos.
    Sample,
    /// Change the learning rate.
    LearningRate,
    /// Save and end.
    Stop,
    /// Take a run up again that was stopped or died.
    TakeUp,
    /// Remove a run.
    Remove,
    /// The next chart.
    NextChart,
    /// The chart before.
    PreviousChart,
    /// A logarithmic axis, or a plain one.
    LogAxis,
    /// A shorter range of steps.
    ZoomIn,
    /// A longer range of steps.
    ZoomOut,
    /// Earlier steps.
    Earlier,
    /// Later steps.
    Later,
    /// All steps.
    WholeRange,
}

/// Where a key means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// In every tab.
    Everywhere,
    /// In the tab of a training.
    Train,
    /// In the tab of all runs.
    Runs,
}

impl Context {
    /// Its heading in the help.
    pub fn name(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
            Self::Train => "train",
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

impl Key {
    fn is(self, event: KeyEvent) -> bool {
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
        match self {
            Self::Char(' ') => out.write_str("Space"),
            Self::Char(key) => write!(out, "{key}"),
            Self::Ctrl(key) => write!(out, "Ctrl-{}", key.to_ascii_uppercase()),
            Self::Code(KeyCode::BackTab) => out.write_str("Shift-Tab"),
            Self::Code(code) => write!(out, "{code}"),
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
    /// Any of these.
    pub keys: &'static [Key],
    /// What.
    pub action: Action,
    /// In a word, for the footer.
    pub name: &'static str,
    /// In a sentence, for the help.
    pub help: &'static str,
    /// Whether it stands in the footer.
    pub shown: Shown,
}

impl Binding {
    /// Its keys, one beside the other.
    pub fn keys_text(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(Key::to_string).collect();
        keys.join(" ")
    }
}

macro_rules! bindings {
    ($($context:ident [$($key:expr),+] $action:ident $name:literal $help:literal $shown:ident;)*) => {
        &[$(Binding {
            context: Context::$context,
            keys: &[$($key),+],
            action: Action::$action,
            name: $name,
            help: $help,
            shown: Shown::$shown,
        }),*]
    };
}

use Key::{Char, Code, Ctrl};

/// Every key there is.
pub const TABLE: &[Binding] = bindings![
    Everywhere [Char('1')] ShowTrain "train" "The tab of the run that is looked at" InHelp;
    Everywhere [Char('2')] ShowRuns "runs" "The tab of all runs" InHelp;
    Everywhere [Code(KeyCode::Tab)] NextTab "tab" "The next tab" InFooter;
    Everywhere [Code(KeyCode::BackTab)] PreviousTab "back" "The tab before" InHelp;
    Everywhere [Char('?'), Code(KeyCode::F(1))] Help "help" "This help" InFooter;
    Everywhere [Char('q'), Ctrl('c')] Quit "quit" "Leave; what is trained goes on" InFooter;
    Train [Char('p'), Char(' ')] PauseOrResume "pause" "Pause the training, or let it go on" InFooter;
    Train [Char('w')] Checkpoint "save" "Save a checkpoint now" InFooter;
    Train [Char('e')] Evaluate "evaluate" "Caption and score the dev split now" InFooter;
    Train [Char('s')] Sample "sample" "Caption a few dev photos now" InHelp;
    Train [Char('r')] LearningRate "rate" "Change the learning rate" InFooter;
    Train [Char('x')] Stop "stop" "Save and end the training; asks first" InFooter;
    Train [Char('u')] TakeUp "resume" "Take up a training that was stopped or died" InHelp;
    Train [Char(']'), Char('c')] NextChart "chart" "The next chart" InFooter;
    Train [Char('[')] PreviousChart "chart" "The chart before" InHelp;
    Train [Char('L')] LogAxis "log" "A logarithmic axis, or a plain one" InHelp;
    Train [Char('+'), Char('=')] ZoomIn "zoom" "A shorter range of steps" InHelp;
    Train [Char('-')] ZoomOut "zoom" "A longer range of steps" InHelp;
    Train [Code(KeyCode::Left), Char('h')] Earlier "earlier" "Earlier steps" InHelp;
    Train [Code(KeyCode::Right), Char('l')] Later "later" "Later steps" InHelp;
    Train [Char('0')] WholeRange "all" "All steps" InHelp;
    Train [Code(KeyCode::Up), Char('k')] Up "up" "The run before" InHelp;
    Train [Code(KeyCode::Down), Char('j')] Down "down" "The next run" InHelp;
    Runs [Code(KeyCode::Enter)] Open "open" "Look at the selected run" InFooter;
    Runs [Code(KeyCode::Up), Char('k')] Up "up" "One run up" InHelp;
    Runs [Code(KeyCode::Down), Char('j')] Down "down" "One run down" InHelp;
    Runs [Code(KeyCode::Home), Char('g')] First "first" "The first run" InHelp;
    Runs [Code(KeyCode::End), Char('G')] Last "last" "The last run" InHelp;
    Runs [Char('u')] TakeUp "resume" "Take up the selected run again" InFooter;
    Runs [Char('x')] Stop "stop" "Save and end the selected run; asks first" InFooter;
    Runs [Char('d')] Remove "delete" "Remove the selected run with its checkpoints; asks first" InFooter;
];

/// What a key does in `context`.
pub fn action(context: Context, event: KeyEvent) -> Option<Action> {
    bindings(context)
        .find(|binding| binding.keys.iter().any(|key| key.is(event)))
        .map(|binding| binding.action)
}

/// The bindings that hold in `context`: its own, then those that hold everywhere.
pub fn bindings(context: Context) -> impl Iterator<Item = &'static Binding> {
    let own = move |binding: &&Binding| binding.context == context;
    let all = |binding: &&Binding| binding.context == Context::Everywhere;
    TABLE.iter().filter(own).chain(TABLE.iter().filter(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_at_once() {
        for context in [Context::Train, Context::Runs] {
            let keys: Vec<Key> = bindings(context)
                .flat_map(|binding| binding.keys)
                .copied()
                .collect();
            for (at, key) in keys.iter().enumerate() {
                assert!(!keys[..at].contains(key), "{key} in {}", context.name());
            }
        }
    }

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
    fn keys_are_found_by_what_is_pressed() {
        let press = |code, modifiers| action(Context::Train, KeyEvent::new(code, modifiers));
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
