//! Settings in layers: defaults, then a TOML file, then `--set key=value`. Errors name the key.
//!
//! A settings type is a plain serde struct: numbers, strings, booleans, lists, unit enums and further structs. Its known
//! keys are those that the base settings serialize to. Options, maps and enums with data are not supported: their keys
//! depend on their values.

use std::ffi::OsString;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::suggest::nearest;

/// More levels than any settings have: limits the nesting of tables by a malicious key.
const MAX_KEY_DEPTH: usize = 16;

/// Why settings could not be resolved. `origin` is `--set` or a file and line.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum ConfigError {
    #[error("cannot read the settings in {}: {source}; check the path", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: not valid TOML: {message}; fix that line", path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("{origin}: there is no setting `{key}`; {advice}")]
    Unknown {
        origin: String,
        key: String,
        advice: String,
    },
    #[error("{origin}: the setting `{key}` does not take this: {message}")]
    Invalid {
        origin: String,
        key: String,
        message: String,
    },
    #[error("these settings do not go together: {message}; leave out some of them")]
    Conflict { message: String },
    #[error("the default settings cannot be written as TOML: {message}; please report this")]
    Defaults { message: String },
}

/// The directory of the user's own files: `cutline` below `XDG_CONFIG_HOME`, otherwise below `~/.config`.
pub fn user_directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let directory_in = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = directory_in("XDG_CONFIG_HOME").or_else(|| Some(directory_in("HOME")?.join(".config")))?;
    Some(home.join("cutline"))
}

/// A number, or `auto`: a number that is chosen from the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoOr<T> {
    /// Chosen from the data.
    #[default]
    Auto,
    /// This number.
    Set(T),
}

impl<T> AutoOr<T> {
    /// The number that is set, or else `chosen`.
    pub fn unwrap_or(self, chosen: T) -> T {
        match self {
            Self::Auto => chosen,
            Self::Set(number) => number,
        }
    }
}

const AUTO: &str = "auto";

impl<T: Serialize> Serialize for AutoOr<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Set(number) => number.serialize(serializer),
        }
    }
}

impl<'de, T: TryFrom<u64> + FromStr> Deserialize<'de> for AutoOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AutoOrVisitor(PhantomData))
    }
}

struct AutoOrVisitor<T>(PhantomData<T>);

impl<T: TryFrom<u64> + FromStr> de::Visitor<'_> for AutoOrVisitor<T> {
    type Value = AutoOr<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a whole number, 0 or more, or auto")
    }

    /// `--set` gives numbers as text where the default is text.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<AutoOr<T>, E> {
        match (text, text.parse()) {
            (AUTO, _) => Ok(AutoOr::Auto),
            (_, Ok(number)) => Ok(AutoOr::Set(number)),
            (_, Err(_)) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<AutoOr<T>, E> {
        let unsigned =
            u64::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self));
        self.visit_u64(unsigned?)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<AutoOr<T>, E> {
        let fitting =
            T::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self));
        Ok(AutoOr::Set(fitting?))
    }
}

/// One `key=value` from the command line.
///
/// The key is dotted (`decoder.hidden_size`). The value is TOML (`512`, `true`, `[1, 2]`); if it is not valid TOML it is
/// a string, so `decoder.kind=merge` needs no quotes.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    key: Vec<String>,
    value: Value,
    text: String,
}

/// Why a `key=value` could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages describe the variants")]
pub enum AssignmentError {
    #[error("`{0}` has no `=`; write key=value, such as decoder.hidden_size=512")]
    NoEqualsSign(String),
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

    /// The value as text.
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
        if names.len() > MAX_KEY_DEPTH || !names.iter().all(|name| is_bare_key(name)) {
            return Err(AssignmentError::Key(key.to_owned()));
        }
        Ok(Self {
            key: names,
            value: value.parse().unwrap_or_else(|_| Value::String(value.to_owned())),
            text: value.to_owned(),
        })
    }
}

fn is_bare_key(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(allowed)
}

/// The settings with the changes of `file` and then of `sets`.
///
/// # Errors
///
/// [`ConfigError`] names the file and line or the flag, the key, and the accepted values.
pub fn apply<T>(settings: &T, file: Option<&Path>, sets: &[Assignment]) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned,
{
    let mut entries = match file {
        Some(path) => read_entries(path)?,
        None => Vec::new(),
    };
    for set in sets {
        flatten(
            &set.key,
            &set.value,
            &|_| "--set".to_owned(),
            Some(&set.text),
            &mut entries,
        );
    }
    let base = Table::try_from(settings).map_err(|error| ConfigError::Defaults {
        message: error.to_string(),
    })?;
    for entry in &mut entries {
        entry.check(&base)?;
    }
    deserialize(&base, &entries).map_err(|error| invalid_setting::<T>(&base, &entries, error))
}

