//! A row of the table of metrics, and the name by which everything else refers to it.

use super::{METRICS, ROWS};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The names of a metric, and where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDef {
    /// Its name in JSON, flags and settings: `bleu_4`.
    pub key: &'static str,
    /// Its name in tables and charts: `BLEU-4`.
    pub label: &'static str,
    /// Where it is shown.
    pub display_level: DisplayLevel,
}

/// Where a metric is shown. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DisplayLevel {
    /// Where there is room for all metrics.
    Full,
    /// In narrow tables of evaluations.
    Summary,
    /// Beside a single caption.
    Caption,
    /// In lists of runs and in charts.
    Headline,
}

impl MetricDef {
    pub(super) const fn new(key: &'static str, label: &'static str, display_level: DisplayLevel) -> Self {
        Self {
            key,
            label,
            display_level,
        }
    }
}

/// A metric: the index of a row of [`METRICS`], or of an optional metric after them. Serialized as its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metric(usize);

impl Metric {
    /// BLEU-1.
    pub const BLEU_1: Self = Self::row("bleu_1");
    /// BLEU-4.
    pub const BLEU_4: Self = Self::row("bleu_4");
    /// ROUGE-L.
    pub const ROUGE_L: Self = Self::row("rouge_l");
    /// CIDEr-D.
    pub const CIDER_D: Self = Self::row("cider_d");
    /// METEOR; optional, since it needs data files.
    pub const METEOR: Self = Self::row("meteor");
    /// SPICE; optional, since it needs a Java program.
    pub const SPICE: Self = Self::row("spice");

    /// The row with this key; the build fails if there is none.
    const fn row(key: &str) -> Self {
        let mut index = 0;
        while !is_equal(ROWS[index].key.as_bytes(), key.as_bytes()) {
            index += 1;
        }
        Self(index)
    }

    /// The metrics that captions alone are enough for, in the order of [`METRICS`].
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + Clone {
        (0..METRICS.len()).map(Self)
    }

    /// The metrics to show at this level.
    pub fn shown(display_level: DisplayLevel) -> impl DoubleEndedIterator<Item = Self> + Clone {
        Self::all().filter(move |metric| metric.def().display_level >= display_level)
    }

    /// All metrics, the optional ones last.
    pub fn with_optional() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + Clone {
        (0..ROWS.len()).map(Self)
    }

    /// The metric of [`all`](Self::all) with this key.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::all().find(|metric| metric.key() == key)
    }

    fn def(self) -> MetricDef {
        ROWS[self.0]
    }

    /// Its name in JSON, flags and settings: `bleu_4`.
    pub fn key(self) -> &'static str {
        self.def().key
    }

    /// Its name in tables and charts: `BLEU-4`.
    pub fn label(self) -> &'static str {
        self.def().label
    }

    /// Its name without the order of n-grams: `BLEU` for `BLEU-4`.
    pub fn family(self) -> &'static str {
        let label = self.label();
        label
            .strip_suffix(|order: char| order.is_ascii_digit())
            .map_or(label, |name| name.trim_end_matches('-'))
    }

    /// Its row in [`METRICS`], or after them.
    pub fn index(self) -> usize {
        self.0
    }

    /// The next metric of the table, cyclically.
    pub fn next(self) -> Self {
        Self((self.0 + 1) % METRICS.len())
    }
}

impl Default for Metric {
    fn default() -> Self {
        Self::CIDER_D
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const KEYS: [&str; METRICS.len()] = Metric::keys("");
        let key = String::deserialize(deserializer)?;
        Self::from_key(&key).ok_or_else(|| D::Error::unknown_variant(&key, &KEYS))
    }
}

impl Metric {
    /// The keys of [`METRICS`], followed by `other` where `N` is larger than their number.
    pub(crate) const fn keys<const N: usize>(other: &'static str) -> [&'static str; N] {
        let mut keys = [other; N];
        let mut index = 0;
        while index < METRICS.len() {
            keys[index] = METRICS[index].key;
            index += 1;
        }
        keys
    }
}

const fn is_equal(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([first, one @ ..], [second, other @ ..]) => *first == *second && is_equal(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_and_labels_are_unique() {
        let keys: HashSet<&str> = Metric::with_optional().map(Metric::key).collect();
        let labels: HashSet<&str> = Metric::with_optional().map(Metric::label).collect();
        assert_eq!((keys.len(), labels.len()), (ROWS.len(), ROWS.len()));
    }

    #[test]
    fn metric_is_found_by_its_key() {
        for metric in Metric::all() {
            assert_eq!(Metric::from_key(metric.key()), Some(metric));
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), metric);
        }
        assert_eq!(Metric::CIDER_D.label(), "CIDEr-D");
        let error = serde_json::from_str::<Metric>("\"meteor\"").unwrap_err();
        let expected = "unknown variant `meteor`, expected one of `bleu_1`";
        assert!(error.to_string().contains(expected), "{error}");
    }
}
