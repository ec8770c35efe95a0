//! The download of a file: continued, verified, and whole or missing.
//!
//! Bytes go to `NAME.part`, beside it `NAME.part.json` notes the address and what identifies its content. Ranges continue
//! the part, if the server states that it is of the same content or a checksum will show it. The checksum is computed as the
//! bytes pass. What is verified is synced and renamed to `NAME`.

use super::checksum::{Checksum, Hasher};
use super::error::FetchError;
use super::http::{Answer, Chunk, Chunks, Client, NoAnswer, Validator, failed, fill};
use super::watcher::FetchObserver;
use crate::files::{ConfinedPath, FileKind, free_space};
use crate::text::about_duration;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::thread;
use std::time::{Duration, Instant};
use ureq::http::StatusCode;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// Attempts at an address that bring no byte.
const MAX_FAILURES: u32 = 5;
/// How often a part is thrown away and begun again.
const MAX_RESTARTS: u32 = 2;
/// The wait after the first failure; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A server that asks for a longer wait is left alone.
const MAX_WAIT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The most bytes of a file without a published size.
const MAX_FILE_BYTES: u64 = 64 << 30;
const MAX_NOTE_BYTES: u64 = 64 << 10;

/// A published file to download.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) urls: Vec<String>,
    pub(super) bytes: Option<u64>,
    pub(super) hash: Option<&'a Checksum>,
}

/// Downloads a file into `directory`, where no other process may work on it. Returns its digits.
///
/// # Errors
/// The problem of each address, if no address has the file; [`FetchError::Stopped`] if the watcher breaks.
pub(super) fn download(
    client: &Client,
    wanted: &Wanted<'_>,
    directory: &ConfinedPath,
    watcher: &mut dyn FetchObserver,
) -> Result<String, FetchError> {
    directory.create_dir_all().map_err(FetchError::at(directory))?;
    let mut problems = Vec::new();
    for url in &wanted.urls {
        let mut part = PartialFile::open(directory, wanted)?;
        match part.fetch(client, url, watcher) {
            Ok(()) => return part.finish(directory),
            Err(error @ (FetchError::Stopped | FetchError::Io { .. } | FetchError::NoSpace { .. })) => {
                return Err(error);
            }
            Err(error) => problems.push(error),
        }
    }
    match problems.len() {
        1 => Err(problems.remove(0)),
        _ => Err(FetchError::Unreachable {
            file: wanted.name.to_owned(),
            problems,
        }),
    }
}

/// The note beside a part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct PartNote {
    url: String,
    validator: Validator,
}

/// The part of a file that is there, with the state of its checksum.
struct PartialFile<'a> {
    wanted: &'a Wanted<'a>,
    path: ConfinedPath,
    note: ConfinedPath,
    file: File,
    length: u64,
    hasher: Hasher,
    /// Whether an earlier request brought some of it.
    is_continued: bool,
}

/// Why an attempt brought no whole file.
enum Failure {
    /// To be tried again, after a wait that the server may ask for.
    Again {
        problem: String,
        wait: Option<Duration>,
    },
    /// The part is of another content.
    Restart(String),
    Final(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

impl Failure {
    fn again(problem: impl Into<String>) -> Self {
        Self::Again {
            problem: problem.into(),
            wait: None,
        }
    }
}

impl<'a> PartialFile<'a> {
    fn open(directory: &ConfinedPath, wanted: &'a Wanted<'a>) -> Result<Self, FetchError> {
        let path = directory.join(format!("{}.part", wanted.name));
        let note = directory.join(format!("{}.part.json", wanted.name));
        let mut file = path.open_in_place().map_err(FetchError::at(&path))?;
        let mut hasher = Hasher::for_checksum(wanted.hash);
        let length = hash_all(&mut file, &mut hasher).map_err(FetchError::at(&path))?;
        Ok(Self {
            wanted,
            path,
            note,
            file,
            length,
            hasher,
            is_continued: length > 0,
        })
    }

    /// Throws the content away.
    fn restart(&mut self) -> Result<(), FetchError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(FetchError::at(&self.path))?;
        self.length = 0;
        self.hasher = Hasher::for_checksum(self.wanted.hash);
        self.is_continued = false;
        Ok(())
    }

    fn read_note(&self) -> PartNote {
        let note = self.note.read(MAX_NOTE_BYTES).ok();
        note.and_then(|note| serde_json::from_slice(&note).ok())
            .unwrap_or_default()
    }

    /// Fetches the rest from one address.
    fn fetch(
        &mut self,
        client: &Client,
        url: &str,
        watcher: &mut dyn FetchObserver,
    ) -> Result<(), FetchError> {
        let (mut failures, mut restarts) = (0, 0);
        loop {
            let before = self.length;
            let (problem, wait) = match self.attempt(client, url, watcher) {
                Ok(()) => match self.verify(url) {
                    Err(FetchError::Mismatch { .. }) if self.is_continued && restarts < MAX_RESTARTS => {
                        ("the parts are not of one file".to_owned(), None)
                    }
                    verified => {
                        if verified.is_err() {
                            self.restart()?;
                        }
                        return verified;
                    }
                },
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Restart(problem)) if restarts < MAX_RESTARTS => (problem, None),
                Err(Failure::Restart(problem)) => return Err(failed(url, problem)),
                Err(Failure::Again { problem, wait }) => {
                    failures = if self.length > before { 1 } else { failures + 1 };
                    if failures >= MAX_FAILURES {
                        return Err(failed(url, problem));
                    }
                    (problem, Some(wait.unwrap_or(FIRST_WAIT * (1 << (failures - 1)))))
                }
            };
            let name = self.wanted.name;
            match wait {
                Some(wait) if wait > MAX_WAIT => {
                    let asked = about_duration(wait.as_secs_f64());
                    return Err(failed(
                        url,
                        format!("{problem}, and asks to come back in {asked}"),
                    ));
                }
                Some(wait) => {
                    watcher.notice(&format!(
                        "{name}: {problem}; trying again in {}",
                        about_duration(wait.as_secs_f64())
                    ));
                    self.pause(wait, watcher)?;
                }
                None => {
                    restarts += 1;
                    watcher.notice(&format!("{name}: {problem}; starting from its beginning"));
                    self.restart()?;
                }
            }
        }
    }

