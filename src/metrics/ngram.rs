//! N-gram counts of a caption in a fixed order, for BLEU and CIDEr-D.

/// The longest n-grams of BLEU and CIDEr-D.
pub const MAX_ORDER: usize = 4;

/// A value for each distinct n-gram of one order, sorted by n-gram.
///
/// A sorted list rather than a hash map, so that sums over n-grams are bit-identical in every run.
pub(super) type ByNGram<'a, T, V> = Vec<(&'a [T], V)>;

/// The counts of n-grams of 1 to [`MAX_ORDER`] tokens in a caption; index 0 has the unigrams.
pub(super) fn count<T: Ord>(tokens: &[T]) -> [ByNGram<'_, T, u64>; MAX_ORDER] {
    std::array::from_fn(|index| count_order(tokens, index + 1))
}

fn count_order<T: Ord>(tokens: &[T], order: usize) -> ByNGram<'_, T, u64> {
    let mut ngrams: Vec<&[T]> = tokens.windows(order).collect();
    ngrams.sort_unstable();
    ngrams
        .chunk_by(|a, b| a == b)
        .map(|same| (same[0], same.len() as u64))
        .collect()
}

/// The value of `ngram`, or zero if it does not occur.
pub(super) fn value<T: Ord, V: Copy + Default>(values: &ByNGram<'_, T, V>, ngram: &[T]) -> V {
    values
        .binary_search_by(|(other, _)| (*other).cmp(ngram))
        .map_or(V::default(), |index| values[index].1)
}
