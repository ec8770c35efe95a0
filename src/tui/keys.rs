//! The key table. Dispatch, footer, help, command palette and `docs/keys.md` all read it; a
//! [`Keymap`](super::keymap::Keymap) is the table with the changes of the user's settings.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::fmt;
use std::str::FromStr;

/// Where a key applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum KeyContext {
    Everywhere,
    Data,
    Train,
    Evaluate,
    Gallery,
    Runs,
}

impl KeyContext {
    /// Table in the user's settings, such as `[keys.train]`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A key with its modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character; an upper-case one includes Shift.
    Char(char),
    Ctrl(char),
    Code(KeyCode),
}

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
    pub fn is(self, event: KeyEvent) -> bool {
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        match self {
            Self::Char(expected) => !ctrl && event.code == KeyCode::Char(expected),
            Self::Ctrl(expected) => ctrl && event.code == KeyCode::Char(expected),
            Self::Code(expected) => event.code == expected,
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

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown key `{0}`; write a character, a name such as Enter, PageUp or F1, or Ctrl-X")]
pub struct UnknownKey(pub String);

impl FromStr for Key {
    type Err = UnknownKey;

    fn from_str(text: &str) -> Result<Self, UnknownKey> {
        let no_key = || UnknownKey(text.to_owned());
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

/// Where a binding is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    FooterAndHelp,
    Help,
}

#[derive(Clone, Copy, Debug)]
pub struct KeyBinding {
    pub context: KeyContext,
    pub keys: &'static [Key],
    pub action: Action,
    /// A word for the footer.
    pub name: &'static str,
    /// A sentence for the help and the palette.
    pub help: &'static str,
    pub placement: Placement,
}

impl KeyBinding {
    /// Name in the user's settings, such as `next-chart`.
    pub fn id(&self) -> &'static str {
        self.action.into()
    }
}

macro_rules! bindings {
    ($($context:ident [$($key:expr),+] $action:ident $name:literal $help:literal $placement:ident;)*) => {
        pub const TABLE: &[KeyBinding] = &[$(KeyBinding {
            context: KeyContext::$context,
            keys: &[$($key),+],
            action: Action::$action,
            name: $name,
            help: $help,
            placement: Placement::$placement,
        }),*];
    };
}

use Key::{Char, Code, Ctrl};

/// What a key does; [`TABLE`] describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
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
    Fetch,
    NextView,
    TrainOnDataset,
    NewRun,
    PauseOrResume,
    Checkpoint,
    EvaluateNow,
    Sample,
    LearningRate,
    Stop,
    Resume,
    NextChart,
    PreviousChart,
    LogScale,
    XAxis,
    ZoomIn,
    ZoomOut,
    ResetZoom,
    Cursor,
    Overlay,
    Diagnostics,
    NewEvaluation,
    Baseline,
    NextMetric,
    NextOrder,
    Export,
    ChooseEvaluation,
    CompareWith,
    Search,
    Sort,
    Jump,
    Hypotheses,
    SearchSettings,
    OpenImage,
    Attention,
    Mark,
    Compare,
    Rename,
    Note,
    Log,
    Delete,
}

bindings![
    Everywhere [Char('1')] ShowData "data" "Go to the Data tab" Help;
    Everywhere [Char('2')] ShowTrain "train" "Go to the Train tab" Help;
    Everywhere [Char('3')] ShowEvaluate "evaluate" "Go to the Evaluate tab" Help;
    Everywhere [Char('4')] ShowGallery "gallery" "Go to the Gallery tab" Help;
    Everywhere [Char('5')] ShowRuns "runs" "Go to the Runs tab" Help;
    Everywhere [Code(KeyCode::Tab)] NextTab "tab" "Next tab" Help;
    Everywhere [Code(KeyCode::BackTab)] PreviousTab "back" "Previous tab" Help;
    Everywhere [Char('k'), Code(KeyCode::Up)] Up "up" "One line up (Train tab: previous run)" Help;
    Everywhere [Char('j'), Code(KeyCode::Down)] Down "down" "One line down (Train tab: next run)" Help;
    Everywhere [Char('h'), Code(KeyCode::Left)] Left "left" "Earlier steps, previous image, word or view" Help;
    Everywhere [Char('l'), Code(KeyCode::Right)] Right "right" "Later steps, next image, word or view" Help;
    Everywhere [Ctrl('u'), Code(KeyCode::PageUp)] PageUp "page up" "One page up" Help;
    Everywhere [Ctrl('d'), Code(KeyCode::PageDown)] PageDown "page down" "One page down" Help;
    Everywhere [Char('g'), Code(KeyCode::Home)] First "first" "First line" Help;
    Everywhere [Char('G'), Code(KeyCode::End)] Last "last" "Last line" Help;
    Everywhere [Code(KeyCode::Enter)] Open "open" "Open the selected item" Help;
    Everywhere [Code(KeyCode::Esc)] Back "back" "Close or go back" Help;
    Everywhere [Ctrl('z')] Suspend "suspend" "Suspend to the shell (`fg` returns)" Help;
    Everywhere [Char(':'), Ctrl('p')] Palette "commands" "Search all commands" FooterAndHelp;
    Everywhere [Char('?'), Code(KeyCode::F(1))] Help "help" "Show the keys" FooterAndHelp;
    Everywhere [Char('q'), Ctrl('c')] Quit "quit" "Quit (training continues)" FooterAndHelp;
    Data [Char('n')] Prepare "prepare" "Prepare a dataset" FooterAndHelp;
    Data [Char('f')] Fetch "fetch" "Fetch a dataset, weights or metric data by name" Help;
    Data [Char('t')] TrainOnDataset "train" "Train on the selected dataset" FooterAndHelp;
    Data [Char('v')] NextView "view" "Next view: report, problems, samples" FooterAndHelp;
    Data [Char('p'), Char(' ')] PauseOrResume "pause" "Pause or resume preparation" Help;
    Data [Char('x')] Stop "stop" "Stop preparation (asks first)" Help;
    Train [Char('n')] NewRun "new" "Start a training run" FooterAndHelp;
    Train [Char('p'), Char(' ')] PauseOrResume "pause" "Pause or resume training" FooterAndHelp;
    Train [Char('w')] Checkpoint "save" "Save a checkpoint now" FooterAndHelp;
    Train [Char('e')] EvaluateNow "evaluate" "Evaluate on the dev split now" FooterAndHelp;
    Train [Char('s')] Sample "sample" "Caption the sample images now" Help;
    Train [Char('r')] LearningRate "lr" "Change the learning rate" FooterAndHelp;
    Train [Char('x')] Stop "stop" "Save a checkpoint and stop training (asks first)" FooterAndHelp;
    Train [Char('u')] Resume "resume" "Resume a stopped or crashed run" Help;
    Train [Char('i')] Diagnostics "diagnose" "Show training diagnostics" FooterAndHelp;
    Train [Char(']'), Char('c')] NextChart "chart" "Next chart" FooterAndHelp;
    Train [Char('[')] PreviousChart "chart" "Previous chart" Help;
    Train [Char('o')] Overlay "overlay" "Overlay other runs" Help;
    Train [Char('v')] Cursor "cursor" "Show a cursor that reads values (left, right: move)" Help;
    Train [Char('a')] XAxis "axis" "X axis: steps, epochs or minutes" Help;
    Train [Char('L')] LogScale "log" "Logarithmic or linear y axis" Help;
    Train [Char('+'), Char('=')] ZoomIn "zoom" "Zoom in" Help;
    Train [Char('-')] ZoomOut "zoom" "Zoom out" Help;
    Train [Char('0')] ResetZoom "all" "Show all steps" Help;
    Evaluate [Char('n')] NewEvaluation "new" "Evaluate a checkpoint" FooterAndHelp;
    Evaluate [Char('b')] Baseline "baseline" "Use the selected evaluation as the baseline" FooterAndHelp;
    Evaluate [Char('s')] NextMetric "metric" "Rank images by the next metric" FooterAndHelp;
    Evaluate [Char('o')] NextOrder "order" "List the best, worst or most changed images" FooterAndHelp;
    Evaluate [Char('E')] Export "export" "Export the table as CSV, JSON, Markdown or LaTeX" FooterAndHelp;
    Evaluate [Char('x')] Stop "stop" "Stop the evaluation (asks first)" Help;
    Gallery [Char('/')] Search "search" "Search the captions" FooterAndHelp;
    Gallery [Char('s')] Sort "sort" "Sort: dataset order, best first, worst first" FooterAndHelp;
    Gallery [Char('#')] Jump "jump" "Jump to an image by number or name" Help;
    Gallery [Char('a')] Hypotheses "beam" "Show the beam hypotheses with log-probabilities" FooterAndHelp;
    Gallery [Char('t')] SearchSettings "try" "Caption with other search settings" FooterAndHelp;
    Gallery [Char('o')] OpenImage "image" "Caption an image file" FooterAndHelp;
    Gallery [Char('w')] Attention "attend" "Show attention weights (left, right: change the word)" FooterAndHelp;
    Gallery [Char('c')] CompareWith "compare" "Compare with the captions of another evaluation" Help;
    Gallery [Char('e')] ChooseEvaluation "evaluation" "Choose another evaluation" Help;
    Runs [Char(' '), Char('m')] Mark "mark" "Mark the run (charts overlay marked runs)" FooterAndHelp;
    Runs [Char('c')] Compare "compare" "Compare settings and scores of the marked runs" FooterAndHelp;
    Runs [Char('L')] Log "log" "Show the output of the run's process" FooterAndHelp;
    Runs [Char('n')] Note "note" "Edit the note on the run" Help;
    Runs [Char('R')] Rename "rename" "Rename the run" Help;
    Runs [Char('u')] Resume "resume" "Resume the selected run" FooterAndHelp;
    Runs [Char('x')] Stop "stop" "Save a checkpoint and stop the run (asks first)" FooterAndHelp;
    Runs [Char('d')] Delete "delete" "Delete the run with its checkpoints (asks first)" FooterAndHelp;
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::keymap::Keymap;
    use strum::VariantArray;

    fn page() -> String {
        let mut page = String::from(
            "# Keys\n\n<!-- Generated from the key table by `cargo test`. Do not edit. -->\n\nThe keys of the workbench. `cutline keys` prints a file to change them.\n",
        );
        for &context in KeyContext::VARIANTS {
            page += &format!("\n## {}\n\n| key | action |\n| --- | --- |\n", context.name());
            for binding in TABLE.iter().filter(|binding| binding.context == context) {
                let keys: Vec<String> = binding.keys.iter().map(|key| format!("`{key}`")).collect();
                page += &format!("| {} | {} |\n", keys.join(" "), binding.help);
            }
        }
        page
    }

    #[test]
    fn keys_page_matches_table() {
        crate::testing::assert_page("docs/keys.md", &page());
    }

    #[test]
    fn key_parses_from_its_display() {
        for key in TABLE.iter().flat_map(|binding| binding.keys) {
            assert_eq!(key.to_string().parse(), Ok(*key));
        }
        assert_eq!("ctrl-X".parse(), Ok(Ctrl('x')));
        assert_eq!("pageup".parse(), Ok(Code(KeyCode::PageUp)));
        assert_eq!("é".parse(), Ok(Char('é')));
        for wrong in ["", "F13", "Ctrl-", "Ctrl-é", "Hyper-x", "ab", "é-"] {
            assert_eq!(wrong.parse::<Key>(), Err(UnknownKey(wrong.into())));
        }
    }

    #[test]
    fn keymap_finds_action_of_pressed_key() {
        let keymap = Keymap::default();
        let press = |code, modifiers| keymap.action(KeyContext::Train, KeyEvent::new(code, modifiers));
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
            Some(Action::LogScale)
        );
        assert_eq!(press(KeyCode::Char('z'), KeyModifiers::NONE), None);
    }
}