    fn pause(&self, wait: Duration, watcher: &mut dyn FetchObserver) -> Result<(), FetchError> {
        let since = Instant::now();
        while since.elapsed() < wait {
            self.report(watcher)?;
            thread::sleep(POLL_INTERVAL.min(wait));
        }
        Ok(())
    }

    fn report(&self, watcher: &mut dyn FetchObserver) -> Result<(), FetchError> {
        match watcher.update(self.length) {
            std::ops::ControlFlow::Continue(()) => Ok(()),
            std::ops::ControlFlow::Break(()) => Err(FetchError::Stopped),
        }
    }

    /// One request, and its body as far as it comes.
    fn attempt(
        &mut self,
        client: &Client,
        url: &str,
        watcher: &mut dyn FetchObserver,
    ) -> Result<(), Failure> {
        let Wanted {
            name, bytes, hash, ..
        } = *self.wanted;
        if self.length > 0 && bytes == Some(self.length) {
            return Ok(());
        }
        let mut note = self.read_note();
        if note.url != url {
            note = PartNote {
                url: url.to_owned(),
                validator: Validator::default(),
            };
        }
        // Without either, a range of another content would go unnoticed.
        if self.length > 0 && note.validator.if_range().is_none() && hash.is_none() {
            self.restart()?;
        }
        let (length, validator) = (self.length, &note.validator);
        let answer = client.get(url, length, validator, &mut || self.report(watcher))?;
        let (answer, chunks) = answer.map_err(|no_answer| match no_answer {
            NoAnswer::Later(problem) => Failure::again(problem),
            never @ NoAnswer::Never(_) => failed(url, never.problem()).into(),
        })?;
        self.admit(&answer, url, &note, watcher)?;
        let total = answer.total.or(bytes);
        let limit = total.unwrap_or(MAX_FILE_BYTES);
        let checked = match (answer.total, bytes) {
            (Some(found), Some(expected)) if found != expected => Err(FetchError::Length {
                place: url.to_owned(),
                expected,
                found,
            }),
            _ if limit > MAX_FILE_BYTES => Err(failed(
                url,
                format!("its {limit} bytes are more than the limit of {MAX_FILE_BYTES}"),
            )),
            _ => self.check_space(total.map_or(0, |total| total.saturating_sub(self.length))),
        };
        checked?;
        note.validator = answer.validator.clone();
        let line = serde_json::to_vec(&note).unwrap_or_default();
        self.note.replace(&line).map_err(FetchError::at(&self.note))?;
        watcher.begin(&format!("fetching {name}"), self.length, total);
        self.is_continued |= self.length > 0;
        self.read_body(&chunks, answer.is_html, url, limit, watcher)?;
        match total {
            Some(total) if self.length < total => Err(Failure::again(format!(
                "the connection ended after {} of {total} bytes",
                self.length
            ))),
            _ => Ok(()),
        }
    }

