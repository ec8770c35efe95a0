//! The caches of `cutline fetch`.

use serde_json::{Value, json};

use super::{Finding, Verdict};
use crate::cli::fetch::variable;
use crate::cli::terminal::display_path;
use crate::fetch::{Asset, Cache, CacheOwner, Catalog, Store};

/// A finding for each cache that exists and for the one that is written to.
pub(super) fn each() -> Vec<Finding> {
    let catalog = match Catalog::load(&variable) {
        Ok(catalog) => catalog,
        Err(error) => {
            let finding = Finding::ok("cache", "the table of assets is invalid", Value::Null);
            return vec![finding.but(Verdict::Problem, error.to_string())];
        }
    };
    let store = Store::from_environment(&variable);
    let written = store.caches().writable().ok();
    let is_written = |cache: &Cache| {
        let path = written.as_ref().map(|written| written.as_path());
        cache.owner == CacheOwner::Cutline && path == Some(cache.directory.as_path())
    };
    let shown = store.caches().iter();
    shown
        .filter(|cache| cache.directory.is_dir() || is_written(cache))
        .map(|cache| finding(cache, &catalog, &store, is_written(cache)))
        .collect()
}

fn finding(cache: &Cache, catalog: &Catalog, store: &Store, is_written: bool) -> Finding {
    let is_here = |asset: &&Asset| {
        store
            .caches()
            .find(asset)
            .is_some_and(|found| found.cache == *cache)
    };
    let names: Vec<&str> = catalog
        .iter()
        .filter(is_here)
        .map(|asset| asset.name.as_str())
        .collect();
    let (path, owner) = (display_path(&cache.directory), cache.owner.name());
    let has = match names.is_empty() {
        true => "nothing that is known by name".to_owned(),
        false => names.join(", "),
    };
    let facts = json!({ "directory": cache.directory, "owner": owner, "assets": names });
    let finding = Finding::ok("cache", format!("{path} ({owner}): {has}"), facts);
    let access = rustix::fs::access(&cache.directory, rustix::fs::Access::WRITE_OK);
    match access {
        Err(error) if is_written && cache.directory.exists() => finding.but(
            Verdict::Note,
            format!("it cannot be written to ({error}): name another directory last in CUTLINE_CACHE"),
        ),
        _ => finding,
    }
}
