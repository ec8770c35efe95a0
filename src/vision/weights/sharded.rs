//! Checkpoints in several files, with a list of them: `model.safetensors.index.json` and `pytorch_model.bin.index.json`.

use super::WeightsErrorKind;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// More than the files of any checkpoint.
const MAX_SHARDS: usize = 1024;

#[derive(Deserialize)]
struct ShardList {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// The paths of the files, which are beside the list at `path`; `None` if this is no such list.
pub(super) fn shards(list: &[u8], path: &Path) -> Option<Result<Vec<PathBuf>, WeightsErrorKind>> {
    // JSON has no zero bytes, and the length that `.safetensors` starts with always has one.
    let start = list.first_chunk::<8>()?;
    if start.contains(&0) || !start.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let list: ShardList = serde_json::from_slice(list).ok()?;
    Some(list.shards(path))
}

impl ShardList {
    fn shards(&self, path: &Path) -> Result<Vec<PathBuf>, WeightsErrorKind> {
        let names: BTreeSet<&str> = self.weight_map.values().map(String::as_str).collect();
        if names.is_empty() || names.len() > MAX_SHARDS {
            return Err(WeightsErrorKind::Shards(format!("there are {}", names.len())));
        }
        let beside = |name: &str| {
            let mut components = Path::new(name).components();
            match (components.next(), components.next()) {
                (Some(Component::Normal(_)), None) => {}
                _ => return Err(WeightsErrorKind::Shards(format!("{name:?} is elsewhere"))),
            }
            let shard = path.with_file_name(name);
            if shard.is_file() {
                Ok(shard)
            } else {
                Err(WeightsErrorKind::Shards(format!("{name:?} is missing")))
            }
        };
        names.into_iter().map(beside).collect()
    }
}
