//! Settings in layers: defaults < TOML file < `--set key=value`, resolved once, with errors that name the key.
//!
//! A settings type is a plain serde struct with a [`Default`]: numbers, strings, booleans, lists, unit enums,
//! options and further structs. Its known keys are those its default serializes to, read through JSON because
//! JSON keeps an unset option as `null` where TOML leaves it out. What lies below an unset option or in an
//! empty map is not known beforehand; there a key counts as known if it is still present once the resolved
//! settings are serialized again. So no `deny_unknown_fields` is needed, and nothing is ignored in silence.
//!
//! Enums that carry data do not fit: laying one variant over another would mix the fields of both.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use thiserror::Error;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::suggest::nearest;

/// More levels than any settings have; keeps a hostile key from nesting tables without end.
const DEEPEST_KEY: usize = 16;

/// Why settings could not be resolved.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the settings in {}: {source}; check the path", path.display())]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not valid TOML: {message}; mend that line", path.display())]
    Syntax {
        /// The file at fault.
        path: PathBuf,
        /// The line at fault, counted from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// A key that no setting has.
    #[error("{origin}: there is no setting `{key}`; {advice}")]
    Unknown {
        /// Where the key was given.
        origin: Origin,
        /// The key as given, dotted.
        key: String,
        /// The nearest known key, or the known keys of that group.
        advice: String,
    },
    /// A value of the wrong type or outside what the setting takes.
    #[error("{origin}: the setting `{key}` does not take this: {message}")]
    Invalid {
        /// Where the value was given.
        origin: Origin,
        /// The key, dotted.
        key: String,
        /// What was expected and what was found.
        message: String,
    },
    /// Each setting is acceptable alone, but not all of them together.
    #[error("these settings do not go together: {message}; leave out some of them")]
    Conflict {
        /// What the settings type said.
        message: String,
    },
    /// The defaults themselves cannot be written as TOML; a mistake in the program.
    #[error("the default settings cannot be written as TOML: {message}; please report this")]
    Defaults {
        /// What the serializer said.
        message: String,
    },
}

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a settings file, counted from 1.
    File {
        /// The settings file.
        path: PathBuf,
        /// The line of the key.
        line: usize,
    },
    /// A `--set` flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(out, "{}:{line}", path.display()),
            Self::Flag => write!(out, "--set"),
        }
    }
}

/// One `key=value` from the command line.
///
/// The key is dotted (`decoder.hidden_size`); the value is TOML (`512`, `true`, `[1, 2]`), and whatever is not TOML
/// is a string, so that `decoder.kind=merge` needs no quotes.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    key: Vec<String>,
    value: Value,
    text: String,
}

/// Why a `key=value` could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AssignmentError {
    /// There is no equals sign.
    #[error("`{0}` has no `=`; write key=value, such as decoder.hidden_size=512")]
    NoEqualsSign(String),
    /// The key is empty or holds something that no key holds.
    #[error(
        "`{0}` is not a key; write names of letters, digits, `_` and `-` joined by dots, such as decoder.hidden_size"
    )]
    Key(String),
}

impl Assignment {
    /// The dotted key.
    pub fn key(&self) -> String {
        self.key.join(".")
    }

    /// The value as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for Assignment {
    type Err = AssignmentError;

    fn from_str(text: &str) -> Result<Self, AssignmentError> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| AssignmentError::NoEqualsSign(text.to_owned()))?;
        let (key, value) = (key.trim(), value.trim());
        let names: Vec<String> = key.split('.').map(|name| name.trim().to_owned()).collect();
        if names.len() > DEEPEST_KEY || !names.iter().all(|name| is_bare_key(name)) {
            return Err(AssignmentError::Key(key.to_owned()));
        }
        let parsed = value.parse().unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok(Self {
            key: names,
            value: parsed,
            text: value.to_owned(),
        })
    }
}