    /// Decides by its status and its range whether an answer continues the part.
    fn admit(
        &mut self,
        answer: &Answer,
        url: &str,
        note: &PartNote,
        watcher: &mut dyn FetchObserver,
    ) -> Result<(), Failure> {
        match answer.status {
            StatusCode::OK if self.length > 0 => {
                let problem = "the server does not continue it, or the file has changed";
                watcher.notice(&format!(
                    "{}: {problem}; starting from its beginning",
                    self.wanted.name
                ));
                Ok(self.restart()?)
            }
            StatusCode::OK => Ok(()),
            StatusCode::PARTIAL_CONTENT if answer.start != self.length => Err(Failure::Restart(
                "the server sent another range than the one asked for".to_owned(),
            )),
            StatusCode::PARTIAL_CONTENT if !note.validator.agrees_with(&answer.validator) => {
                Err(Failure::Restart("the file has changed on the server".to_owned()))
            }
            StatusCode::PARTIAL_CONTENT => Ok(()),
            StatusCode::RANGE_NOT_SATISFIABLE if self.length > 0 => Err(Failure::Restart(
                "the file on the server is shorter than the part that is here".to_owned(),
            )),
            status if is_temporary(status) => Err(Failure::Again {
                problem: format!("the server answers {status}"),
                wait: answer.retry_after,
            }),
            status => Err(failed(url, format!("the server answers {status}")).into()),
        }
    }

    fn check_space(&self, needed: u64) -> Result<(), FetchError> {
        let free = free_space(&self.file).map_err(FetchError::at(&self.path))?;
        match free < needed {
            true => Err(FetchError::NoSpace {
                path: self.path.as_path().to_owned(),
                needed,
                free,
            }),
            false => Ok(()),
        }
    }

    fn read_body(
        &mut self,
        chunks: &Chunks,
        is_html: bool,
        url: &str,
        limit: u64,
        watcher: &mut dyn FetchObserver,
    ) -> Result<(), Failure> {
        loop {
            self.report(watcher)?;
            let bytes = match chunks.next(&mut || self.report(watcher))? {
                Chunk::Bytes(bytes) => bytes,
                Chunk::End => return Ok(()),
                Chunk::Broken(error) => return Err(Failure::again(format!("the connection broke: {error}"))),
            };
            if self.length == 0 {
                self.reject_page(&bytes, is_html, url)?;
            }
            if bytes.len() as u64 > limit - self.length {
                return Err(failed(url, format!("it is longer than {limit} bytes")).into());
            }
            self.write(&bytes)?;
        }
    }

    fn reject_page(&self, start: &[u8], is_html: bool, url: &str) -> Result<(), FetchError> {
        let is_page_wanted = [".html", ".htm"]
            .iter()
            .any(|end| self.wanted.name.ends_with(end));
        let kind = match FileKind::detect(start) {
            FileKind::Text if is_html => FileKind::HtmlPage,
            kind => kind,
        };
        match kind {
            FileKind::HtmlPage | FileKind::GitLfsPointer if !is_page_wanted => Err(FetchError::NotTheFile {
                url: url.to_owned(),
                kind,
            }),
            _ => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.hasher.update(bytes);
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::StorageFull => Err(FetchError::NoSpace {
                path: self.path.as_path().to_owned(),
                needed: bytes.len() as u64,
                free: 0,
            }),
            Err(error) => Err(FetchError::at(&self.path)(error)),
        }
    }

    fn verify(&self, url: &str) -> Result<(), FetchError> {
        check(url.to_owned(), self.wanted, self.length, &self.hasher)
    }

    /// Gives the verified content its name.
    fn finish(self, directory: &ConfinedPath) -> Result<String, FetchError> {
        let at = FetchError::at(&self.path);
        let name = self.wanted.name;
        let place = directory.join(name);
        let renamed = self
            .file
            .sync_all()
            .and_then(|()| place.remove_file())
            .and_then(|()| self.path.rename_to(name))
            .and_then(|()| directory.sync_directory())
            .and_then(|()| self.note.remove_file());
        renamed.map_err(at)?;
        Ok(self.hasher.digits())
    }
}

/// Compares length and checksum with the published ones.
pub(super) fn check(
    place: String,
    wanted: &Wanted<'_>,
    length: u64,
    hasher: &Hasher,
) -> Result<(), FetchError> {
    if let Some(expected) = wanted.bytes.filter(|bytes| *bytes != length) {
        return Err(FetchError::Length {
            place,
            expected,
            found: length,
        });
    }
    let Some(expected) = wanted.hash else {
        return Ok(());
    };
    let found = hasher.clone().digits();
    match expected.matches(&found) {
        true => Ok(()),
        false => Err(FetchError::Mismatch {
            place,
            expected: expected.to_string(),
            found,
        }),
    }
}

/// Hashes a file from its beginning; leaves it at its end. Returns its length.
pub(super) fn hash_all(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut chunk = vec![0; CHUNK];
    let mut length = 0;
    loop {
        let (filled, problem) = fill(file, &mut chunk, CHUNK);
        hasher.update(&chunk[..filled]);
        length += filled as u64;
        match problem {
            Some(error) => return Err(error),
            None if filled == 0 => return Ok(length),
            None => {}
        }
    }
}

fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}
