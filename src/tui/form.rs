//! A form: text fields and choices, checked at every key press.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

#[derive(Clone, Debug)]
pub struct Form {
    pub title: String,
    pub fields: Vec<Field>,
    pub focused: usize,
    /// The outcome so far, such as a command line, or the error.
    pub outcome: Result<String, FormError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormError {
    /// The field at fault; `None` for the whole form.
    pub field: Option<&'static str>,
    pub message: String,
}

impl FormError {
    pub fn in_field(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field: Some(field),
            message: message.into(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: &'static str,
    pub help: &'static str,
    pub entry: FieldValue,
    initial: String,
}

const NO: &str = "no";
const YES: &str = "yes";

#[derive(Clone, Debug)]
pub enum FieldValue {
    Text(Input),
    /// A path: typed, or picked with the file picker.
    Path(Input),
    Choice {
        options: Vec<String>,
        selected: usize,
    },
}

impl Field {
    fn new(name: &'static str, help: &'static str, entry: FieldValue) -> Self {
        let mut field = Self {
            name,
            help,
            entry,
            initial: String::new(),
        };
        field.initial = field.value().to_owned();
        field
    }

    pub fn text(name: &'static str, help: &'static str, value: impl Into<String>) -> Self {
        Self::new(name, help, FieldValue::Text(Input::new(value.into())))
    }

    pub fn path(name: &'static str, help: &'static str, value: impl Into<String>) -> Self {
        Self::new(name, help, FieldValue::Path(Input::new(value.into())))
    }

    /// A choice; `chosen` is selected, otherwise the first option.
    pub fn choice(
        name: &'static str,
        help: &'static str,
        options: impl IntoIterator<Item = impl Into<String>>,
        chosen: &str,
    ) -> Self {
        let options: Vec<String> = options.into_iter().map(Into::into).collect();
        let selected = options.iter().position(|option| option == chosen).unwrap_or(0);
        Self::new(name, help, FieldValue::Choice { options, selected })
    }

    /// A choice between no and yes.
    pub fn switch(name: &'static str, help: &'static str) -> Self {
        Self::choice(name, help, [NO, YES], NO)
    }

    pub fn value(&self) -> &str {
        match &self.entry {
            FieldValue::Text(input) | FieldValue::Path(input) => input.value().trim(),
            FieldValue::Choice { options, selected } => options.get(*selected).map_or("", String::as_str),
        }
    }

    /// Sets the value; a choice ignores what is not an option.
    pub fn set(&mut self, value: &str) {
        match &mut self.entry {
            FieldValue::Text(input) | FieldValue::Path(input) => *input = Input::new(value.to_owned()),
            FieldValue::Choice { options, selected } => {
                if let Some(index) = options.iter().position(|option| option == value) {
                    *selected = index;
                }
            }
        }
    }

    fn choose(&mut self, by: isize) {
        if let FieldValue::Choice { options, selected } = &mut self.entry {
            let count = options.len().max(1) as isize;
            *selected = (*selected as isize + by).rem_euclid(count) as usize;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOutcome {
    Handled,
    Submitted,
    Cancelled,
    PickFile,
}

impl Form {
    pub fn new(title: impl Into<String>, fields: Vec<Field>) -> Self {
        Self {
            title: title.into(),
            fields,
            focused: 0,
            outcome: Ok(String::new()),
        }
    }

    /// The value of a field; empty if there is no such field.
    pub fn value(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|field| field.name == name);
        field.map_or("", Field::value)
    }

    pub fn is_changed(&self, name: &str) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|field| field.name == name && field.value() != field.initial)
    }

    /// The flag that has the field's name, with the value; a switch has none.
    pub fn flag(&self, name: &str) -> impl Iterator<Item = String> {
        let value = Some(self.value(name).to_owned()).filter(|value| value != YES);
        [format!("--{}", name.replace(' ', "-"))].into_iter().chain(value)
    }

    /// The flags of those of these fields that are changed.
    pub fn changed_flags(&self, names: &[&str]) -> Vec<String> {
        let changed = names.iter().filter(|name| self.is_changed(name));
        changed.flat_map(|name| self.flag(name)).collect()
    }

    pub fn set(&mut self, name: &str, value: &str) {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            field.set(value);
        }
    }

    pub fn current(&mut self) -> Option<&mut Field> {
        self.fields.get_mut(self.focused)
    }

    pub fn press(&mut self, key: KeyEvent) -> KeyOutcome {
        let held = key.modifiers;
        match key.code {
            KeyCode::Esc => return KeyOutcome::Cancelled,
            KeyCode::Char('c') if held.contains(KeyModifiers::CONTROL) => return KeyOutcome::Cancelled,
            KeyCode::Enter => return KeyOutcome::Submitted,
            KeyCode::Char('o') if held.contains(KeyModifiers::CONTROL) => {
                return match self.current().map(|field| &field.entry) {
                    Some(FieldValue::Path(_)) => KeyOutcome::PickFile,
                    _ => KeyOutcome::Handled,
                };
            }
            KeyCode::Up | KeyCode::BackTab => self.focused = self.focused.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab => {
                self.focused = (self.focused + 1).min(self.fields.len().saturating_sub(1))
            }
            _ => self.type_key(key),
        }
        KeyOutcome::Handled
    }

    fn type_key(&mut self, key: KeyEvent) {
        let Some(field) = self.current() else { return };
        match (&mut field.entry, key.code) {
            (FieldValue::Choice { .. }, KeyCode::Left) => field.choose(-1),
            (FieldValue::Choice { .. }, KeyCode::Right | KeyCode::Char(' ')) => field.choose(1),
            (FieldValue::Choice { .. }, _) => {}
            (FieldValue::Text(input) | FieldValue::Path(input), _) => {
                if let Some(request) = input_request(key) {
                    input.handle(request);
                }
            }
        }
    }

    /// Inserts the first line of a paste.
    pub fn paste(&mut self, text: &str) {
        let line = text.lines().next().unwrap_or_default();
        if let Some(FieldValue::Text(input) | FieldValue::Path(input)) =
            self.current().map(|field| &mut field.entry)
        {
            for letter in line.chars().filter(|letter| !letter.is_control()) {
                input.handle(InputRequest::InsertChar(letter));
            }
        }
    }
}

/// The edit that a key makes in a text input.
pub fn input_request(key: KeyEvent) -> Option<InputRequest> {
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

    fn press(form: &mut Form, codes: &[KeyCode]) -> KeyOutcome {
        let outcomes = codes
            .iter()
            .map(|code| form.press(KeyEvent::new(*code, KeyModifiers::NONE)));
        outcomes.last().unwrap()
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
    fn keys_edit_form_fields() {
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
        assert_eq!((form.value("kind"), form.focused), ("inject", 2));
        form.paste("/tmp/a\nb");
        assert_eq!(form.value("file"), "/tmp/a");
        assert_eq!(press(&mut form, &[KeyCode::Enter]), KeyOutcome::Submitted);
        assert_eq!(press(&mut form, &[KeyCode::Esc]), KeyOutcome::Cancelled);
    }

    #[test]
    fn file_picker_opens_for_paths_only() {
        let mut form = form();
        let pick = KeyEvent::new(KeyCode::Char('o'), KeyModifiers::CONTROL);
        assert_eq!(form.press(pick), KeyOutcome::Handled);
        form.focused = 2;
        assert_eq!(form.press(pick), KeyOutcome::PickFile);
    }
}
