//! `cutline fetch`: datasets, weights and metric data from their publishers.

mod list;
mod watcher;

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::exit_code::WithHint;
use super::interrupt::{Interrupt, Interrupted};
use super::job::{detach_with, run_job};
use super::json as json_text;
use super::terminal::{display_path, display_safe, print_to_stderr};
use super::{Context, Verbosity};
use crate::fetch::{Asset, CacheOwner, Catalog, Checksum, FetchError, Fetched, Store, Verification};
use crate::jobs::{JobDirectory, JobInfo, JobKind, LockError};
use crate::text::byte_size;
use watcher::JobWatcher;

/// How often a process looks whether another one has fetched an asset.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

const ELSEWHERE: &str = "--urls prints the addresses, and --from DIR takes files that were fetched elsewhere";

/// Fetch datasets, weights and metric data
///
/// Looks first in Cutline's caches and in those of PyTorch, Keras, the Hugging Face Hub and kagglehub. What is in none of
/// them is downloaded, verified and, if it is an archive, unpacked into the cache. Prints the path of each asset. After
/// Ctrl-C or `kill -9` the same command continues. Nothing else in Cutline uses the network.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline fetch --list
  cutline fetch flickr8k mobilenet_v2
  cutline fetch resnet101 meteor --yes
  cutline fetch coco2017 --detach
  cutline fetch flickr8k --urls
  cutline fetch flickr8k --from ~/Downloads
  cutline fetch https://example.org/weights.safetensors --sha256 b0353104

Environment:
  CUTLINE_CACHE    directories to look in, joined by `:`; the last one is written to
  CUTLINE_MIRROR   address of a server with the files under their published names, asked first
  CUTLINE_OFFLINE  1: download nothing

More on caches, mirrors and a table of your own: docs/fetch.md")]
pub(super) struct Fetch {
    /// Names of the table, or addresses
    #[arg(value_name = "NAME|URL", required_unless_present = "list")]
    names: Vec<String>,
    /// List the table: sizes, checksums, licenses, origins, and what is here already
    #[arg(long, conflicts_with_all = ["names", "urls", "from", "sha256", "detach"])]
    list: bool,
    /// Print addresses and checksums only, for another machine with a network
    #[arg(long, conflicts_with_all = ["from", "detach"])]
    urls: bool,
    /// Take the files from a directory instead of the network: verify them and put them in place
    #[arg(long, value_name = "DIR", conflicts_with = "detach")]
    from: Option<PathBuf>,
    /// SHA-256 of the file at an address, or its first eight or more digits
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Option<Checksum>,
    /// Accept the license without a question
    #[arg(long, short)]
    yes: bool,
    /// Fetch in background processes that survive the terminal, one for each name
    #[arg(long)]
    detach: bool,
    /// Print JSON: with --list an array, else a line for each asset
    #[arg(long)]
    json: bool,
}

fn sha256(digits: &str) -> Result<Checksum, String> {
    format!("sha256:{digits}")
        .parse()
        .map_err(|_| "expected 8 to 64 hexadecimal digits".to_owned())
}

/// A variable of the environment.
pub(super) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

