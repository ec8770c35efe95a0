//! HTTP requests for a file or the rest of it, each on a thread of its own: the caller can be stopped while a server is silent.

use super::error::FetchError;
use rustls::crypto::ring;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use ureq::http::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE,
    RETRY_AFTER,
};
use ureq::http::{Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, ResponseExt};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection without a byte for so long counts as broken.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: u32 = 8;
/// Bytes read at a time.
const CHUNK: usize = 256 << 10;
/// The least bytes of the first chunk, by which a page is distinguished from a file.
const FIRST_CHUNK: usize = 512;
/// Chunks that wait for the disk.
const CHUNKS_AHEAD: usize = 4;
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Called while a server is silent; an error ends the wait.
pub(super) type Poll<'a> = dyn FnMut() -> Result<(), FetchError> + 'a;

/// An HTTP client with the system's certificates and the environment's proxies.
#[derive(Clone, Debug)]
pub(super) struct Client(Agent);

/// What identifies the content at an address, as its server states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validator {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
}

impl Validator {
    /// The value of `If-Range`: a strong entity tag, or else the date. A weak tag does not identify bytes.
    pub(super) fn if_range(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        strong.or(self.modified.as_deref())
    }

    /// Whether both are of the same content, as far as they say.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let agree = |one: &Option<String>, other: &Option<String>| match (one, other) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        agree(&self.etag, &other.etag) && agree(&self.modified, &other.modified)
    }
}

/// The beginning of a server's answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) validator: Validator,
    /// Where the body begins in the file.
    pub(super) start: u64,
    /// The bytes of the whole file, if the server says so.
    pub(super) total: Option<u64>,
    pub(super) is_html: bool,
    pub(super) retry_after: Option<Duration>,
}

/// The body of an answer as it arrives.
pub(super) struct Chunks(Receiver<Chunk>);

/// What arrived.
pub(super) enum Chunk {
    Bytes(Vec<u8>),
    /// The server has sent all that it wants to.
    End,
    Broken(io::Error),
}

impl Chunks {
    /// Waits for what arrives next.
    pub(super) fn next(&self, poll: &mut Poll<'_>) -> Result<Chunk, FetchError> {
        let gone = || Chunk::Broken(ErrorKind::ConnectionAborted.into());
        Ok(receive(&self.0, poll)?.unwrap_or_else(gone))
    }
}

