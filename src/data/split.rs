//! The splits train, dev and test, and random splits for sources without any.

use crate::suggest::{Named, UnknownName, unknown_name};
use serde::{Deserialize, Serialize};
use std::iter;
use std::str::FromStr;

/// A part of a dataset: images with all their captions.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Split {
    /// The training split, including Karpathy's `restval`. The vocabulary is built from it.
    Train,
    /// The validation split, for early stopping and tuning.
    #[serde(alias = "val", alias = "valid", alias = "validation")]
    Dev,
    /// The test split, for final scores.
    Test,
}

/// What datasets call the splits.
const NAMES: [(&str, Split); 15] = [
    ("train", Split::Train),
    ("training", Split::Train),
    ("restval", Split::Train),
    ("trn", Split::Train),
    ("dev", Split::Dev),
    ("val", Split::Dev),
    ("valid", Split::Dev),
    ("validation", Split::Dev),
    ("validate", Split::Dev),
    ("eval", Split::Dev),
    ("development", Split::Dev),
    ("test", Split::Test),
    ("testing", Split::Test),
    ("tst", Split::Test),
    ("tests", Split::Test),
];
/// Words beside the name of a split, or its end: `test set`, `trainImages`.
const BESIDE_NAMES: [&str; 6] = ["images", "image", "set", "split", "data", "dataset"];

impl Split {
    /// All splits, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Train, Self::Dev, Self::Test];
}

impl Named for Split {
    const KIND: &'static str = "split";
}

/// Also as datasets write it: `Validation set`, `TRAIN_SET`, `val2014`.
impl FromStr for Split {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let text_in_lower_case = text.to_ascii_lowercase();
        let mut words = words(&text_in_lower_case).filter(|word| !BESIDE_NAMES.contains(word));
        let first = words.next().and_then(named);
        first
            .filter(|_| words.all(|word| named(word) == first))
            .ok_or_else(|| unknown_name::<Self>(text))
    }
}

/// The split in a file's name, such as `Flickr_8k.trainImages.txt` or `captions_val2014.json`.
pub(super) fn named_in(file_name: &str) -> Option<Split> {
    words(&file_name.to_ascii_lowercase()).find_map(named)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|character: char| !character.is_alphabetic());
    words.filter(|word| !word.is_empty())
}

fn named(word: &str) -> Option<Split> {
    let shorter = BESIDE_NAMES.iter().filter_map(|end| word.strip_suffix(end));
    let split = |word: &str| {
        NAMES
            .iter()
            .find(|(name, _)| *name == word)
            .map(|&(_, split)| split)
    };
    iter::once(word).chain(shorter).find_map(split)
}

/// The relative sizes of random splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct SplitShares {
    pub train: u32,
    pub dev: u32,
    pub test: u32,
}

impl Default for SplitShares {
    fn default() -> Self {
        let [train, dev, test] = [80, 10, 10];
        Self { train, dev, test }
    }
}

impl SplitShares {
    /// The numbers of train, dev and test images.
    ///
    /// Dev and test are rounded down, but to at least 1 unless their share is 0 or there are fewer than three images.
    /// Train gets the rest.
    fn sizes(&self, images: usize) -> [usize; 3] {
        let parts = u64::from(self.train) + u64::from(self.dev) + u64::from(self.test);
        let size = |share: u32| match share {
            0 => 0,
            _ if images < Split::ALL.len() => 0,
            _ => ((images as u64 * u64::from(share) / parts) as usize).max(1),
        };
        let (dev, test) = (size(self.dev), size(self.test));
        [images.saturating_sub(dev + test), dev, test]
    }
}

