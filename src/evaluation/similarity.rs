//! Similarity of features between images.

/// The mean cosine similarity over all pairs of different rows of `features` (`[rows, columns]`).
///
/// Two zero rows have similarity 1, a zero row and another 0. `None` for fewer than two rows; NaN if a feature is NaN.
pub(super) fn mean_cosine(features: &[f32], columns: usize) -> Option<f64> {
    let rows = features.len() / columns.max(1);
    if rows < 2 {
        return None;
    }
    // For unit vectors u, the sum of all pairs' products is |sum of u|^2 minus the products with themselves.
    let mut sum = vec![0.0; columns];
    let mut zeros = 0;
    for row in features.chunks_exact(columns) {
        let norm = row
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt();
        if norm == 0.0 {
            zeros += 1;
            continue;
        }
        for (sum, &value) in sum.iter_mut().zip(row) {
            *sum += f64::from(value) / norm;
        }
    }
    let ordered_pairs = |rows: usize| (rows * rows.saturating_sub(1)) as f64;
    let products = sum.iter().map(|sum: &f64| sum * sum).sum::<f64>() - (rows - zeros) as f64;
    Some((products + ordered_pairs(zeros)) / ordered_pairs(rows))
}
