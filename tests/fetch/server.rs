//! An HTTP server on the loopback interface, with a behavior of its own for each test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request for a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// By names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// How many requests came before it.
    pub(crate) number: usize,
}

impl Request {
    /// The start of the range that it asks for; 0 without one.
    pub(crate) fn start(&self) -> usize {
        let range = self.headers.get("range").map_or("", String::as_str);
        let range = range
            .strip_prefix("bytes=")
            .and_then(|range| range.strip_suffix('-'));
        range.map_or(0, |start| start.parse().unwrap())
    }
}

/// What the server sends before it closes the connection.
pub(crate) struct Response {
    head: String,
    body: Vec<u8>,
    /// Whether the connection stays open instead.
    hangs: bool,
}

impl Response {
    /// A status with these header lines, and no body.
    pub(crate) fn status(status: &str, headers: &[&str]) -> Self {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        Self {
            head: format!("HTTP/1.1 {status}\r\n{lines}Connection: close\r\nContent-Length: 0\r\n\r\n"),
            body: Vec::new(),
            hangs: false,
        }
    }

    /// A page.
    pub(crate) fn page(text: &str) -> Self {
        Self {
            head: format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                text.len()
            ),
            body: text.into(),
            hangs: false,
        }
    }

    /// A whole file, or what is asked for of it, as its tag allows.
    pub(crate) fn file(content: &[u8], tag: &str, request: &Request) -> Self {
        let start = request.start();
        let is_same = request.headers.get("if-range").is_none_or(|value| value == tag);
        let (status, range, body) = match start {
            1.. if is_same => (
                "206 Partial Content",
                format!(
                    "Content-Range: bytes {start}-{}/{}\r\n",
                    content.len() - 1,
                    content.len()
                ),
                &content[start..],
            ),
            _ => ("200 OK", String::new(), content),
        };
        Self {
            head: format!(
                "HTTP/1.1 {status}\r\n{range}ETag: {tag}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            ),
            body: body.to_vec(),
            hangs: false,
        }
    }

    /// The same with only the first bytes of its body.
    pub(crate) fn cut(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }

    /// The same on a connection that stays open.
    pub(crate) fn hanging(mut self) -> Self {
        self.hangs = true;
        self
    }

    /// The same with another length in its header.
    pub(crate) fn claiming(mut self, length: usize) -> Self {
        let true_length = format!("Content-Length: {}\r\n", self.body.len());
        self.head = self
            .head
            .replace(&true_length, &format!("Content-Length: {length}\r\n"));
        self
    }

    /// The same without a length: the end of the connection ends the body.
    pub(crate) fn without_length(mut self) -> Self {
        let length = format!("Content-Length: {}\r\n", self.body.len());
        self.head = self.head.replace(&length, "");
        self
    }
}

/// A server, until the test ends.
pub(crate) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(respond: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let respond = Arc::new(respond);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                thread::spawn(move || serve(stream, &log, &*respond));
            }
        });
        Self { address, requests }
    }

    /// The address of a file.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Request>>, respond: &dyn Fn(&Request) -> Response) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let request = {
        let mut log = log.lock().unwrap();
        let request = Request {
            path: first.split(' ').nth(1).unwrap().to_owned(),
            headers,
            number: log.len(),
        };
        log.push(request.clone());
        request
    };
    let Response { head, body, hangs } = respond(&request);
    let mut writer = &stream;
    // The client may have gone.
    let _ = writer
        .write_all(head.as_bytes())
        .and_then(|()| writer.write_all(&body));
    if hangs {
        std::mem::forget(stream);
    }
}
