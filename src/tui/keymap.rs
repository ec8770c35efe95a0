//! The key table with the changes of the user's settings.
//!
//! ```toml
//! # ~/.config/cutline/config.toml
//! [keys.train]
//! pause-or-resume = ["p"]
//! next-chart = ["n", "Right"]
//! ```

use super::keys::{Key, KeyBinding, TABLE, UnknownKey};
use super::{Action, KeyContext};
use crate::suggest::nearest;
use ratatui::crossterm::event::KeyEvent;
use std::collections::BTreeMap;
use strum::VariantArray;

/// Changes in the user's settings: context, action, keys.
pub type KeyChanges = BTreeMap<String, BTreeMap<String, Vec<String>>>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeymapError {
    #[error("[keys.{name}]: unknown context; known are {}", KeyContext::VARIANTS.iter().map(|context| context.name()).collect::<Vec<_>>().join(", "))]
    Context { name: String },
    #[error("keys.{context}: unknown action `{name}`; {advice}")]
    Action {
        context: &'static str,
        name: String,
        advice: String,
    },
    #[error("keys.{context}.{action}: {source}")]
    Key {
        context: &'static str,
        action: String,
        source: UnknownKey,
    },
    #[error("keys.{context}.{action} has no key; add one or remove the line")]
    NoKeys { context: &'static str, action: String },
    #[error("key {key} is bound to both `{one}` and `{other}` in `{context}`; change one of them")]
    Duplicate {
        key: String,
        context: &'static str,
        one: String,
        other: String,
    },
}

/// A row of the key table with the keys of the user's settings.
#[derive(Clone, Debug)]
pub struct ActiveBinding {
    pub binding: &'static KeyBinding,
    pub keys: Vec<Key>,
}

impl ActiveBinding {
    pub fn keys_text(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(Key::to_string).collect();
        keys.join(" ")
    }
}

#[derive(Clone, Debug)]
pub struct Keymap(Vec<ActiveBinding>);

impl Default for Keymap {
    fn default() -> Self {
        let bound = |binding: &'static KeyBinding| ActiveBinding {
            binding,
            keys: binding.keys.to_vec(),
        };
        Self(TABLE.iter().map(bound).collect())
    }
}

impl Keymap {
    ///
    /// # Errors
    /// If a change names an unknown context, action or key, leaves an action without keys, or gives a key two
    /// actions.
    pub fn with(changes: &KeyChanges) -> Result<Self, KeymapError> {
        let mut keymap = Self::default();
        for (name, actions) in changes {
            let context = KeyContext::VARIANTS
                .iter()
                .copied()
                .find(|context| context.name() == name)
                .ok_or_else(|| KeymapError::Context { name: name.clone() })?;
            for (action, keys) in actions {
                keymap.change(context, action, keys)?;
            }
        }
        keymap.reject_duplicates()?;
        Ok(keymap)
    }

    fn change(&mut self, context: KeyContext, action: &str, keys: &[String]) -> Result<(), KeymapError> {
        let mut here = self.0.iter_mut().filter(|bound| bound.binding.context == context);
        let Some(bound) = here.find(|bound| bound.binding.id() == action) else {
            return Err(no_action(context, action));
        };
        if keys.is_empty() {
            return Err(KeymapError::NoKeys {
                context: context.name(),
                action: action.to_owned(),
            });
        }
        let parsed = keys.iter().map(|key| key.parse()).collect::<Result<_, _>>();
        bound.keys = parsed.map_err(|source| KeymapError::Key {
            context: context.name(),
            action: action.to_owned(),
            source,
        })?;
        Ok(())
    }

    fn reject_duplicates(&self) -> Result<(), KeymapError> {
        for &context in KeyContext::VARIANTS {
            let mut seen: Vec<(Key, &ActiveBinding)> = Vec::new();
            for bound in self.bindings(context) {
                for key in &bound.keys {
                    if let Some((_, other)) = seen.iter().find(|(known, _)| known == key) {
                        return Err(KeymapError::Duplicate {
                            key: key.to_string(),
                            context: context.name(),
                            one: other.binding.id().to_owned(),
                            other: bound.binding.id().to_owned(),
                        });
                    }
                    seen.push((*key, bound));
                }
            }
        }
        Ok(())
    }

