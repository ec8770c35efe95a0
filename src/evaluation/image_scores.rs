//! Scores of single images: their distribution, the best and worst images, and the largest changes between evaluations.

use super::pairing::{NamedReport, Unpaired, pair_images};
use super::report::{CaptionedImage, Report};
use crate::metrics::Metric;
use std::num::NonZeroUsize;

/// Counts of values in bins of equal width.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Lower bound of the first bin.
    pub low: f64,
    /// Upper bound of the last bin.
    pub high: f64,
    /// Values in each bin. A bin holds its lower bound; the last one holds its upper bound too.
    pub counts: Vec<usize>,
}

impl Histogram {
    /// Counts values from `low` to `high`. Values beyond count in the outermost bins; NaN is skipped.
    pub fn new(values: impl IntoIterator<Item = f64>, low: f64, high: f64, bins: NonZeroUsize) -> Self {
        let mut counts = vec![0; bins.get()];
        for value in values.into_iter().filter(|value| !value.is_nan()) {
            // The cast saturates: values below the first bin, and NaN for bins of no width, become 0.
            let bin = ((value - low) / (high - low) * bins.get() as f64) as usize;
            counts[bin.min(bins.get() - 1)] += 1;
        }
        Self { low, high, counts }
    }

    /// The bounds of a bin.
    pub fn bounds(&self, bin: usize) -> (f64, f64) {
        let width = (self.high - self.low) / self.counts.len() as f64;
        (self.low + bin as f64 * width, self.low + (bin + 1) as f64 * width)
    }
}

/// An image with different captions in two evaluations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaptionChange<'a> {
    /// The image in the first evaluation.
    pub ours: &'a CaptionedImage,
    /// The image in the second one.
    pub theirs: &'a CaptionedImage,
    /// The first score minus the second.
    pub difference: f64,
}

impl Report {
    /// A score of every image, in the order of the split.
    pub fn image_scores(&self, metric: Metric) -> impl Iterator<Item = f64> {
        self.captions.iter().map(move |image| image.scores.score(metric))
    }

    /// The distribution of a score over the images, from 0 to 1, or to the largest score above 1 (CIDEr-D).
    pub fn histogram(&self, metric: Metric, bins: NonZeroUsize) -> Histogram {
        let high = self.image_scores(metric).fold(1.0, f64::max);
        Histogram::new(self.image_scores(metric), 0.0, high, bins)
    }

    /// The images with the highest scores, best first; equal ones in the order of the split.
    pub fn best_images(&self, metric: Metric, count: usize) -> Vec<&CaptionedImage> {
        self.first_images(count, |image| -image.scores.score(metric))
    }

    /// The images with the lowest scores, worst first; equal ones in the order of the split.
    pub fn worst_images(&self, metric: Metric, count: usize) -> Vec<&CaptionedImage> {
        self.first_images(count, |image| image.scores.score(metric))
    }

    fn first_images(&self, count: usize, key: impl Fn(&CaptionedImage) -> f64) -> Vec<&CaptionedImage> {
        let mut images: Vec<&CaptionedImage> = self.captions.iter().collect();
        images.sort_by(|one, other| key(one).total_cmp(&key(other)));
        images.truncate(count);
        images
    }
}