fn is_bare_key(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Lays `file` and then `sets` over the defaults of `T`.
///
/// # Errors
///
/// [`ConfigError`] names the file and line or the flag, the key, and what would have been accepted.
pub fn resolve<T>(file: Option<&Path>, sets: &[Assignment]) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned + Default,
{
    lay_file_over(&T::default(), file, sets)
}

/// Lays `file` and then `sets` over other settings.
///
/// # Errors
///
/// As [`resolve`].
pub fn lay_file_over<T>(settings: &T, file: Option<&Path>, sets: &[Assignment]) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned,
{
    let mut entries = match file {
        Some(path) => read_entries(path)?,
        None => Vec::new(),
    };
    entries.extend(entries_of(sets));
    lay_entries_over(settings, entries)
}

/// Lays `sets` over settings that are in use already.
///
/// # Errors
///
/// As [`resolve`].
pub fn lay_over<T>(settings: &T, sets: &[Assignment]) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned,
{
    lay_entries_over(settings, entries_of(sets))
}

/// One setting that a layer gives: the leaf of a table, or an empty table.
struct Entry {
    key: Vec<String>,
    value: Value,
    /// The text of a `--set` value, for settings that are strings and happen to be given a number.
    text: Option<String>,
    origin: Origin,
}

impl Entry {
    fn dotted(&self) -> String {
        self.key.join(".")
    }

    fn unknown(&self, known: &Json, depth: usize) -> ConfigError {
        ConfigError::Unknown {
            origin: self.origin.clone(),
            key: self.dotted(),
            advice: advice(known, &self.key, depth),
        }
    }

    fn invalid(&self, message: String) -> ConfigError {
        ConfigError::Invalid {
            origin: self.origin.clone(),
            key: self.dotted(),
            message,
        }
    }
}

fn read_entries(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_of(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    };
    // Twice over the text: once for the values, once for the places of the keys.
    let table: Table = toml::from_str(&text).map_err(syntax)?;
    let places = DeTable::parse(&text).map_err(syntax)?;
    let origin = |key: &[String]| Origin::File {
        path: path.to_owned(),
        line: line_of(offset_of_key(places.get_ref(), key).unwrap_or(0)),
    };
    let mut entries = Vec::new();
    for (name, value) in &table {
        flatten(std::slice::from_ref(name), value, &origin, None, &mut entries);
    }
    Ok(entries)
}

fn entries_of(sets: &[Assignment]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for set in sets {
        flatten(
            &set.key,
            &set.value,
            &|_| Origin::Flag,
            Some(&set.text),
            &mut entries,
        );
    }
    entries
}

fn offset_of_key(places: &DeTable<'_>, key: &[String]) -> Option<usize> {
    let (name, rest) = key.split_first()?;
    let (place, value) = places
        .iter()
        .find(|(place, _)| place.get_ref().as_ref() == name)?;
    match value.get_ref() {
        DeValue::Table(below) if !rest.is_empty() => offset_of_key(below, rest),
        _ => Some(place.span().start),
    }
}

fn flatten(
    key: &[String],
    value: &Value,
    origin: &dyn Fn(&[String]) -> Origin,
    text: Option<&str>,
    entries: &mut Vec<Entry>,
) {
    match value {
        Value::Table(table) if !table.is_empty() => {
            for (name, below) in table {
                let key = [key, std::slice::from_ref(name)].concat();
                flatten(&key, below, origin, None, entries);
            }
        }
        _ => entries.push(Entry {
            key: key.to_vec(),
            value: value.clone(),
            text: text.map(str::to_owned),
            origin: origin(key),
        }),
    }
}

fn lay_entries_over<T>(below: &T, mut entries: Vec<Entry>) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned,
{
    let known = known_keys(below)?;
    for entry in &mut entries {
        check(entry, &known)?;
    }
    let base = Table::try_from(below).map_err(defaults_error)?;
    let settings: T = deserialize(&base, &entries).map_err(|error| fault::<T>(&base, &entries, error))?;
    let resolved = known_keys(&settings)?;
    for entry in &entries {
        if let Found::Unknown(depth) = find(&resolved, &entry.key) {
            return Err(entry.unknown(&resolved, depth));
        }
    }
    Ok(settings)
}

fn check(entry: &mut Entry, known: &Json) -> Result<(), ConfigError> {
    match find(known, &entry.key) {
        Found::Unknown(depth) => return Err(entry.unknown(known, depth)),
        Found::Below(depth) => {
            let single = entry.key[..depth].join(".");
            return Err(entry.invalid(format!("`{single}` is one setting, not a group of them")));
        }
        Found::Setting(Json::Object(group)) if !group.is_empty() && !entry.value.is_table() => {
            let names: Vec<&str> = group.keys().map(String::as_str).collect();
            return Err(entry.invalid(format!(
                "it is a group of settings, set one of them: {}",
                names.join(", ")
            )));
        }
        Found::Setting(Json::String(_)) => {
            if let Some(text) = entry.text.take_if(|_| !entry.value.is_str()) {
                entry.value = Value::String(text);
            }
        }
        Found::Setting(_) | Found::Free => {}
    }
    Ok(())
}

/// The setting at fault: the one that the defaults alone do not go with either.
fn fault<T: DeserializeOwned>(base: &Table, entries: &[Entry], error: toml::de::Error) -> ConfigError {
    entries
        .iter()
        .find_map(|entry| {
            let error = deserialize::<T>(base, std::slice::from_ref(entry)).err()?;
            Some(entry.invalid(in_plain_words(error.message())))
        })
        .unwrap_or_else(|| ConfigError::Conflict {
            message: error.message().to_owned(),
        })
}

/// Without the names of Rust's types.
fn in_plain_words(message: &str) -> String {
    const NAMES: [(&str, &str); 6] = [
        ("expected f32", "expected a number"),
        ("expected f64", "expected a number"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        (
            "expected a nonzero u",
            "expected a whole number above 0, of type u",
        ),
    ];
    let named = NAMES.iter().find(|(name, _)| message.contains(name));
    named.map_or_else(
        || message.to_owned(),
        |(name, words)| message.replace(name, words),
    )
}

fn deserialize<T: DeserializeOwned>(base: &Table, entries: &[Entry]) -> Result<T, toml::de::Error> {
    let mut table = base.clone();
    for entry in entries {
        put(&mut table, &entry.key, &entry.value);
    }
    table.try_into()
}

fn put(table: &mut Table, key: &[String], value: &Value) {
    let Some((name, rest)) = key.split_first() else {
        return;
    };
    if rest.is_empty() {
        let adds_nothing = value.is_table() && table.get(name).is_some_and(Value::is_table);
        if !adds_nothing {
            table.insert(name.clone(), value.clone());
        }
        return;
    }
    let below = table
        .entry(name.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    if !below.is_table() {
        *below = Value::Table(Table::new());
    }
    if let Value::Table(below) = below {
        put(below, rest, value);
    }
}

fn known_keys<T: Serialize>(settings: &T) -> Result<Json, ConfigError> {
    serde_json::to_value(settings).map_err(defaults_error)
}

fn defaults_error(error: impl fmt::Display) -> ConfigError {
    ConfigError::Defaults {
        message: error.to_string(),
    }
}

/// What a key leads to among the known ones; depths count the names that were followed.
enum Found<'a> {
    Setting(&'a Json),
    /// Below an unset option or inside an empty map.
    Free,
    /// The name at this depth is not known.
    Unknown(usize),
    /// The first so many names lead to a single setting, and the key goes on.
    Below(usize),
}

fn find<'a>(known: &'a Json, key: &[String]) -> Found<'a> {
    let mut at = known;
    for (depth, name) in key.iter().enumerate() {
        at = match at {
            Json::Null => return Found::Free,
            Json::Object(group) if group.is_empty() => return Found::Free,
            Json::Object(group) => match group.get(name) {
                Some(below) => below,
                None => return Found::Unknown(depth),
            },
            _ => return Found::Below(depth),
        };
    }
    Found::Setting(at)
}

fn advice(known: &Json, key: &[String], depth: usize) -> String {
    let settings = dotted_keys(known);
    let wanted = key.join(".");
    let last = key.last().map_or("", String::as_str);
    let by_whole_key = || nearest(&wanted, settings.iter().map(String::as_str));
    let by_last_name = || {
        settings
            .iter()
            .map(String::as_str)
            .find(|known| known.rsplit('.').next() == Some(last))
    };
    if let Some(near) = by_last_name().or_else(by_whole_key) {
        return format!("did you mean `{near}`?");
    }
    let mut group = known;
    for name in &key[..depth] {
        group = &group[name.as_str()];
    }
    let names: Vec<&str> = group
        .as_object()
        .into_iter()
        .flat_map(|group| group.keys().map(String::as_str))
        .collect();
    format!("known here: {}", names.join(", "))
}

fn dotted_keys(known: &Json) -> Vec<String> {
    fn walk(group: &Json, prefix: &str, keys: &mut Vec<String>) {
        for (name, below) in group.as_object().into_iter().flatten() {
            let key = format!("{prefix}{name}");
            keys.push(key.clone());
            walk(below, &format!("{key}."), keys);
        }
    }
    let mut keys = Vec::new();
    walk(known, "", &mut keys);
    keys
}

#[cfg(test)]
mod tests;
