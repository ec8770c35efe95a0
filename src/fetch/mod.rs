//! Datasets, weights and metric data from their publishers: a table of assets, caches, downloads that continue, and
//! unpacking.
//!
//! ```text
//! name -> Catalog (addresses, checksums) -> Caches (here already?) -> download -> verify -> unpack -> path
//! ```
//!
//! Nothing here uses the network unless [`Store::fetch`] is called. What comes from it is untrusted: lengths are bounded,
//! archives may not write outside of their directory, and a file gets its name only after it is verified.

mod assets;
mod cache;
mod checksum;
mod download;
mod error;
mod http;
mod store;
mod unpack;
mod watcher;

pub use assets::{ArchiveKind, Asset, AssetFile, AssetKind, Catalog, Size};
pub use cache::{CACHE_VARIABLE, Cache, CacheOwner, Caches, Found};
pub use checksum::{Checksum, ChecksumError};
pub use error::FetchError;
pub use store::{Fetched, Store, Verification};
pub use unpack::unpack;
pub use watcher::FetchObserver;
