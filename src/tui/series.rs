//! Values over steps, and their summary per chart column.

/// Values of one quantity, sorted by step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    steps: Vec<u64>,
    values: Vec<f32>,
}

/// The values of a series that fall into one column of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub min: f32,
    pub max: f32,
    pub mean: f32,
}

impl Series {
    /// Appends the value of a step. A resumed session logs some steps again, and the last value counts: this step and
    /// later ones are removed first.
    pub fn push(&mut self, step: u64, value: f32) {
        self.cut_after(step.saturating_sub(1));
        self.steps.push(step);
        self.values.push(value);
    }

    /// Removes the steps after this one.
    pub fn cut_after(&mut self, step: u64) {
        if self.steps.last().is_some_and(|last| *last > step) {
            let kept = self.steps.partition_point(|known| *known <= step);
            self.steps.truncate(kept);
            self.values.truncate(kept);
        }
    }

    pub fn range(&self) -> Option<(u64, u64)> {
        Some((*self.steps.first()?, *self.steps.last()?))
    }

    pub fn last(&self) -> Option<f32> {
        self.values.last().copied()
    }

    /// The value at a step, or at the last step before it.
    pub fn value_at(&self, step: u64) -> Option<f32> {
        let count = self.steps.partition_point(|known| *known <= step);
        self.values.get(count.checked_sub(1)?).copied()
    }

    /// The first step whose value reaches `value`, in a series that only grows; otherwise the last step.
    pub fn step_reaching(&self, value: f32) -> Option<u64> {
        let index = self.values.partition_point(|known| *known < value);
        self.steps.get(index).or(self.steps.last()).copied()
    }

    /// Summarizes the values between each edge and the next one, which is excluded.
    pub fn buckets(&self, edges: &[u64]) -> Vec<Option<Bucket>> {
        let mut index = edges.first().map_or(0, |first| self.index_of(*first));
        edges
            .windows(2)
            .map(|pair| {
                let begin = index;
                index = begin + self.steps[begin..].partition_point(|step| *step < pair[1]);
                bucket(&self.values[begin..index])
            })
            .collect()
    }

    /// Means of at most `count` equal parts.
    pub fn means(&self, count: usize) -> Vec<f32> {
        let part = self.values.len().div_ceil(count.max(1)).max(1);
        let means = self.values.chunks(part).map(bucket);
        means
            .map(|bucket| bucket.map_or(f32::NAN, |bucket| bucket.mean))
            .collect()
    }

    fn index_of(&self, step: u64) -> usize {
        self.steps.partition_point(|known| *known < step)
    }
}

fn bucket(values: &[f32]) -> Option<Bucket> {
    let (mut min, mut max, mut sum, mut count) = (f32::INFINITY, f32::NEG_INFINITY, 0.0, 0_usize);
    for &value in values.iter().filter(|value| value.is_finite()) {
        min = min.min(value);
        max = max.max(value);
        sum += f64::from(value);
        count += 1;
    }
    let mean = (sum / count.max(1) as f64) as f32;
    (count > 0).then_some(Bucket { min, max, mean })
}

/// Exponential moving average over the columns that have values. It runs forwards and backwards, because in one
/// direction alone the line would lag behind the data.
pub fn smoothed(buckets: &[Option<Bucket>], weight: f32) -> Vec<Option<f32>> {
    let means = || buckets.iter().map(|bucket| Some(bucket.as_ref()?.mean));
    let forwards = moving_average(means(), weight);
    let mut backwards = moving_average(means().rev(), weight);
    backwards.reverse();
    let both = forwards.into_iter().zip(backwards);
    both.map(|(one, other)| Some((one? + other?) / 2.0)).collect()
}

fn moving_average(values: impl Iterator<Item = Option<f32>>, weight: f32) -> Vec<Option<f32>> {
    let mut average: Option<f32> = None;
    values
        .map(|value| {
            let value = value?;
            let next = average.map_or(value, |before| weight * before + (1.0 - weight) * value);
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
    fn repeated_step_replaces_later_values() {
        let mut series = Series::default();
        for (step, value) in [(1, 1.0), (2, 2.0), (3, 3.0), (2, 20.0)] {
            series.push(step, value);
        }
        assert_eq!(series.range(), Some((1, 2)));
        assert_eq!(series.last(), Some(20.0));
        assert_eq!(
            [0, 1, 2, 9].map(|step| series.value_at(step)),
            [None, Some(1.0), Some(20.0), Some(20.0)]
        );
    }

    #[test]
    fn smoothed_line_does_not_lag() {
        let bucket = |value: usize| {
            let mean = value as f32;
            (value != 4).then_some(Bucket {
                min: mean,
                max: mean,
                mean,
            })
        };
        let buckets: Vec<_> = (0..21).map(bucket).collect();
        let line = smoothed(&buckets, 0.5);
        assert_eq!(line[4], None);
        assert!((line[10].unwrap() - 10.0).abs() < 0.05, "{line:?}");
    }

    proptest! {
        #[test]
        fn buckets_cover_all_values(
            values in prop::collection::vec(-1e3_f32..1e3, 1..300),
            mut edges in prop::collection::vec(0_u64..310, 0..50),
        ) {
            let mut series = Series::default();
            for (step, value) in (1..).zip(&values) {
                series.push(step, *value);
            }
            edges.extend([1, 301]);
            edges.sort_unstable();
            let buckets = series.buckets(&edges);
            prop_assert_eq!(buckets.len(), edges.len() - 1);
            let most = buckets.iter().flatten().map(|bucket| bucket.max).fold(f32::MIN, f32::max);
            let least = buckets.iter().flatten().map(|bucket| bucket.min).fold(f32::MAX, f32::min);
            prop_assert_eq!(most, values.iter().copied().fold(f32::MIN, f32::max));
            prop_assert_eq!(least, values.iter().copied().fold(f32::MAX, f32::min));
        }
    }
}
