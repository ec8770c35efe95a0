//! A form: fields that are typed or chosen, checked with every key.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

/// A form as it stands.
#[derive(Clone, Debug)]
pub struct Form {
    /// What it is for.
    pub title: String,
    /// Its fields, from top to bottom.
    pub fields: Vec<Field>,
    /// The field that keys go to.
    pub at: usize,
    /// What it comes to, such as a command line; or what is wrong, and with which field.
    pub outcome: Result<String, Fault>,
}

/// What is wrong with a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name of the field; none where it is the form as a whole.
    pub field: Option<&'static str>,
    /// In words.
    pub message: String,
}

impl Fault {
    /// What is wrong with a field.
    pub fn of(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field: Some(field),
            message: message.into(),
        }
    }
}

/// A field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name, which stands before it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What stands in it.
    pub entry: Entry,
}

/// What stands in a field.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Something typed.
    Text(Input),
    /// The path of a file or directory, typed or picked.
    Path(Input),
    /// One of several.
    Choice {
        /// Which there are.
        options: Vec<String>,
        /// Which is chosen.
        at: usize,
    },
}

impl Field {
    /// A field to type in, with this in it.
    pub fn text(name: &'static str, help: &'static str, value: impl Into<String>) -> Self {
        let entry = Entry::Text(Input::new(value.into()));
        Self { name, help, entry }
    }

    /// A field for a path, with this in it.
    pub fn path(name: &'static str, help: &'static str, value: impl Into<String>) -> Self {
        let entry = Entry::Path(Input::new(value.into()));
        Self { name, help, entry }
    }

    /// A field to choose in; `chosen` stands in it at first, or else the first option.
    pub fn choice(
        name: &'static str,
        help: &'static str,
        options: impl IntoIterator<Item = impl Into<String>>,
        chosen: &str,
    ) -> Self {
        let options: Vec<String> = options.into_iter().map(Into::into).collect();
        let at = options.iter().position(|option| option == chosen).unwrap_or(0);
        let entry = Entry::Choice { options, at };
        Self { name, help, entry }
    }

    /// What stands in it.
    pub fn value(&self) -> &str {
        match &self.entry {
            Entry::Text(input) | Entry::Path(input) => input.value().trim(),
            Entry::Choice { options, at } => options.get(*at).map_or("", String::as_str),
        }
    }

    /// Writes something else into it; a choice takes only what there is to choose.
    pub fn set(&mut self, value: &str) {
        match &mut self.entry {
            Entry::Text(input) | Entry::Path(input) => *input = Input::new(value.to_owned()),
            Entry::Choice { options, at } => {
                if let Some(place) = options.iter().position(|option| option == value) {
                    *at = place;
                }
            }
        }
    }

    fn choose(&mut self, by: isize) {
        if let Entry::Choice { options, at } = &mut self.entry {
            let count = options.len().max(1) as isize;
            *at = (*at as isize + by).rem_euclid(count) as usize;
        }
    }
}

/// What a key has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressed {
    /// Something has changed, or nothing.
    Taken,
    /// The form is to be carried out.
    Submitted,
    /// The form is to be closed.
    Left,
    /// A path is to be picked for this field.
    Pick,
}

impl Form {
    /// A form of these fields; the first takes the keys.
    pub fn new(title: impl Into<String>, fields: Vec<Field>) -> Self {
        Self {
            title: title.into(),
            fields,
            at: 0,
            outcome: Ok(String::new()),
        }
    }

