//! Counted n-grams of a caption, in a fixed order: the ground BLEU and CIDEr-D stand on.

/// The longest n-gram that BLEU and CIDEr-D look at.
pub const MAX_ORDER: usize = 4;

/// Something known of each distinct n-gram of one order, sorted by n-gram.
///
/// Sorted lists rather than hash maps, so that sums over n-grams are the same bit for bit in every run.
pub(super) type ByNGram<'a, T, V> = Vec<(&'a [T], V)>;

/// How often each n-gram of 1 to [`MAX_ORDER`] tokens occurs in one caption; index 0 holds the single words.
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

/// What is known of `ngram`, or zero where it does not occur.
pub(super) fn value<T: Ord, V: Copy + Default>(known: &ByNGram<'_, T, V>, ngram: &[T]) -> V {
    known
        .binary_search_by(|(other, _)| (*other).cmp(ngram))
        .map_or(V::default(), |at| known[at].1)
}
