//! Values by metric.

use super::{Metric, ROWS};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// A value for each metric: its score, or for example its [`Interval`](super::Interval).
///
/// In JSON it has a field for each metric: `{"bleu_1": 0.6, ..., "cider_d": 0.5}`. A metric may be missing, as in logs
/// that are older than the metric, and as METEOR without its data. Unknown metrics are ignored.
#[derive(Clone, Copy, PartialEq)]
pub struct Scores<T = f64> {
    values: [Option<T>; ROWS.len()],
}

impl<T> Scores<T> {
    /// The value of each metric but the optional ones.
    pub fn from_fn(mut value: impl FnMut(Metric) -> T) -> Self {
        Metric::all().map(|metric| (metric, value(metric))).collect()
    }

    /// The metric's value, unless it is missing.
    pub fn get(&self, metric: Metric) -> Option<&T> {
        self.values[metric.index()].as_ref()
    }

    /// The metric's value; inserts the default if it is missing.
    pub fn get_or_default(&mut self, metric: Metric) -> &mut T
    where
        T: Default,
    {
        self.values[metric.index()].get_or_insert_default()
    }

    /// The present values, in the order of the metrics.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, &T)> {
        Metric::with_optional().filter_map(|metric| Some((metric, self.get(metric)?)))
    }

    /// Mutable access to the present values.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }
}

impl Scores {
    /// The metric's score; NaN if it is missing.
    pub fn score(&self, metric: Metric) -> f64 {
        self.get(metric).copied().unwrap_or(f64::NAN)
    }

    /// The metric's score with this number of decimals; a dash if it is missing.
    pub fn cell(&self, metric: Metric, decimals: usize) -> String {
        self.get(metric)
            .map_or_else(|| "-".to_owned(), |score| format!("{score:.decimals$}"))
    }

    /// Labels and scores of metrics: `BLEU-4 0.200  CIDEr-D 0.500`.
    pub fn line(&self, metrics: impl Iterator<Item = Metric>, decimals: usize, separator: &str) -> String {
        let named = metrics.map(|metric| format!("{} {}", metric.label(), self.cell(metric, decimals)));
        named.collect::<Vec<_>>().join(separator)
    }
}

impl<T> Default for Scores<T> {
    fn default() -> Self {
        Self {
            values: [const { None }; ROWS.len()],
        }
    }
}

impl<T> FromIterator<(Metric, T)> for Scores<T> {
    fn from_iter<I: IntoIterator<Item = (Metric, T)>>(values: I) -> Self {
        let mut scores = Self::default();
        for (metric, value) in values {
            scores.values[metric.index()] = Some(value);
        }
        scores
    }
}

impl<T: fmt::Debug> fmt::Debug for Scores<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.iter().map(|(metric, value)| (metric.key(), value));
        out.debug_map().entries(named).finish()
    }
}

impl<T: Serialize> Serialize for Scores<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (metric, value) in self.iter() {
            map.serialize_entry(metric.key(), value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Scores<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ScoresVisitor(PhantomData))
    }
}

struct ScoresVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ScoresVisitor<T> {
    type Value = Scores<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value for each metric")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut scores = Scores::default();
        while let Some(key) = map.next_key::<String>()? {
            match Metric::with_optional().find(|metric| metric.key() == key) {
                // In JSON, NaN is `null`.
                Some(metric) => scores.values[metric.index()] = map.next_value()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_serialized_by_key() {
        let scores = Scores::from_iter([(Metric::BLEU_4, 0.25), (Metric::CIDER_D, 1.5)]);
        let json = serde_json::to_string(&scores).unwrap();
        assert_eq!(json, r#"{"bleu_4":0.25,"cider_d":1.5}"#);
        assert_eq!(serde_json::from_str::<Scores>(&json).unwrap(), scores);
    }

    #[test]
    fn missing_and_unknown_metrics_are_read() {
        let scores: Scores =
            serde_json::from_str(r#"{"bleu_4": 0.25, "spider": {"x": [1]}, "rouge_l": null, "meteor": 0.5}"#)
                .unwrap();
        assert_eq!(
            scores,
            Scores::from_iter([(Metric::BLEU_4, 0.25), (Metric::METEOR, 0.5)])
        );
        assert!(scores.score(Metric::CIDER_D).is_nan());
        let metrics = [Metric::BLEU_4, Metric::CIDER_D].into_iter();
        assert_eq!(scores.line(metrics, 3, ", "), "BLEU-4 0.250, CIDEr-D -");
    }

    #[test]
    fn flattened_scores_survive_json() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Row {
            image: String,
            #[serde(flatten)]
            scores: Scores,
        }
        let row = Row {
            image: "1.png".into(),
            scores: Scores::from_fn(|metric| metric.index() as f64),
        };
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["bleu_4"], 3.0);
        assert_eq!(serde_json::from_value::<Row>(json).unwrap(), row);
    }
}