    /// What stands in a field; nothing where there is no such field.
    pub fn value(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|field| field.name == name);
        field.map_or("", Field::value)
    }

    /// Writes something into a field.
    pub fn set(&mut self, name: &str, value: &str) {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            field.set(value);
        }
    }

    /// The field that keys go to.
    pub fn current(&mut self) -> Option<&mut Field> {
        self.fields.get_mut(self.at)
    }

    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent) -> Pressed {
        let held = key.modifiers;
        match key.code {
            KeyCode::Esc => return Pressed::Left,
            KeyCode::Char('c') if held.contains(KeyModifiers::CONTROL) => return Pressed::Left,
            KeyCode::Enter => return Pressed::Submitted,
            KeyCode::Char('o') if held.contains(KeyModifiers::CONTROL) => {
                let is_path = matches!(self.current().map(|field| &field.entry), Some(Entry::Path(_)));
                return if is_path { Pressed::Pick } else { Pressed::Taken };
            }
            KeyCode::Up | KeyCode::BackTab => self.at = self.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab => self.at = (self.at + 1).min(self.fields.len().saturating_sub(1)),
            _ => self.type_key(key),
        }
        Pressed::Taken
    }

    fn type_key(&mut self, key: KeyEvent) {
        let Some(field) = self.current() else { return };
        match (&mut field.entry, key.code) {
            (Entry::Choice { .. }, KeyCode::Left) => field.choose(-1),
            (Entry::Choice { .. }, KeyCode::Right | KeyCode::Char(' ')) => field.choose(1),
            (Entry::Choice { .. }, _) => {}
            (Entry::Text(input) | Entry::Path(input), _) => {
                if let Some(request) = input_request(key) {
                    input.handle(request);
                }
            }
        }
    }

    /// Types what was pasted, up to the end of its first line.
    pub fn paste(&mut self, text: &str) {
        let line = text.lines().next().unwrap_or_default();
        if let Some(Entry::Text(input) | Entry::Path(input)) = self.current().map(|field| &mut field.entry) {
            for letter in line.chars().filter(|letter| !letter.is_control()) {
                input.handle(InputRequest::InsertChar(letter));
            }
        }
    }
}

/// What a key does to a line that is typed.
pub(super) fn input_request(key: KeyEvent) -> Option<InputRequest> {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Backspace if ctrl => InputRequest::DeletePrevWord,
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left if ctrl => InputRequest::GoToPrevWord,
        KeyCode::Right if ctrl => InputRequest::GoToNextWord,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        KeyCode::Char('a') if ctrl => InputRequest::GoToStart,
        KeyCode::Char('e') if ctrl => InputRequest::GoToEnd,
        KeyCode::Char('w') if ctrl => InputRequest::DeletePrevWord,
        KeyCode::Char('u') if ctrl => InputRequest::DeleteLine,
        KeyCode::Char('k') if ctrl => InputRequest::DeleteTillEnd,
        KeyCode::Char(letter) if !ctrl => InputRequest::InsertChar(letter),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(form: &mut Form, codes: &[KeyCode]) -> Pressed {
        let mut last = Pressed::Taken;
        for code in codes {
            last = form.press(KeyEvent::new(*code, KeyModifiers::NONE));
        }
        last
    }

    fn form() -> Form {
        Form::new(
            "a form",
            vec![
                Field::text("name", "", "ab"),
                Field::choice("kind", "", ["merge", "inject"], "inject"),
                Field::path("file", "", ""),
            ],
        )
    }

    #[test]
    fn fields_are_typed_and_chosen() {
        let mut form = form();
        press(
            &mut form,
            &[
                KeyCode::Char('c'),
                KeyCode::Left,
                KeyCode::Backspace,
                KeyCode::Down,
            ],
        );
        assert_eq!(form.value("name"), "ac");
        assert_eq!(form.value("kind"), "inject");
        press(&mut form, &[KeyCode::Right, KeyCode::Char('x')]);
        assert_eq!(form.value("kind"), "merge");
        press(&mut form, &[KeyCode::Left, KeyCode::Down, KeyCode::Down]);
        assert_eq!((form.value("kind"), form.at), ("inject", 2));
        form.paste("/tmp/a\nb");
        assert_eq!(form.value("file"), "/tmp/a");
        assert_eq!(press(&mut form, &[KeyCode::Enter]), Pressed::Submitted);
        assert_eq!(press(&mut form, &[KeyCode::Esc]), Pressed::Left);
    }

    #[test]
    fn only_paths_are_picked() {
        let mut form = form();
        let pick = KeyEvent::new(KeyCode::Char('o'), KeyModifiers::CONTROL);
        assert_eq!(form.press(pick), Pressed::Taken);
        form.at = 2;
        assert_eq!(form.press(pick), Pressed::Pick);
    }
}