/// The next message; `None` if the sender is gone.
fn receive<T>(receiver: &Receiver<T>, poll: &mut Poll<'_>) -> Result<Option<T>, FetchError> {
    loop {
        match receiver.recv_timeout(POLL_INTERVAL) {
            Ok(message) => return Ok(Some(message)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => poll()?,
        }
    }
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// It may come later.
    Later(String),
    /// It will not come.
    Never(String),
}

impl Client {
    pub(super) fn new() -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(2 * READ_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .user_agent(concat!("cutline/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(config.into())
    }

    /// Requests the file from byte `start` on, if it is still the one that the validator is of; otherwise all of it.
    ///
    /// # Errors
    /// Those of `poll`, which is called while the server is silent.
    pub(super) fn get(
        &self,
        url: &str,
        start: u64,
        validator: &Validator,
        poll: &mut Poll<'_>,
    ) -> Result<Result<(Answer, Chunks), NoAnswer>, FetchError> {
        let (answers, answer) = sync_channel(1);
        let (chunks, body) = sync_channel(CHUNKS_AHEAD);
        let (client, url, validator) = (self.clone(), url.to_owned(), validator.clone());
        let work = move || match client.request(&url, start, &validator) {
            Ok((answer, reader)) => {
                // The caller may have been stopped.
                let _ = answers.send(Ok(answer));
                send_chunks(reader, &chunks);
            }
            Err(no_answer) => drop(answers.send(Err(no_answer))),
        };
        let thread = thread::Builder::new().name("download".to_owned()).spawn(work);
        if let Err(error) = thread {
            return Ok(Err(NoAnswer::Later(format!(
                "a thread cannot be started: {error}"
            ))));
        }
        let gone = || Err(NoAnswer::Later("the request was given up".to_owned()));
        let answer = receive(&answer, poll)?.unwrap_or_else(gone);
        Ok(answer.map(|answer| (answer, Chunks(body))))
    }

    fn request(
        &self,
        url: &str,
        start: u64,
        validator: &Validator,
    ) -> Result<(Answer, impl Read + use<>), NoAnswer> {
        // Compressed on the way, lengths and ranges would be of something else.
        let mut request = self.0.get(url).header(ACCEPT_ENCODING, "identity");
        if start > 0 {
            request = request.header(RANGE, format!("bytes={start}-"));
            if let Some(value) = validator.if_range() {
                request = request.header(IF_RANGE, value);
            }
        }
        let response = request.call().map_err(no_answer)?;
        if url.starts_with("https:") && response.get_uri().scheme_str() != Some("https") {
            return Err(NoAnswer::Never(
                "it redirects from https to http, which others can change on the way".to_owned(),
            ));
        }
        Ok((head(&response)?, response.into_body().into_reader()))
    }
}

fn send_chunks(mut reader: impl Read, chunks: &SyncSender<Chunk>) {
    let mut wished = FIRST_CHUNK;
    loop {
        let mut bytes = vec![0; CHUNK];
        let (filled, error) = fill(&mut reader, &mut bytes, wished);
        bytes.truncate(filled);
        wished = 1;
        let end = match error {
            Some(error) => Some(Chunk::Broken(error)),
            None => (filled == 0).then_some(Chunk::End),
        };
        let is_received = filled == 0 || chunks.send(Chunk::Bytes(bytes)).is_ok();
        match end {
            Some(end) => return drop(chunks.send(end)),
            None if !is_received => return,
            None => {}
        }
    }
}

/// Reads until `wished` bytes are there or none follow. What was read before an error counts.
pub(super) fn fill(reader: &mut dyn Read, chunk: &mut [u8], wished: usize) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < wished {
        match reader.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

fn head(response: &Response<Body>) -> Result<Answer, NoAnswer> {
    let status = response.status();
    let header = |name: HeaderName| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.trim().to_owned())
    };
    let (start, total) = match status {
        StatusCode::PARTIAL_CONTENT => {
            let range = header(CONTENT_RANGE).and_then(|range| parse_range(&range));
            range.ok_or_else(|| NoAnswer::Never("the server answers with an unreadable range".to_owned()))?
        }
        _ => (0, response.body().content_length()),
    };
    Ok(Answer {
        status,
        validator: Validator {
            etag: header(ETAG),
            modified: header(LAST_MODIFIED),
        },
        start,
        total,
        is_html: header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html")),
        retry_after: header(RETRY_AFTER).and_then(|value| value.parse().ok().map(Duration::from_secs)),
    })
}

/// The start and the total of `bytes START-END/TOTAL`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    match total.trim() {
        "*" => Some((start, None)),
        total => Some((start, Some(total.parse().ok()?))),
    }
}

fn no_answer(error: ureq::Error) -> NoAnswer {
    match error {
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => NoAnswer::Never(format!(
            "it redirects more than {MAX_REDIRECTS} times, probably in a circle"
        )),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            NoAnswer::Never(error.to_string())
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => NoAnswer::Never(format!(
            "{error}; if a proxy has a certificate of its own, name the file of its authority in SSL_CERT_FILE"
        )),
        ureq::Error::HostNotFound => NoAnswer::Later("its host is not found; is there a network?".to_owned()),
        _ => NoAnswer::Later(error.to_string()),
    }
}

impl NoAnswer {
    pub(super) fn problem(self) -> String {
        match self {
            Self::Later(problem) | Self::Never(problem) => problem,
        }
    }
}

/// The error of an address.
pub(super) fn failed(url: &str, problem: impl Into<String>) -> FetchError {
    FetchError::Address {
        url: url.to_owned(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_answer_is_parsed() {
        assert_eq!(parse_range("bytes 10-19/20"), Some((10, Some(20))));
        assert_eq!(parse_range("bytes 10-19/*"), Some((10, None)));
        for wrong in [
            "",
            "bytes */20",
            "items 1-2/3",
            "bytes 1-2/x",
            "bytes -5/9",
            "bytes 99999999999999999999-1/2",
        ] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn weak_tag_does_not_identify_bytes() {
        let validator = |etag: Option<&str>, modified: Option<&str>| Validator {
            etag: etag.map(str::to_owned),
            modified: modified.map(str::to_owned),
        };
        assert_eq!(validator(Some("\"a\""), Some("Mon")).if_range(), Some("\"a\""));
        assert_eq!(validator(Some("W/\"a\""), Some("Mon")).if_range(), Some("Mon"));
        assert_eq!(validator(Some("W/\"a\""), None).if_range(), None);
        assert!(validator(Some("a"), None).agrees_with(&validator(None, Some("Mon"))));
        assert!(!validator(Some("a"), None).agrees_with(&validator(Some("b"), None)));
    }
}
