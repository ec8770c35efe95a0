//! One network's tensors in a file: under any prefix, and under other names of its modules.

use super::{TensorBytes, WeightFile, WeightsError, WeightsErrorKind};
use std::borrow::Cow;

/// More copies of a network than any checkpoint has.
const MAX_PREFIXES: usize = 64;

/// Words in the prefix of an average over the training, or of a network that only another one learns from.
const AVERAGES: [&str; 12] = [
    "average",
    "averaged",
    "averaging",
    "avg",
    "ema",
    // The encoder of keys, beside that of queries `q`.
    "k",
    "momentum",
    "polyak",
    "shadow",
    "swa",
    "target",
    "teacher",
];

/// The names of a module's children in a file. Names of tensors are `child.rest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// As published.
    Published,
    /// By number, as `nn.Sequential(*model.children())` names them.
    Numbered(&'static [&'static str]),
    /// Of one child alone, and without its name: `model.features.state_dict()`.
    Child(&'static str),
}

impl Spelling {
    /// The name in the file of the tensor with this published name; `None` if the file cannot have it.
    fn stored(self, name: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Published => Some(name.into()),
            Self::Numbered(children) => {
                let (child, rest) = name.split_once('.')?;
                let number = children.iter().position(|other| *other == child)?;
                Some(format!("{number}.{rest}").into())
            }
            Self::Child(child) => Some(name.strip_prefix(child)?.strip_prefix('.')?.into()),
        }
    }

    /// The published name of the tensor with this name in the file; its own if it is none of a child's.
    fn published(self, stored: &str) -> Cow<'_, str> {
        let published = match self {
            Self::Published => None,
            Self::Numbered(children) => stored.split_once('.').and_then(|(number, rest)| {
                let child = children.get(number.parse::<usize>().ok()?)?;
                Some(format!("{child}.{rest}"))
            }),
            Self::Child(child) => Some(format!("{child}.{stored}")),
        };
        published.map_or(stored.into(), Cow::from)
    }
}

/// A network's tensors in a file, by their published names.
#[derive(Clone, Debug)]
pub(crate) struct StateDict<'f> {
    file: &'f WeightFile,
    prefix: &'f str,
    spelling: Spelling,
}

impl<'f> StateDict<'f> {
    /// All tensors of the file, under their own names.
    pub(crate) fn whole(file: &'f WeightFile) -> Self {
        Self {
            file,
            prefix: "",
            spelling: Spelling::Published,
        }
    }

    /// The places in the file that have the tensor `first`.
    pub(crate) fn all(file: &'f WeightFile, spelling: Spelling, first: &str) -> Vec<Self> {
        let Some(first) = spelling.stored(first) else {
            return Vec::new();
        };
        let prefixes = file.names().filter_map(|name| name.strip_suffix(&*first));
        let prefixes = prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with(['.', '/']));
        let dict = |prefix| Self {
            file,
            prefix,
            spelling,
        };
        prefixes.take(MAX_PREFIXES).map(dict).collect()
    }

    pub(crate) fn file(&self) -> &'f WeightFile {
        self.file
    }

    /// The prefix of all names, without the separator at its end; empty at the top of the file.
    pub(crate) fn prefix(&self) -> &'f str {
        self.prefix.trim_end_matches(['.', '/'])
    }

    /// Whether the prefix says that this is an average over the training, or another network's teacher.
    pub(crate) fn is_average(&self) -> bool {
        let mut words = self.prefix.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| AVERAGES.contains(&word.to_ascii_lowercase().as_str()))
    }

    /// The name in the file of the tensor with this published name.
    pub(crate) fn stored(&self, name: &str) -> Option<String> {
        Some(format!("{}{}", self.prefix, self.spelling.stored(name)?))
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&'f [usize]> {
        self.file.shape(&self.stored(name)?)
    }

    /// The published names of all tensors here.
    pub(crate) fn names(&self) -> impl Iterator<Item = Cow<'f, str>> {
        self.file.names().filter_map(|stored| self.published(stored))
    }

    /// The published name of the tensor with this name in the file, if it is here.
    pub(crate) fn published<'n>(&self, stored: &'n str) -> Option<Cow<'n, str>> {
        Some(self.spelling.published(stored.strip_prefix(self.prefix)?))
    }

    /// The beginning of a name in the file up to the module where it leaves this place.
    pub(crate) fn branch<'n>(&self, stored: &'n str) -> &'n str {
        let is_end = |&(at, end): &(usize, &str)| !self.prefix.starts_with(&stored[..at + end.len()]);
        let mut ends = stored.match_indices(['.', '/']);
        ends.find(is_end).map_or(stored, |(at, _)| &stored[..at])
    }

    /// The values of a tensor, all finite.
    ///
    /// # Errors
    /// As [`WeightFile::get`], and [`WeightsErrorKind::Invalid`].
    pub(crate) fn get(&self, name: &str, expected_shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let stored = self.stored(name).unwrap_or_else(|| name.to_owned());
        let values = self.file.get(&stored, expected_shape)?;
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(self.invalid(name, format!("holds {value}"))),
            None => Ok(values),
        }
    }

    /// The error for a tensor whose values are of no use.
    pub(crate) fn invalid(&self, name: &str, why: String) -> WeightsError {
        let name = self.stored(name).unwrap_or_else(|| name.to_owned());
        self.file.error(WeightsErrorKind::Invalid { name, why })
    }

    /// Whether a tensor is the same in both: the same bytes.
    pub(crate) fn agrees(&self, other: &Self, name: &str) -> bool {
        let bytes = |dict: &Self| -> Option<(&'f [u8], &'f [usize])> {
            let tensor = dict.file.tensors.get(&dict.stored(name)?)?;
            let part: &'f TensorBytes = &dict.file.parts[tensor.part];
            Some((&part.bytes()[tensor.bytes.clone()], &tensor.shape))
        };
        match (bytes(self), bytes(other)) {
            (Some(ours), Some(theirs)) => std::ptr::eq(ours.0, theirs.0) || ours == theirs,
            (ours, theirs) => ours == theirs,
        }
    }
}
