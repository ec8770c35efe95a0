//! The fuzz targets (`fuzz/`, `scripts/fuzz`) on their seeds, and on damaged ones: what reads files from elsewhere does not
//! panic.
//!
//! With `FUZZ_CORPUS=DIRECTORY` in the environment the seeds are written there, for libFuzzer to start from.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)] // in helpers of tests, where a panic is the report
#![allow(unreachable_pub, dead_code)] // the targets are a library of their own under libFuzzer

#[path = "../fuzz/src/targets.rs"]
mod targets;

use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use targets::TARGETS;

/// Damaged copies of each seed; `FUZZ_DAMAGED` asks for more.
const DAMAGED: usize = 40;

fn target(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = (target.seeds)();
    if let Some(corpus) = std::env::var_os("FUZZ_CORPUS") {
        let directory = Path::new(&corpus).join(name);
        fs::create_dir_all(&directory).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(directory.join(format!("seed-{number}")), seed).unwrap();
        }
    }
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut below = |bound: usize| random.next_u64() as usize % bound.max(1);
    let copies = std::env::var("FUZZ_DAMAGED").map_or(DAMAGED, |text| text.parse().unwrap());
    assert!(!(target.run)(b""));
    for (number, seed) in seeds.iter().enumerate() {
        assert!((target.run)(seed), "seed {number} is valid");
        for _ in 0..copies {
            let mut damaged = seed.clone();
            for _ in 0..=below(4) {
                let bit = below(8 * damaged.len());
                if let Some(byte) = damaged.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            (target.run)(&damaged);
            damaged.truncate(below(damaged.len()));
            (target.run)(&damaged);
        }
    }
}

macro_rules! targets_do_not_panic {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            target(stringify!($name));
        }
    )*

        #[test]
        fn every_target_is_tested() {
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), [$(stringify!($name)),*]);
        }
    };
}

targets_do_not_panic!(image weights captions events control config checkpoint store scores coco shards meteor features archive packed);
