//! From features to sentences: greedy, beam search, sampling.
