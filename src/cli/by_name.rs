//! Datasets, weights and metric data named as `cutline fetch` names them, from the caches. Nothing is downloaded here.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::Context;
use super::fetch::{advice, variable};
use super::terminal::display_path;
use crate::data::Format;
use crate::fetch::{Asset, AssetKind, Catalog, Store};
use crate::suggest::Named;
use crate::vision::backbones::BackboneKind;

/// The asset with METEOR's data.
const METEOR: &str = "meteor";

/// The directory of METEOR's data, if a cache has it.
pub(super) fn meteor_data() -> Option<PathBuf> {
    let catalog = Catalog::load(&variable).ok()?;
    let asset = catalog.get(METEOR, AssetKind::Metric)?;
    Some(Store::from_environment(&variable).caches().find(asset)?.path)
}

/// The source of a dataset: a path, or the name of an asset that a cache has. A path that exists is meant as one.
pub(super) fn dataset(source: &Path, context: &Context) -> anyhow::Result<PathBuf> {
    match asset_named(source, AssetKind::Dataset)? {
        Some(asset) if source != Path::new(Format::SCENES) => in_cache(&asset, context),
        _ => Ok(source.to_owned()),
    }
}

/// The file of a network's weights: a path or the name of an asset; without one, the asset that is named as the network.
pub(super) fn weights(
    given: Option<&Path>,
    backbone: BackboneKind,
    context: &Context,
) -> anyhow::Result<PathBuf> {
    let wanted = given.unwrap_or_else(|| Path::new(backbone.name()));
    match (asset_named(wanted, AssetKind::Weights)?, given) {
        (Some(asset), _) => in_cache(&asset, context),
        (None, Some(path)) => Ok(path.to_owned()),
        (None, None) => Err(anyhow!(
            "no weights of {backbone} are known by name; give their file with --weights"
        )),
    }
}

/// The asset that a path without separators names, unless there is such a file or directory.
fn asset_named(path: &Path, kind: AssetKind) -> anyhow::Result<Option<Asset>> {
    let name = path
        .to_str()
        .filter(|name| !name.contains(std::path::is_separator));
    match name {
        Some(name) if !path.exists() => Ok(Catalog::load(&variable)?.get(name, kind).cloned()),
        _ => Ok(None),
    }
}

fn in_cache(asset: &Asset, context: &Context) -> anyhow::Result<PathBuf> {
    let store = Store::from_environment(&variable);
    let found = store.caches().find(asset).ok_or_else(|| {
        let kind = asset.kind.name();
        anyhow!(
            "{} ({kind}) is in no cache; {}, or give a path",
            asset.name,
            advice(asset)
        )
    })?;
    let (owner, path) = (found.cache.owner.name(), display_path(&found.path));
    context.notice(&format!("{}: {path} ({owner})", asset.name));
    Ok(found.path)
}