impl Fetch {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let store = Store::from_environment(&variable);
        let catalog = Catalog::load(&variable)?;
        if self.list {
            return list::print(&catalog, &store, self.json, context);
        }
        let assets = self.assets(&catalog)?;
        if self.urls {
            return list::print_addresses(&assets, &store, self.json, context);
        }
        assets.iter().try_for_each(|asset| match &self.from {
            Some(directory) => {
                let fetched = store.adopt(asset, directory, &mut watcher::Unlogged::new(context)?)?;
                self.report(asset, &fetched, context)
            }
            None => self.fetch(asset, &store, context),
        })
    }

    fn assets(&self, catalog: &Catalog) -> anyhow::Result<Vec<Asset>> {
        let is_address = |name: &str| name.contains("://");
        if self.sha256.is_some() && !(self.names.len() == 1 && is_address(&self.names[0])) {
            bail!("--sha256 is of one file at an address; the table has the checksums of its assets");
        }
        let asset = |name: &String| match is_address(name) {
            true => Asset::at_address(name, self.sha256.clone()),
            false => catalog.find(name).cloned(),
        };
        let assets: Result<Vec<Asset>, FetchError> = self.names.iter().map(asset).collect();
        assets.hint("`cutline fetch --list` prints all names")
    }

    fn fetch(&self, asset: &Asset, store: &Store, context: &Context) -> anyhow::Result<()> {
        if let Some(fetched) = here(asset, store, context) {
            return self.report(asset, &fetched, context);
        }
        store.check_network(asset)?;
        let job = JobDirectory::new(store.job_directory(asset)?);
        self.ask(asset, store, context)?;
        if self.detach {
            let mut arguments: Vec<OsString> = vec!["fetch".into(), asset_argument(asset), "--yes".into()];
            if let Some(hash) = &asset.files[0].hash
                && asset.is_from_address()
            {
                let digits = hash.to_string();
                arguments.extend(["--sha256".into(), digits.trim_start_matches("sha256:").into()]);
            }
            return detach_with(&arguments, &job, context);
        }
        let fetched = self.fetch_once(asset, store, &job, context)?;
        self.report(asset, &fetched, context)
    }

    /// Fetches an asset as a job, or waits for another process that does.
    fn fetch_once(
        &self,
        asset: &Asset,
        store: &Store,
        job: &JobDirectory,
        context: &Context,
    ) -> anyhow::Result<Fetched> {
        let interrupt = Interrupt::install()?;
        let mut is_waiting = false;
        loop {
            let outcome = run_job(job, job_info(asset, store), context, |job| {
                // Another process may have fetched it, up to this moment.
                if let Some(fetched) = fetched_before(asset, store) {
                    job.message("another process has fetched it");
                    return Ok(fetched);
                }
                let fetched = store.fetch(asset, &mut JobWatcher::new(job, context));
                match fetched {
                    Err(FetchError::Stopped) => {
                        context.notice("the part that was fetched is kept; the same command continues");
                        Err(Interrupted.into())
                    }
                    Err(
                        error @ (FetchError::Address { .. }
                        | FetchError::Unreachable { .. }
                        | FetchError::NotTheFile { .. }),
                    ) => Err(error).hint(ELSEWHERE),
                    fetched => {
                        let fetched = fetched?;
                        job.message(format!("it is in {}", display_path(&fetched.found.path)));
                        Ok(fetched)
                    }
                }
            });
            match outcome {
                Err(error) if matches!(error.downcast_ref(), Some(LockError::Held(_))) => {
                    if !is_waiting {
                        context.notice(&format!("{}: {error}; waiting for it", asset.name));
                        is_waiting = true;
                    }
                    interrupt.check()?;
                    thread::sleep(POLL_INTERVAL);
                    if let Some(fetched) = fetched_before(asset, store) {
                        return Ok(fetched);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Shows what will be fetched under which terms, and asks for consent.
    fn ask(&self, asset: &Asset, store: &Store, context: &Context) -> anyhow::Result<()> {
        let cache = store.caches().writable()?;
        let size = list::size(asset);
        let lines = [
            format!("{}: {}", asset.name, asset.about),
            format!("  license   {}", asset.license),
            format!("  origin    {}", asset.origin),
            format!("  size      {size}, to {}", display_path(cache.as_path())),
            format!("  checksum  {}", list::check(asset)),
        ];
        let show = |line: &String| match self.yes || context.verbosity == Verbosity::Normal {
            true => context.notice(&display_safe(line)),
            // The question needs them.
            false => print_to_stderr(&display_safe(line)),
        };
        lines.iter().for_each(show);
        if self.yes {
            return Ok(());
        }
        if !(context.terminal.stderr.is_terminal && io::stdin().is_terminal()) {
            bail!(
                "{} is not fetched without consent to its license; add --yes",
                asset.name
            );
        }
        print_to_stderr("Fetch it under these terms? [y/N]");
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => bail!("{} is not fetched", asset.name),
        }
    }

    fn report(&self, asset: &Asset, fetched: &Fetched, context: &Context) -> anyhow::Result<()> {
        let Fetched { found, verification } = fetched;
        let unverified = match verification {
            Verification::Verified => &[][..],
            Verification::Unverified(digits) => digits,
        };
        if *verification != Verification::Verified {
            let digits = match unverified {
                [] => String::new(),
                digits => format!("; it has {}", digits.join(", ")),
            };
            context.notice(&format!(
                "warning: {} is not verified: its publisher states no checksum{digits}",
                asset.name
            ));
        }
        if found.cache.owner != CacheOwner::Cutline {
            context.notice(&format!(
                "{} is in the cache of {}",
                asset.name,
                found.cache.owner.name()
            ));
        }
        if self.json {
            return Ok(context.print(&json_text::line(&json!({
                "name": asset.name,
                "path": found.path,
                "cache": found.cache.owner.name(),
                "verified": *verification == Verification::Verified,
                "checksums": unverified,
                "license": asset.license,
                "origin": asset.origin,
            }))?)?);
        }
        Ok(context.print(&format!("{}\n", display_path(&found.path)))?)
    }
}

/// An asset that is in a cache; one that is damaged there is passed over.
fn here(asset: &Asset, store: &Store, context: &Context) -> Option<Fetched> {
    match store.verify(asset, store.caches().find(asset)?) {
        Ok(fetched) => Some(fetched),
        Err(error) => {
            context.notice(&format!(
                "warning: {}; it is passed over",
                display_safe(&error.to_string())
            ));
            None
        }
    }
}

/// An asset that is in one of Cutline's caches, which hold verified files only.
fn fetched_before(asset: &Asset, store: &Store) -> Option<Fetched> {
    let found = store.caches().find(asset)?;
    let is_own = found.cache.owner == CacheOwner::Cutline;
    is_own.then(|| store.verify(asset, found).ok()).flatten()
}

fn asset_argument(asset: &Asset) -> OsString {
    match asset.is_from_address() {
        true => asset.origin.clone().into(),
        false => asset.name.clone().into(),
    }
}

fn job_info(asset: &Asset, store: &Store) -> JobInfo {
    let addresses: Vec<String> = asset
        .files
        .iter()
        .flat_map(|file| store.addresses(file))
        .collect();
    JobInfo {
        kind: JobKind::Fetch,
        device: "cpu".to_owned(),
        dataset: asset.name.clone(),
        data_hash: None,
        settings: json!({ "urls": addresses }),
        step: 0,
    }
}

/// The suggested command for an asset that is in no cache, with its size.
pub(super) fn advice(asset: &Asset) -> String {
    let size = asset
        .size()
        .map_or(String::new(), |size| format!(" ({})", byte_size(size.bytes)));
    format!("get it with `cutline fetch {}`{size}", asset.name)
}