    pub fn action(&self, context: KeyContext, event: KeyEvent) -> Option<Action> {
        self.bindings(context)
            .find(|bound| bound.keys.iter().any(|key| key.is(event)))
            .map(|bound| bound.binding.action)
    }

    /// The bindings that apply in `context`: its own, then the global ones.
    pub fn bindings(&self, context: KeyContext) -> impl Iterator<Item = &ActiveBinding> {
        let own = self
            .bindings_in(context)
            .filter(move |_| context != KeyContext::Everywhere);
        own.chain(self.bindings_in(KeyContext::Everywhere))
    }

    pub fn bindings_in(&self, context: KeyContext) -> impl Iterator<Item = &ActiveBinding> {
        self.0
            .iter()
            .filter(move |bound| bound.binding.context == context)
    }

    /// The first key of an action in `context`.
    pub fn key_of(&self, context: KeyContext, action: Action) -> String {
        let bound = self
            .bindings(context)
            .find(|bound| bound.binding.action == action);
        bound.map_or_else(String::new, |bound| bound.keys[0].to_string())
    }

    /// A settings file with all keys, to edit.
    pub fn template(&self) -> String {
        let mut text = String::new();
        for &context in KeyContext::VARIANTS {
            text += &format!("[keys.{}]\n", context.name());
            for bound in self.bindings_in(context) {
                let keys: Vec<String> = bound
                    .keys
                    .iter()
                    .map(|key| toml::Value::String(key.to_string()).to_string())
                    .collect();
                text += &format!(
                    "# {}\n{} = [{}]\n",
                    bound.binding.help,
                    bound.binding.id(),
                    keys.join(", ")
                );
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

fn no_action(context: KeyContext, name: &str) -> KeymapError {
    let ids: Vec<&str> = TABLE
        .iter()
        .filter(|binding| binding.context == context)
        .map(KeyBinding::id)
        .collect();
    let advice = match nearest(name, ids.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", ids.join(", ")),
    };
    KeymapError::Action {
        context: context.name(),
        name: name.to_owned(),
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::user_settings::UserSettings;
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};

    fn changed(text: &str) -> Result<Keymap, KeymapError> {
        Keymap::with(&toml::from_str::<UserSettings>(text).unwrap().keys)
    }

    #[test]
    fn default_keys_are_unique() {
        assert_eq!(Keymap::default().reject_duplicates(), Ok(()));
    }

    #[test]
    fn user_settings_change_keys() {
        let keymap = changed("[keys.train]\npause-or-resume = ['P', 'Ctrl-S']").unwrap();
        let press = |key, held| keymap.action(KeyContext::Train, KeyEvent::new(KeyCode::Char(key), held));
        assert_eq!(press('P', KeyModifiers::SHIFT), Some(Action::PauseOrResume));
        assert_eq!(press('s', KeyModifiers::CONTROL), Some(Action::PauseOrResume));
        assert_eq!(press('p', KeyModifiers::NONE), None);
        assert_eq!(keymap.key_of(KeyContext::Train, Action::PauseOrResume), "P");
    }

    #[test]
    fn invalid_key_changes_rejected() {
        for (text, words) in [
            ("[keys.trian]\nstop = ['x']", "[keys.trian]: unknown context"),
            ("[keys.train]\nstopp = ['x']", "did you mean `stop`?"),
            (
                "[keys.train]\nstop = ['Hyper-x']",
                "keys.train.stop: unknown key `Hyper-x`",
            ),
            ("[keys.train]\nstop = []", "keys.train.stop has no key"),
            (
                "[keys.train]\nstop = ['q']",
                "key q is bound to both `stop` and `quit` in `train`",
            ),
            (
                "[keys.everywhere]\nquit = ['w']",
                "key w is bound to both `checkpoint` and `quit` in `train`",
            ),
        ] {
            let error = changed(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn key_template_equals_defaults() {
        let template = Keymap::default().template();
        assert_eq!(changed(&template).unwrap().template(), template);
    }
}
