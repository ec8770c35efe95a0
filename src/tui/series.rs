//! Figures over steps, as charts draw them.

/// A figure over steps, in the order of the steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    steps: Vec<u64>,
    values: Vec<f32>,
}

/// What a series comes to within one column of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The least value.
    pub min: f32,
    /// The largest value.
    pub max: f32,
    /// The mean.
    pub mean: f32,
}

impl Series {
    /// Adds the figure of a step. Where an earlier session told of this step or of later ones, those are forgotten:
    /// the last telling counts.
    pub fn push(&mut self, step: u64, value: f32) {
        self.cut_after(step.saturating_sub(1));
        self.steps.push(step);
        self.values.push(value);
    }

    /// Forgets the steps after this one.
    pub fn cut_after(&mut self, step: u64) {
        if self.steps.last().is_some_and(|last| *last > step) {
            let kept = self.steps.partition_point(|known| *known <= step);
            self.steps.truncate(kept);
            self.values.truncate(kept);
        }
    }

    /// The first and the last step.
    pub fn range(&self) -> Option<(u64, u64)> {
        Some((*self.steps.first()?, *self.steps.last()?))
    }

    /// The last value.
    pub fn last(&self) -> Option<f32> {
        self.values.last().copied()
    }

    /// The figures within `range`, both ends included, in `count` columns of equal width.
    pub fn buckets(&self, range: (u64, u64), count: usize) -> Vec<Option<Bucket>> {
        let (first, last) = range;
        let from = self.steps.partition_point(|step| *step < first);
        let to = self.steps.partition_point(|step| *step <= last);
        let width = (last - first + 1) as f64 / count.max(1) as f64;
        let mut at = from;
        (1..=count)
            .map(|column| {
                let end = first as f64 + column as f64 * width;
                let begin = at;
                while at < to && (self.steps[at] as f64) < end {
                    at += 1;
                }
                bucket(&self.values[begin..at])
            })
            .collect()
    }
}

fn bucket(values: &[f32]) -> Option<Bucket> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let count = finite().count();
    (count > 0).then(|| Bucket {
        min: finite().fold(f32::INFINITY, f32::min),
        max: finite().fold(f32::NEG_INFINITY, f32::max),
        mean: (finite().map(f64::from).sum::<f64>() / count as f64) as f32,
    })
}

/// Columns smoothed by an exponential moving average over the columns that hold something.
pub(super) fn smoothed(buckets: &[Option<Bucket>], weight: f32) -> Vec<Option<f32>> {
    let mut average: Option<f32> = None;
    buckets
        .iter()
        .map(|bucket| {
            let mean = bucket.as_ref()?.mean;
            let next = average.map_or(mean, |before| weight * before + (1.0 - weight) * mean);
            average = Some(next);
            average
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_telling_of_a_step_counts() {
        let mut series = Series::default();
        for (step, value) in [(1, 1.0), (2, 2.0), (3, 3.0), (2, 20.0)] {
            series.push(step, value);
        }
        assert_eq!(series.range(), Some((1, 2)));
        assert_eq!(series.last(), Some(20.0));
    }

    proptest! {
        #[test]
        fn no_value_is_lost_between_columns(
            values in prop::collection::vec(-1e3_f32..1e3, 1..300),
            count in 1_usize..50,
        ) {
            let mut series = Series::default();
            for (step, value) in (1..).zip(&values) {
                series.push(step, *value);
            }
            let buckets = series.buckets((1, values.len() as u64), count);
            prop_assert_eq!(buckets.len(), count);
            let most = buckets.iter().flatten().map(|bucket| bucket.max).fold(f32::MIN, f32::max);
            let least = buckets.iter().flatten().map(|bucket| bucket.min).fold(f32::MAX, f32::min);
            prop_assert_eq!(most, values.iter().copied().fold(f32::MIN, f32::max));
            prop_assert_eq!(least, values.iter().copied().fold(f32::MAX, f32::min));
        }
    }
}