/// A changed setting: a leaf of a table, or an empty table.
struct Entry {
    key: Vec<String>,
    value: Value,
    /// The text of a `--set` value, for a string setting whose value looks like a number.
    text: Option<String>,
    origin: String,
}

impl Entry {
    /// Refuses keys that are unknown or not a single setting.
    fn check(&mut self, known: &Table) -> Result<(), ConfigError> {
        let mut group = known;
        for (depth, name) in (1..).zip(&self.key) {
            match group.get(name) {
                None => {
                    return Err(ConfigError::Unknown {
                        origin: self.origin.clone(),
                        key: self.key.join("."),
                        advice: advice(known, group, &self.key),
                    });
                }
                Some(Value::Table(below)) if depth < self.key.len() => group = below,
                Some(Value::Table(below)) if !self.value.is_table() => {
                    let names = names(below);
                    return Err(self.invalid(format!("it is a group of settings, set one of them: {names}")));
                }
                Some(_) if depth < self.key.len() => {
                    let setting = self.key[..depth].join(".");
                    return Err(self.invalid(format!("`{setting}` is one setting, not a group of them")));
                }
                Some(Value::String(_)) if !self.value.is_str() => {
                    if let Some(text) = self.text.take() {
                        self.value = Value::String(text);
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn invalid(&self, message: String) -> ConfigError {
        ConfigError::Invalid {
            origin: self.origin.clone(),
            key: self.key.join("."),
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
    // Parsed twice: `Table` has the values, `DeTable` the positions of the keys.
    let table: Table = toml::from_str(&text).map_err(syntax)?;
    let positions = DeTable::parse(&text).map_err(syntax)?;
    let origin = |key: &[String]| {
        let line = line_of(offset_of_key(positions.get_ref(), key).unwrap_or(0));
        format!("{}:{line}", path.display())
    };
    let mut entries = Vec::new();
    for (name, value) in &table {
        flatten(std::slice::from_ref(name), value, &origin, None, &mut entries);
    }
    Ok(entries)
}

fn offset_of_key(positions: &DeTable<'_>, key: &[String]) -> Option<usize> {
    let (name, rest) = key.split_first()?;
    let (position, value) = positions
        .iter()
        .find(|(position, _)| position.get_ref().as_ref() == name)?;
    match value.get_ref() {
        DeValue::Table(below) if !rest.is_empty() => offset_of_key(below, rest),
        _ => Some(position.span().start),
    }
}

fn flatten(
    key: &[String],
    value: &Value,
    origin: &dyn Fn(&[String]) -> String,
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

/// The error for the first setting that is invalid by itself.
fn invalid_setting<T: DeserializeOwned>(
    base: &Table,
    entries: &[Entry],
    error: toml::de::Error,
) -> ConfigError {
    let invalid = entries.iter().find_map(|entry| {
        let error = deserialize::<T>(base, std::slice::from_ref(entry)).err()?;
        Some(entry.invalid(without_type_names(error.message())))
    });
    invalid.unwrap_or_else(|| ConfigError::Conflict {
        message: error.message().to_owned(),
    })
}

/// Replaces the names of Rust's types.
fn without_type_names(message: &str) -> String {
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
    NAMES.iter().fold(message.to_owned(), |message, (name, words)| {
        message.replace(name, words)
    })
}

fn deserialize<T: DeserializeOwned>(base: &Table, entries: &[Entry]) -> Result<T, toml::de::Error> {
    let mut table = base.clone();
    for entry in entries {
        if let Some(setting) = setting_mut(&mut table, &entry.key)
            && !(setting.is_table() && entry.value.is_table())
        {
            *setting = entry.value.clone();
        }
    }
    table.try_into()
}

fn setting_mut<'a>(table: &'a mut Table, key: &[String]) -> Option<&'a mut Value> {
    let (name, rest) = key.split_first()?;
    match (table.get_mut(name)?, rest) {
        (setting, []) => Some(setting),
        (Value::Table(below), rest) => setting_mut(below, rest),
        _ => None,
    }
}

/// The nearest known key, or the keys of the group that was found.
fn advice(known: &Table, group: &Table, key: &[String]) -> String {
    let settings = dotted_keys(known, "");
    let settings = || settings.iter().map(String::as_str);
    let last = key.last().map(String::as_str);
    settings()
        .find(|known| known.rsplit('.').next() == last)
        .or_else(|| nearest(&key.join("."), settings()))
        .map_or_else(
            || format!("known here: {}", names(group)),
            |near| format!("did you mean `{near}`?"),
        )
}

fn names(group: &Table) -> String {
    let names: Vec<&str> = group.keys().map(String::as_str).collect();
    names.join(", ")
}

/// The keys of all groups and settings.
fn dotted_keys(group: &Table, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in group {
        let key = format!("{prefix}{name}");
        if let Value::Table(below) = value {
            keys.extend(dotted_keys(below, &format!("{key}.")));
        }
        keys.push(key);
    }
    keys
}

#[cfg(test)]
mod tests;