/// A random split for each key. It depends on the keys and the seed, not on the order of the keys.
///
/// Keys are sorted by a hash of seed and key (BLAKE3, keyed by the seed). Unlike a random generator's stream, it does not
/// change between versions.
pub(super) fn draw(keys: &[&str], shares: SplitShares, seed: u64) -> Vec<Split> {
    let mut hash_key = [0; blake3::KEY_LEN];
    hash_key[..8].copy_from_slice(&seed.to_le_bytes());
    let rank = |key: &str| *blake3::keyed_hash(&hash_key, key.as_bytes()).as_bytes();

    let mut shuffled: Vec<usize> = (0..keys.len()).collect();
    shuffled.sort_by_cached_key(|&index| (rank(keys[index]), keys[index]));

    let [train, dev, _] = shares.sizes(keys.len());
    let mut splits = vec![Split::Test; keys.len()];
    for &index in &shuffled[..train] {
        splits[index] = Split::Train;
    }
    for &index in &shuffled[train..train + dev] {
        splits[index] = Split::Dev;
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn published_split_names_parse() {
        let parsed = |name: &str| name.parse::<Split>();
        assert_eq!(parsed("restval"), Ok(Split::Train));
        assert_eq!(parsed("val"), Ok(Split::Dev));
        assert_eq!(parsed("Validation"), Ok(Split::Dev));
        assert_eq!(parsed("training"), Ok(Split::Train));
        assert_eq!(parsed("testing"), Ok(Split::Test));
        for (name, split) in [
            ("Training set", Split::Train),
            ("TRAIN_SET", Split::Train),
            ("trainImages", Split::Train),
            ("train2014", Split::Train),
            ("Validation set", Split::Dev),
            (" val-split ", Split::Dev),
            ("test set", Split::Test),
            ("TestData", Split::Test),
        ] {
            assert_eq!(parsed(name), Ok(split), "{name}");
        }
        for name in [
            "",
            "set",
            "data",
            "trainval",
            "train/val",
            "a train",
            "not test",
            "holdout",
        ] {
            assert!(parsed(name).is_err(), "{name}");
        }
        let error = parsed("0").unwrap_err().to_string();
        assert!(error.contains("choose one of train, dev, test"), "{error}");
        for split in Split::ALL {
            assert_eq!(parsed(&split.to_string()), Ok(split));
        }
    }

    #[test]
    fn split_is_parsed_from_file_names() {
        assert_eq!(named_in("Flickr_8k.trainImages.txt"), Some(Split::Train));
        assert_eq!(named_in("Flickr_8k.devImages.txt"), Some(Split::Dev));
        assert_eq!(named_in("flickr30k_test.txt"), Some(Split::Test));
        assert_eq!(named_in("captions_val2014.json"), Some(Split::Dev));
        assert_eq!(named_in("Flickr8k.token.txt"), None);
        assert_eq!(named_in("contest.txt"), None);
    }

    #[test]
    fn split_sizes_follow_shares_and_are_not_zero_in_small_sets() {
        let shares = SplitShares::default();
        assert_eq!(shares.sizes(7000), [5600, 700, 700]);
        assert_eq!(shares.sizes(8091), [6473, 809, 809]);
        assert_eq!(shares.sizes(3), [1, 1, 1]);
        assert_eq!(shares.sizes(2), [2, 0, 0]);
        let [train, dev, test] = [9, 1, 0];
        assert_eq!(SplitShares { train, dev, test }.sizes(10), [9, 1, 0]);
    }

    #[test]
    fn splits_depend_on_the_seed() {
        let keys: Vec<String> = (0..100).map(|key| key.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let drawn = |seed| draw(&keys, SplitShares::default(), seed);
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    proptest! {
        #[test]
        fn splits_ignore_the_order_of_keys(
            mut keys in proptest::collection::hash_set("[a-z]{1,4}", 3..40).prop_map(Vec::from_iter),
            seed in any::<u64>(),
        ) {
            let drawn = |keys: &[String]| -> BTreeMap<String, Split> {
                let names: Vec<&str> = keys.iter().map(String::as_str).collect();
                let splits = draw(&names, SplitShares::default(), seed);
                keys.iter().cloned().zip(splits).collect()
            };
            let first = drawn(&keys);
            keys.sort_unstable();
            prop_assert_eq!(&drawn(&keys), &first);
            prop_assert!(Split::ALL.iter().all(|split| first.values().any(|drawn| drawn == split)));
        }
    }
}
