//! The table of assets, and the addresses of some.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::table::Table;
use crate::cli::{Context, json as json_text};
use crate::fetch::{Asset, AssetFile, Cache, Catalog, Store};
use crate::text::{byte_size, display_path, display_safe};

/// Columns that a narrow terminal keeps.
const KEPT_COLUMNS: usize = 4;

/// Prints all assets and where they are.
pub(super) fn print(catalog: &Catalog, store: &Store, json: bool, context: &Context) -> anyhow::Result<()> {
    if json {
        let rows: Vec<Value> = catalog.iter().map(|asset| described(asset, store)).collect();
        return Ok(context.print(&json_text::pretty(&rows)?)?);
    }
    let mut table = Table::new(["name", "kind", "size", "here", "checksum", "license", "origin"]);
    for asset in catalog.iter() {
        let found = store.caches().find(asset);
        let here = found.map_or_else(|| "-".to_owned(), |found| found.cache.owner.name().to_owned());
        let cells = [
            asset.name.clone(),
            asset.kind.name().to_owned(),
            size(asset),
            here,
            check(asset),
            // The rest is shown before it is fetched.
            asset.license.split(';').next().unwrap_or_default().to_owned(),
            asset.origin.clone(),
        ];
        table.row(cells.map(|cell| display_safe(&cell).into_owned()));
    }
    let stdout = context.terminal.stdout;
    if stdout.is_terminal {
        let dropped = table.fit(usize::from(context.terminal.size().0), KEPT_COLUMNS);
        if !dropped.is_empty() {
            context.notice(&format!("not shown: {}; --json has them", dropped.join(", ")));
        }
    }
    context.print(&table.render(stdout.paint))?;
    let caches: Vec<String> = store.caches().iter().map(place).collect();
    context.notice(&format!("looked in {}", caches.join(", ")));
    Ok(())
}

fn place(cache: &Cache) -> String {
    format!("{} ({})", display_path(&cache.directory), cache.owner.name())
}

fn described(asset: &Asset, store: &Store) -> Value {
    let found = store.caches().find(asset);
    json!({
        "name": asset.name,
        "kind": asset.kind.name(),
        "about": asset.about,
        "license": asset.license,
        "origin": asset.origin,
        "bytes": asset.size().map(|size| size.bytes),
        "bytes_are_exact": asset.size().is_some_and(|size| size.is_exact),
        "verifiable": asset.is_verifiable() && !asset.files.is_empty(),
        "path": found.as_ref().map(|found| &found.path),
        "cache": found.as_ref().map(|found| found.cache.owner.name()),
        "files": asset.files.iter().map(|file| described_file(file, store)).collect::<Vec<_>>(),
    })
}

fn described_file(file: &AssetFile, store: &Store) -> Value {
    json!({
        "name": file.name,
        "urls": store.addresses(file),
        "bytes": file.bytes,
        "hash": file.hash.as_ref().map(ToString::to_string),
        "hash_from": file.hash_from,
    })
}

/// Prints addresses and checksums for a machine with a network.
pub(super) fn print_addresses(
    assets: &[Asset],
    store: &Store,
    json: bool,
    context: &Context,
) -> anyhow::Result<()> {
    if json {
        return assets
            .iter()
            .try_for_each(|asset| Ok(context.print(&json_text::line(&described(asset, store))?)?));
    }
    let mut text = String::new();
    for asset in assets {
        for file in &asset.files {
            let hash = match (&file.hash, &file.hash_from) {
                (Some(hash), Some(who)) => format!("{hash} (stated by {who})"),
                (Some(hash), None) => hash.to_string(),
                (None, _) => "no published checksum".to_owned(),
            };
            let bytes = file
                .bytes
                .map_or(String::new(), |bytes| format!("  {bytes} bytes"));
            let _ = writeln!(text, "{}  {hash}{bytes}", file.name);
            for url in store.addresses(file) {
                let _ = writeln!(text, "  {url}");
            }
        }
    }
    let safe: Vec<_> = text.lines().map(display_safe).collect();
    context.print(&format!("{}\n", safe.join("\n")))?;
    let names: Vec<&str> = assets.iter().map(|asset| asset.name.as_str()).collect();
    context.notice(&format!(
        "afterwards: cutline fetch {} --from DIR",
        names.join(" ")
    ));
    Ok(())
}

/// The size in words.
pub(super) fn size(asset: &Asset) -> String {
    match asset.size() {
        Some(size) => byte_size(size.bytes),
        None => "not stated".to_owned(),
    }
}

/// How an asset is verified.
pub(super) fn check(asset: &Asset) -> String {
    let mut kinds: Vec<String> = asset
        .files
        .iter()
        .map(|file| match &file.hash {
            Some(hash) => hash.kind(),
            None => "none".to_owned(),
        })
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    match kinds[..] {
        [] => "none".to_owned(),
        _ => kinds.join(", "),
    }
}
