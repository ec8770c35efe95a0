//! Values over steps in bounded memory, and their summary per chart column.

/// Most points of a series. Few terminals have as many dots in a row; zoomed in, longer trainings look coarser.
const MAX_POINTS: usize = 2048;

/// Values of one quantity, sorted by step. Beyond [`MAX_POINTS`] neighbors are merged, twice as many each time; the
/// first and the last value stay exact, and so do the extremes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    points: Vec<Point>,
    /// A point holds the values of `2^scale` steps, the first point that of a single step.
    scale: u32,
    last: Option<(u64, f32)>,
}

/// The values of some consecutive steps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    /// The first of the steps.
    step: u64,
    values: Bucket,
    count: u32,
}

/// The values of a series that fall into one column of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub min: f32,
    pub max: f32,
    pub mean: f32,
}

impl Point {
    fn new(step: u64, value: f32) -> Self {
        let [min, max, mean] = [value; 3];
        let values = Bucket { min, max, mean };
        let count = 1;
        Self { step, values, count }
    }

    /// All finite values of these points; `None` if there are none.
    fn merged(points: &[Self]) -> Option<Self> {
        let (mut min, mut max, mut sum, mut count) = (f32::INFINITY, f32::NEG_INFINITY, 0.0, 0_u32);
        for point in points.iter().filter(|point| point.values.mean.is_finite()) {
            min = min.min(point.values.min);
            max = max.max(point.values.max);
            sum += f64::from(point.values.mean) * f64::from(point.count);
            count = count.saturating_add(point.count);
        }
        let mean = (sum / f64::from(count.max(1))) as f32;
        let values = Bucket { min, max, mean };
        let step = points.first()?.step;
        (count > 0).then_some(Self { step, values, count })
    }
}

impl Series {
    /// Appends the value of a step. A resumed session logs some steps again, and the last value counts: this step and
    /// later ones are removed first.
    pub fn push(&mut self, step: u64, value: f32) {
        self.cut_after(step.saturating_sub(1));
        self.last = Some((step, value));
        let point = Point::new(step, value);
        match self.points.split_first_mut() {
            Some((_, [.., last])) if last.step >> self.scale == step >> self.scale => {
                *last = Point::merged(&[*last, point]).unwrap_or(*last);
            }
            _ => self.points.push(point),
        }
        while self.points.len() > MAX_POINTS {
            self.merge_neighbors();
        }
    }

    fn merge_neighbors(&mut self) {
        self.scale += 1;
        let part = |point: &Point| point.step >> self.scale;
        let (first, rest) = self.points.split_at(1);
        let rest = rest.chunk_by(|one, next| part(one) == part(next));
        let rest = rest.map(|points| Point::merged(points).unwrap_or(points[0]));
        self.points = first.iter().copied().chain(rest).collect();
    }

    /// Removes the steps after this one. Of a merged point that holds both, all values stay: the resumed session logs
    /// most of them again.
    pub fn cut_after(&mut self, step: u64) {
        if self.last.is_some_and(|(last, _)| last > step) {
            let kept = self.points.partition_point(|point| point.step <= step);
            self.points.truncate(kept);
            self.last = self.points.last().map(|point| (point.step, point.values.mean));
        }
    }

    pub fn range(&self) -> Option<(u64, u64)> {
        Some((self.points.first()?.step, self.last?.0))
    }

    pub fn last(&self) -> Option<f32> {
        Some(self.last?.1)
    }

    /// The value at a step, or at the last step before it; the mean of a merged point.
    pub fn value_at(&self, step: u64) -> Option<f32> {
        if let Some((last, value)) = self.last
            && last <= step
        {
            return Some(value);
        }
        let count = self.points.partition_point(|point| point.step <= step);
        Some(self.points.get(count.checked_sub(1)?)?.values.mean)
    }

    /// The first step whose value reaches `value`, in a series that only grows; otherwise the last step.
    pub fn step_reaching(&self, value: f32) -> Option<u64> {
        let index = self.points.partition_point(|point| point.values.mean < value);
        let reaching = self.points.get(index).map(|point| point.step);
        reaching.or(self.last.map(|(step, _)| step))
    }

    /// Summarizes the values between each edge and the next one, which is excluded. A merged point counts at its first
    /// step.
    pub fn buckets(&self, edges: &[u64]) -> Vec<Option<Bucket>> {
        let mut index = edges.first().map_or(0, |first| self.index_of(*first));
        edges
            .windows(2)
            .map(|pair| {
                let begin = index;
                index = begin + self.points[begin..].partition_point(|point| point.step < pair[1]);
                Some(Point::merged(&self.points[begin..index])?.values)
            })
            .collect()
    }

    /// Means of at most `count` equal parts.
    pub fn means(&self, count: usize) -> Vec<f32> {
        let part = self.points.len().div_ceil(count.max(1)).max(1);
        let means = self.points.chunks(part).map(Point::merged);
        means
            .map(|point| point.map_or(f32::NAN, |point| point.values.mean))
            .collect()
    }

    fn index_of(&self, step: u64) -> usize {
        self.points.partition_point(|point| point.step < step)
    }
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

    #[test]
    fn resumed_long_series_continues_where_it_was_cut() {
        let mut series = Series::default();
        let last = 10 * MAX_POINTS as u64;
        for step in (1..=last).chain(last / 2..=last) {
            series.push(step, step as f32);
        }
        assert!(series.points.is_sorted_by(|one, next| one.step < next.step));
        assert_eq!(series.range(), Some((1, last)));
        assert_eq!(series.last(), Some(last as f32));
        series.cut_after(0);
        assert_eq!((series.range(), series.last()), (None, None));
    }

    proptest! {
        #[test]
        fn long_series_keeps_first_and_last_value_and_extremes(
            start in 0_u64..1 << 40,
            steps in prop::collection::vec((1_u64..5, -1e3_f32..1e3), 1..4 * MAX_POINTS),
        ) {
            let mut series = Series::default();
            let mut step = start;
            let mut values = Vec::new();
            for (apart, value) in steps {
                step += apart;
                series.push(step, value);
                values.push((step, value));
            }
            let (first, last) = (values[0], values[values.len() - 1]);
            prop_assert!(series.points.len() <= MAX_POINTS);
            prop_assert_eq!(series.range(), Some((first.0, last.0)));
            prop_assert_eq!(series.value_at(first.0), Some(first.1));
            prop_assert_eq!((series.value_at(last.0), series.last()), (Some(last.1), Some(last.1)));
            let whole = series.buckets(&[first.0, last.0 + 1])[0].unwrap();
            let values = || values.iter().map(|(_, value)| *value);
            prop_assert_eq!(whole.min, values().fold(f32::MAX, f32::min));
            prop_assert_eq!(whole.max, values().fold(f32::MIN, f32::max));
            let mean = values().map(f64::from).sum::<f64>() / values().count() as f64;
            prop_assert!((f64::from(whole.mean) - mean).abs() < 0.01, "{} {mean}", whole.mean);
        }

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