/// The images with different captions, sorted by the difference of their scores.
///
/// # Errors
/// If the reports have different images or references.
pub fn most_changed<'a>(
    ours: &'a NamedReport,
    theirs: &'a NamedReport,
    metric: Metric,
    count: usize,
) -> Result<Vec<CaptionChange<'a>>, Unpaired> {
    let paired = pair_images(&ours.report.captions, &theirs.report.captions)
        .map_err(|why| Unpaired::new(ours, theirs, why))?;
    let mut changes: Vec<CaptionChange<'_>> = paired
        .into_iter()
        .zip(&theirs.report.captions)
        .filter(|(ours, theirs)| ours.caption != theirs.caption)
        .map(|(ours, theirs)| CaptionChange {
            ours,
            theirs,
            difference: ours.scores.score(metric) - theirs.scores.score(metric),
        })
        .collect();
    changes.sort_by(|one, other| other.difference.abs().total_cmp(&one.difference.abs()));
    changes.truncate(count);
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::tests::{HEALTHY, report_on, right, same};
    use proptest::prelude::*;

    fn bins(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    fn named(report: Report) -> NamedReport {
        NamedReport {
            name: report.info.run.clone(),
            report,
        }
    }

    /// Every third image gets the caption of another one.
    fn two_thirds_right(number: usize) -> String {
        if number.is_multiple_of(3) {
            same(number)
        } else {
            right(number)
        }
    }

    proptest! {
        #[test]
        fn histogram_counts_each_value_in_its_bin(
            values in prop::collection::vec(0.0..3.0, 0..60),
            count in 1..20_usize,
        ) {
            let histogram = Histogram::new(values.iter().copied(), 0.0, 3.0, bins(count));
            prop_assert_eq!(histogram.counts.iter().sum::<usize>(), values.len());
            for (bin, &found) in histogram.counts.iter().enumerate() {
                let (low, high) = histogram.bounds(bin);
                let within = |margin: f64| {
                    values.iter().filter(|&&v| v >= low - margin && v < high + margin).count()
                };
                // Rounding decides the bin of a value on a bound.
                prop_assert!(within(-1e-9) <= found && found <= within(1e-9), "{low} to {high}: {found}");
            }
        }
    }

    #[test]
    fn histogram_clamps_outliers_and_skips_nan() {
        let values = [0.0, 1.0, -5.0, 7.0, f64::NAN, f64::INFINITY];
        assert_eq!(Histogram::new(values, 0.0, 1.0, bins(4)).counts, [2, 0, 0, 3]);
        assert_eq!(Histogram::new([2.0, 2.0], 2.0, 2.0, bins(3)).counts, [2, 0, 0]);
    }

    #[test]
    fn histogram_range_ends_at_the_largest_score() {
        let report = report_on(two_thirds_right, HEALTHY);
        let bleu = report.histogram(Metric::BLEU_4, bins(10));
        assert_eq!((bleu.low, bleu.high), (0.0, 1.0));
        assert_eq!(*bleu.counts.last().unwrap(), 26, "those that are right");
        let cider = report.histogram(Metric::CIDER_D, bins(10));
        let largest = report.image_scores(Metric::CIDER_D).fold(0.0, f64::max);
        assert_eq!(cider.high, largest);
        assert!(largest > 1.0 && *cider.counts.last().unwrap() > 0);
    }

    #[test]
    fn best_and_worst_images_are_sorted_stably() {
        let report = report_on(two_thirds_right, HEALTHY);
        let keys = |images: Vec<&CaptionedImage>| -> Vec<String> {
            images.into_iter().map(|image| image.image.clone()).collect()
        };
        assert_eq!(
            keys(report.best_images(Metric::BLEU_4, 3)),
            ["1.png", "2.png", "4.png"]
        );
        assert_eq!(
            keys(report.worst_images(Metric::BLEU_4, 3)),
            ["0.png", "3.png", "6.png"]
        );
        for metric in Metric::all() {
            let best = report.best_images(metric, 99);
            assert_eq!(best.len(), report.captions.len());
            assert!(best.is_sorted_by(|a, b| a.scores.score(metric) >= b.scores.score(metric)));
        }
    }

    #[test]
    fn most_changed_captions_are_sorted_by_score_difference() {
        let ours = named(report_on(two_thirds_right, HEALTHY));
        let theirs = named(report_on(right, HEALTHY));
        let changes = most_changed(&ours, &theirs, Metric::CIDER_D, 99).unwrap();
        assert_eq!(changes.len(), 14);
        for change in &changes {
            assert_eq!(change.ours.image, change.theirs.image);
            assert_ne!(change.ours.caption, change.theirs.caption);
            assert!(change.difference < 0.0, "{change:?}");
        }
        assert!(changes.is_sorted_by(|a, b| a.difference.abs() >= b.difference.abs()));
        assert_eq!(
            most_changed(&ours, &theirs, Metric::CIDER_D, 2).unwrap(),
            changes[..2]
        );
        assert!(most_changed(&ours, &ours, Metric::CIDER_D, 9).unwrap().is_empty());
        let mut fewer = theirs.clone();
        fewer.report.captions.pop();
        assert!(most_changed(&ours, &fewer, Metric::CIDER_D, 9).is_err());
    }
}
