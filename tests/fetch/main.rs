//! `cutline fetch` against a server on the loopback interface that behaves as servers do, and worse.

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

mod handed_on;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use server::{Request, Response, Server};
use sha2::{Digest, Sha256};
use support::{Workspace, err, interrupt, out, text};
use zip::write::SimpleFileOptions;

/// The published name of the file.
const NAME: &str = "weights.bin";
const TAG: &str = "\"one\"";

/// A file that does not compress and is longer than what is read at once.
fn content() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..700_000).map(|_| next()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A machine of its own: home, caches and the table of assets.
struct Machine(Workspace);

impl Machine {
    /// With the asset `net`, one file of these lines in the user's table.
    fn with_asset(files: &str) -> Self {
        let machine = Self(Workspace::new());
        let table = machine.0.file("config/cutline/assets.toml");
        fs::create_dir_all(table.parent().unwrap()).unwrap();
        let head = "[net]\nkind = \"weights\"\nabout = \"a net\"\nlicense = \"CC0\"\norigin = \"us\"\n";
        fs::write(table, format!("{head}files = [{files}]\n")).unwrap();
        machine
    }

    /// With the asset `net` at this server, verified by its SHA-256.
    fn with_net(server: &Server) -> Self {
        let (url, hash) = (server.url(NAME), sha256(&content()));
        Self::with_asset(&format!("{{ urls = [\"{url}\"], hash = \"sha256:{hash}\" }}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(arguments);
        let unset = [
            "CUTLINE_MIRROR",
            "CUTLINE_OFFLINE",
            "HF_HUB_OFFLINE",
            "HF_ENDPOINT",
            "HF_HOME",
            "HF_HUB_CACHE",
        ];
        let proxies = [
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
            "HTTPS_PROXY",
            "https_proxy",
        ];
        let homes = [
            "TORCH_HOME",
            "KERAS_HOME",
            "KAGGLEHUB_CACHE",
            "HUGGINGFACE_HUB_CACHE",
            "XDG_CACHE_HOME",
        ];
        for name in unset.iter().chain(&proxies).chain(&homes) {
            command.env_remove(name);
        }
        command
            .env("HOME", self.0.path())
            .env("CUTLINE_CACHE", self.0.file("cache"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        output
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
        err(&output)
    }

    fn cached(&self, name: &str) -> PathBuf {
        self.0.file("cache/files").join(name)
    }

    /// Fetches `net`, which must then be whole under its name, with nothing beside it.
    #[track_caller]
    fn fetches_net(&self) -> String {
        let output = self.succeeds(&["fetch", "net", "--yes"]);
        let path = self.cached(NAME);
        assert_eq!(out(&output), format!("{}\n", path.display()));
        assert_eq!(sha256(&fs::read(path).unwrap()), sha256(&content()));
        assert_eq!(fs::read_dir(self.0.file("cache/files")).unwrap().count(), 1);
        err(&output)
    }
}

fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn starts(server: &Server) -> Vec<usize> {
    server.requests().iter().map(Request::start).collect()
}

#[test]
fn file_is_fetched_once_and_found_afterwards() {
    let server = Server::start(|request| Response::file(&content(), TAG, request));
    let machine = Machine::with_net(&server);
    let shown = machine.fetches_net();
    for expected in ["license   CC0", "origin    us", "checksum  sha256"] {
        assert!(shown.contains(expected), "{shown}");
    }
    machine.fetches_net();
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].headers["accept-encoding"], "identity");
    let log = fs::read_to_string(machine.0.file("cache/jobs/net/events.jsonl")).unwrap();
    for expected in [
        "\"job\":\"fetch\"",
        "\"unit\":\"bytes\"",
        "\"reason\":\"complete\"",
    ] {
        assert!(log.contains(expected), "{log}");
    }
}

#[test]
fn without_consent_nothing_is_fetched() {
    let server = Server::start(|request| Response::file(&content(), TAG, request));
    let machine = Machine::with_net(&server);
    let error = machine.fails(&["fetch", "net"]);
    assert!(
        error.contains("license   CC0") && error.contains("--yes"),
        "{error}"
    );
    assert!(server.requests().is_empty());
}

#[test]
fn cut_connections_are_continued_where_they_broke() {
    let server = Server::start(|request| {
        let file = Response::file(&content(), TAG, request);
        match request.number {
            0 => file.cut(100_000),
            1 => file.cut(200_000),
            _ => file,
        }
    });
    let machine = Machine::with_net(&server);
    let shown = machine.fetches_net();
    assert_eq!(starts(&server), [0, 100_000, 300_000]);
    assert_eq!(server.requests()[1].headers["if-range"], TAG);
    assert!(shown.contains("trying again in 1 s"), "{shown}");
}

#[test]
fn file_that_changes_between_two_ranges_starts_again() {
    // The first server respects `If-Range`, the second does not.
    let respects = Server::start(|request| match request.number {
        0 => Response::file(&[7; 700_000], "\"old\"", request).cut(100_000),
        _ => Response::file(&content(), TAG, request),
    });
    let machine = Machine::with_net(&respects);
    let shown = machine.fetches_net();
    assert!(shown.contains("the file has changed"), "{shown}");
    assert_eq!(starts(&respects), [0, 100_000]);

    let ignores = Server::start(|request| {
        let mut request = request.clone();
        request.headers.remove("if-range");
        match request.number {
            0 => Response::file(&[7; 700_000], "\"old\"", &request).cut(100_000),
            _ => Response::file(&content(), TAG, &request),
        }
    });
    let machine = Machine::with_net(&ignores);
    machine.fetches_net();
    assert_eq!(starts(&ignores), [0, 100_000, 0]);
}

#[test]
fn parts_of_two_files_do_not_pass_the_checksum() {
    // Without tags and dates only the checksum can tell.
    let server = Server::start(|request| {
        let other = [7; 700_000];
        let response = match request.number {
            0 => Response::file(&other, "W/\"a\"", request).cut(100_000),
            _ => Response::file(&content(), "W/\"a\"", request),
        };
        assert!(!request.headers.contains_key("if-range"));
        response
    });
    let machine = Machine::with_net(&server);
    let shown = machine.fetches_net();
    assert!(shown.contains("the parts are not of one file"), "{shown}");
    assert_eq!(starts(&server), [0, 100_000, 0]);
}

#[test]
fn busy_server_is_asked_again_after_the_time_that_it_names() {
    let server = Server::start(|request| match request.number {
        0 => Response::status("429 Too Many Requests", &["Retry-After: 2"]),
        1 => Response::status("503 Service Unavailable", &[]),
        _ => Response::file(&content(), TAG, request),
    });
    let machine = Machine::with_net(&server);
    let shown = machine.fetches_net();
    assert!(
        shown.contains("429 Too Many Requests; trying again in 2 s"),
        "{shown}"
    );
    assert!(
        shown.contains("503 Service Unavailable; trying again in 2 s"),
        "{shown}"
    );
    assert_eq!(server.requests().len(), 3);

    let server = Server::start(|_| Response::status("429 Too Many Requests", &["Retry-After: 86400"]));
    let error = Machine::with_net(&server).fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("asks to come back in 1 d"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn status_that_will_not_change_is_not_asked_again() {
    let server = Server::start(|_| Response::status("404 Not Found", &[]));
    let error = Machine::with_net(&server).fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("404 Not Found") && error.contains(NAME), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn redirects_are_followed_with_their_range_but_not_in_a_circle() {
    let server = Server::start(|request| match (request.path.as_str(), request.number) {
        ("/weights.bin", _) => Response::status("302 Found", &["Location: /deep/elsewhere?token=1"]),
        (_, 1) => Response::file(&content(), TAG, request).cut(100_000),
        _ => Response::file(&content(), TAG, request),
    });
    Machine::with_net(&server).fetches_net();
    assert_eq!(starts(&server), [0, 0, 100_000, 100_000]);

    let circle = Server::start(|_| Response::status("302 Found", &["Location: /weights.bin"]));
    let error = Machine::with_net(&circle).fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("in a circle"), "{error}");
    assert!(circle.requests().len() < 12, "{}", circle.requests().len());
}

#[test]
fn page_instead_of_a_file_is_named() {
    let server = Server::start(|_| Response::page("<!DOCTYPE html><title>Sign in</title>"));
    let machine = Machine::with_asset(&format!("{{ urls = [\"{}\"] }}", server.url(NAME)));
    let error = machine.fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("a web page (HTML) instead of the file"), "{error}");
    assert!(!machine.cached(NAME).exists());
}

#[test]
fn lies_about_the_length_are_noticed() {
    // Too long for the file that is published.
    let server = Server::start(|request| Response::file(&content(), TAG, request).claiming(900_000));
    let bytes = format!("{{ urls = [\"{}\"], bytes = 700000 }}", server.url(NAME));
    let error = Machine::with_asset(&bytes).fails(&["fetch", "net", "--yes"]);
    assert!(
        error.contains("has 900000 bytes, and the published file has 700000"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);

    // Longer than what follows.
    let server = Server::start(|request| match request.start() {
        0 => Response::file(&content(), TAG, request).claiming(900_000),
        _ => Response::status("416 Range Not Satisfiable", &[]),
    });
    let error = Machine::with_net(&server).fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("shorter than the part"), "{error}");

    // Shorter than what follows.
    let server = Server::start(|request| Response::file(&content(), TAG, request).claiming(1_000));
    let machine = Machine::with_net(&server);
    let error = machine.fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("the checksum is wrong"), "{error}");
    assert!(!machine.cached(NAME).exists());

    // No length, and more than the published one.
    let server = Server::start(|request| Response::file(&content(), TAG, request).without_length());
    let bytes = format!("{{ urls = [\"{}\"], bytes = 699999 }}", server.url(NAME));
    let error = Machine::with_asset(&bytes).fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("longer than 699999 bytes"), "{error}");
}

#[test]
fn wrong_checksum_leaves_nothing_and_the_next_address_is_tried() {
    let server = Server::start(|request| match request.path.as_str() {
        "/bad/weights.bin" => Response::file(&[1; 1000], TAG, request),
        _ => Response::file(&content(), TAG, request),
    });
    let (bad, good, hash) = (
        server.url("bad/weights.bin"),
        server.url(NAME),
        sha256(&content()),
    );
    let wrong = format!("{{ urls = [\"{bad}\"], hash = \"sha256:{}\" }}", &hash[..8]);
    let machine = Machine::with_asset(&wrong);
    let error = machine.fails(&["fetch", "net", "--yes"]);
    assert!(
        error.contains(&format!("sha256:{} was expected", &hash[..8])),
        "{error}"
    );
    assert!(!machine.cached(NAME).exists());
    let both = format!("{{ urls = [\"{bad}\", \"{good}\"], hash = \"sha256:{hash}\" }}");
    Machine::with_asset(&both).fetches_net();
}

#[test]
fn file_without_published_checksum_is_fetched_with_a_warning() {
    let server = Server::start(|request| Response::file(&content(), TAG, request));
    let machine = Machine::with_asset(&format!("{{ urls = [\"{}\"] }}", server.url(NAME)));
    let shown = machine.fetches_net();
    let expected = format!(
        "is not verified: its publisher states no checksum; it has sha256:{}",
        sha256(&content())
    );
    assert!(shown.contains(&expected), "{shown}");
    let listed: Value =
        serde_json::from_str(&out(&machine.succeeds(&["fetch", "--list", "--json"]))).unwrap();
    let net = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|asset| asset["name"] == "net")
        .unwrap();
    assert_eq!(
        (&net["verifiable"], &net["cache"]),
        (&false.into(), &"cutline".into())
    );
    let table = out(&machine.succeeds(&["fetch", "--list"]));
    let row = table.lines().find(|line| line.starts_with("net ")).unwrap();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["net", "weights", "not", "stated", "cutline", "none", "CC0", "us"]
    );
}

#[test]
fn several_processes_fetch_once() {
    let is_open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&is_open);
    let server = Server::start(move |request| {
        while !gate.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        Response::file(&content(), TAG, request)
    });
    let machine = Machine::with_net(&server);
    let start = || {
        let mut command = machine.command(&["fetch", "net", "--yes"]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let first = start();
    while server.requests().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    let waiting = [start(), start()].map(|mut process| {
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("waiting for it")));
        (process, lines)
    });
    is_open.store(true, Ordering::Relaxed);
    let path = format!("{}\n", machine.cached(NAME).display());
    let first = first.wait_with_output().unwrap();
    assert_eq!(
        (first.status.code(), out(&first)),
        (Some(0), path.clone()),
        "{}",
        err(&first)
    );
    for (process, lines) in waiting {
        let shown: Vec<String> = lines.map(Result::unwrap).collect();
        let output = process.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), out(&output)),
            (Some(0), path.clone()),
            "{shown:?}"
        );
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn interrupted_and_killed_downloads_continue() {
    let server = Server::start(|request| {
        let file = Response::file(&content(), TAG, request);
        // Two connections stay open and silent.
        match request.number {
            0 | 1 => file.cut(100_000 * (1 + request.number)).hanging(),
            _ => file,
        }
    });
    let machine = Machine::with_net(&server);
    let part = machine.cached("weights.bin.part");
    for (signal, least) in [("INT", 100_000), ("KILL", 300_000)] {
        let mut command = machine.command(&["fetch", "net", "--yes"]);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let since = Instant::now();
        while fs::metadata(&part).map_or(0, |found| found.len()) < least {
            assert!(
                since.elapsed() < Duration::from_secs(30),
                "no part of {least} bytes"
            );
            thread::sleep(Duration::from_millis(5));
        }
        match signal {
            "INT" => interrupt(&child),
            _ => assert!(
                Command::new("kill")
                    .args(["-KILL", &child.id().to_string()])
                    .status()
                    .unwrap()
                    .success()
            ),
        }
        let output = child.wait_with_output().unwrap();
        if signal == "INT" {
            assert_eq!(output.status.code(), Some(130), "{}", err(&output));
            assert!(
                err(&output).contains("the same command continues"),
                "{}",
                err(&output)
            );
        }
    }
    machine.fetches_net();
    assert_eq!(starts(&server), [0, 100_000, 300_000]);
}

#[test]
fn offline_rejects_with_the_command_for_another_machine() {
    let server = Server::start(|request| Response::file(&content(), TAG, request));
    let machine = Machine::with_net(&server);
    for name in ["CUTLINE_OFFLINE", "HF_HUB_OFFLINE"] {
        let output = machine
            .command(&["fetch", "net", "--yes"])
            .env(name, "1")
            .output()
            .unwrap();
        let error = err(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            error.contains(name) && error.contains("cutline fetch net --yes"),
            "{error}"
        );
    }
    assert!(server.requests().is_empty());
    machine.fetches_net();
    let here = machine
        .command(&["fetch", "net"])
        .env("CUTLINE_OFFLINE", "1")
        .output()
        .unwrap();
    assert_eq!(here.status.code(), Some(0), "{}", err(&here));
}

#[test]
fn files_fetched_by_hand_are_verified_and_adopted() {
    let hash = sha256(&content());
    let machine = Machine::with_asset(&format!(
        "{{ urls = [\"http://nowhere.invalid/{NAME}\"], hash = \"sha256:{hash}\", bytes = 700000 }}"
    ));
    let downloads = machine.0.file("downloads");
    fs::create_dir(&downloads).unwrap();
    let arguments = ["fetch", "net", "--from", text(&downloads)];
    assert!(machine.fails(&arguments).contains("weights.bin is not in"));
    fs::write(downloads.join(NAME), [3; 700_000]).unwrap();
    assert!(machine.fails(&arguments).contains("the checksum is wrong"));
    fs::write(downloads.join(NAME), &content()[1..]).unwrap();
    assert!(machine.fails(&arguments).contains("it has 699999 bytes"));
    assert!(!machine.cached(NAME).exists());
    fs::write(downloads.join(NAME), content()).unwrap();
    let adopted = machine.succeeds(&arguments);
    assert_eq!(out(&adopted), format!("{}\n", machine.cached(NAME).display()));
    assert_eq!(fs::read(machine.cached(NAME)).unwrap(), content());

    let urls = out(&machine.succeeds(&["fetch", "net", "--urls"]));
    assert_eq!(
        urls,
        format!("{NAME}  sha256:{hash}  700000 bytes\n  http://nowhere.invalid/{NAME}\n")
    );
}

#[test]
fn mirror_is_asked_first_and_the_publisher_next() {
    let mirror = Server::start(|request| match request.path.as_str() {
        "/files/weights.bin" => Response::file(&content(), TAG, request),
        _ => Response::status("404 Not Found", &[]),
    });
    let publisher = Server::start(|request| Response::file(&content(), TAG, request));
    let fetch = |directory: &str| {
        let machine = Machine::with_net(&publisher);
        let mut command = machine.command(&["fetch", "net", "--yes"]);
        let output = command
            .env("CUTLINE_MIRROR", mirror.url(directory))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    };
    fetch("files/");
    assert_eq!((mirror.requests().len(), publisher.requests().len()), (1, 0));
    fetch("empty");
    assert_eq!((mirror.requests().len(), publisher.requests().len()), (2, 1));
}

#[test]
fn hub_endpoint_replaces_the_hub() {
    let endpoint = Server::start(|request| match request.path.as_str() {
        "/org/net/resolve/main/weights.bin" => Response::file(&content(), TAG, request),
        _ => Response::status("404 Not Found", &[]),
    });
    let hash = sha256(&content());
    let machine = Machine::with_asset(&format!(
        "{{ urls = [\"https://huggingface.co/org/net/resolve/main/{NAME}\"], hash = \"sha256:{hash}\" }}"
    ));
    let mut command = machine.command(&["fetch", "net", "--yes"]);
    let output = command.env("HF_ENDPOINT", endpoint.url("")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[test]
fn address_is_fetched_under_its_name() {
    let server = Server::start(|request| Response::file(&content(), TAG, request));
    let machine = Machine(Workspace::new());
    let url = server.url("dir/model.safetensors?download=true");
    let wrong = machine.fails(&["fetch", &url, "--sha256", "00000000", "--yes"]);
    assert!(wrong.contains("the checksum is wrong"), "{wrong}");
    let output = machine.succeeds(&["fetch", &url, "--sha256", &sha256(&content()), "--yes", "--json"]);
    let fetched: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(fetched["path"], text(&machine.cached("model.safetensors")));
    assert_eq!(
        (&fetched["verified"], &fetched["cache"]),
        (&true.into(), &"cutline".into())
    );
    assert_eq!(server.requests()[0].path, "/dir/model.safetensors?download=true");
}

#[test]
fn files_of_one_name_at_two_addresses_are_not_confused() {
    let server = Server::start(|request| match request.path.as_str() {
        "/a/model.bin" => Response::file(b"file of a", TAG, request),
        _ => Response::file(b"file of b", TAG, request),
    });
    let machine = Machine(Workspace::new());
    let fetch = |url: &str, hash: &[&str]| {
        let output = machine.succeeds(&[&["fetch", url, "--yes"], hash].concat());
        fs::read_to_string(out(&output).trim_end()).unwrap()
    };
    for hashes in [["", ""], [&sha256(b"file of a"), &sha256(b"file of b")]] {
        let hash = |i: usize| match hashes[i] {
            "" => vec![],
            digits => vec!["--sha256", digits],
        };
        assert_eq!(fetch(&server.url("a/model.bin"), &hash(0)), "file of a");
        assert_eq!(fetch(&server.url("b/model.bin"), &hash(1)), "file of b");
        assert_eq!(fetch(&server.url("a/model.bin"), &hash(0)), "file of a");
    }
}

#[test]
fn archives_are_unpacked_into_one_directory_that_appears_whole() {
    let captions = zipped(&[
        ("captions.csv", b"image,caption\n"),
        ("__MACOSX/._captions.csv", b"x"),
    ]);
    let images = zipped(&[("Images/a.jpg", b"A"), ("Images/b.jpg", b"B")]);
    let served = [captions.clone(), images.clone()];
    let server = Server::start(move |request| match request.path.as_str() {
        "/captions.zip" => Response::file(&served[0], TAG, request),
        "/images.zip" => Response::file(&served[1], TAG, request),
        _ => Response::file(b"read me", TAG, request),
    });
    let file = |name: &str, bytes: &[u8], how: &str| {
        format!(
            "{{ urls = [\"{}\"], hash = \"sha256:{}\", {how} }}",
            server.url(name),
            sha256(bytes)
        )
    };
    let files = [
        file("captions.zip", &captions, "unpack = \"zip\""),
        file("images.zip", &images, "unpack = \"zip\""),
        file("about.txt", b"read me", "place = \"docs/README\""),
    ];
    let machine = Machine::with_asset(&files.join(", "));
    let output = machine.succeeds(&["fetch", "net", "--yes"]);
    let data = machine.0.file("cache/data/net");
    assert_eq!(out(&output), format!("{}\n", data.display()));
    for (name, bytes) in [
        ("captions.csv", "image,caption\n"),
        ("Images/b.jpg", "B"),
        ("docs/README", "read me"),
    ] {
        assert_eq!(fs::read_to_string(data.join(name)).unwrap(), bytes);
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 3);
    assert_eq!(fs::read_dir(machine.0.file("cache/files")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(machine.0.file("cache/data")).unwrap().count(), 1);
    assert_eq!(server.requests().len(), 3);

    let hostile = zipped(&[("a.jpg", b"A"), ("../../evil", b"E")]);
    let hash = sha256(&hostile);
    let server = Server::start(move |request| Response::file(&hostile, TAG, request));
    let machine = Machine::with_asset(&format!(
        "{{ urls = [\"{}\"], hash = \"sha256:{hash}\", unpack = \"zip\" }}",
        server.url("images.zip")
    ));
    let error = machine.fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("leads out of its directory"), "{error}");
    assert_eq!(fs::read_dir(machine.0.file("cache/data")).unwrap().count(), 0);
    assert!(!machine.0.file("cache/evil").exists() && !machine.0.file("evil").exists());
}

#[test]
fn file_in_the_cache_of_torch_is_verified_and_used() {
    let server = Server::start(|request| Response::file(&content(), TAG, request));
    let machine = Machine::with_net(&server);
    let torch = machine.0.file(".cache/torch/hub/checkpoints");
    fs::create_dir_all(&torch).unwrap();
    fs::write(torch.join(NAME), content()).unwrap();
    let output = machine.succeeds(&["fetch", "net"]);
    assert_eq!(out(&output), format!("{}\n", torch.join(NAME).display()));
    assert!(err(&output).contains("in the cache of torch"), "{}", err(&output));
    // A damaged one is passed over.
    fs::write(torch.join(NAME), &content()[..5_000]).unwrap();
    let shown = machine.fetches_net();
    assert!(shown.contains("it is passed over"), "{shown}");
}

#[test]
fn shared_cache_is_read_and_only_the_last_is_written() {
    let server = Server::start(|request| Response::file(&content(), TAG, request));
    let machine = Machine::with_net(&server);
    let (shared, mine) = (machine.0.file("shared"), machine.0.file("mine"));
    fs::create_dir_all(shared.join("files")).unwrap();
    let list = std::env::join_paths([&shared, &mine]).unwrap();
    let fetch = || {
        let mut command = machine.command(&["fetch", "net", "--yes"]);
        let output = command.env("CUTLINE_CACHE", &list).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        out(&output)
    };
    assert_eq!(fetch(), format!("{}\n", mine.join("files").join(NAME).display()));
    fs::rename(mine.join("files").join(NAME), shared.join("files").join(NAME)).unwrap();
    assert_eq!(
        fetch(),
        format!("{}\n", shared.join("files").join(NAME).display())
    );
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 1);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn detached_fetch_is_a_job() {
    let server = Server::start(|request| {
        thread::sleep(Duration::from_millis(300));
        Response::file(&content(), TAG, request)
    });
    let machine = Machine::with_net(&server);
    let output = machine.succeeds(&["fetch", "net", "--yes", "--detach"]);
    let job = machine.0.file("cache/jobs/net");
    assert_eq!(out(&output), format!("{}\n", job.display()));
    let followed = machine.succeeds(&["attach", text(&job)]);
    assert!(out(&followed).contains("fetching net"), "{}", out(&followed));
    assert_eq!(fs::read(machine.cached(NAME)).unwrap(), content());
}

#[test]
fn part_is_not_written_through_a_link() {
    let server = Server::start(|request| Response::file(&content(), TAG, request));
    let machine = Machine::with_net(&server);
    let victim = machine.0.file("victim");
    fs::write(&victim, "mine").unwrap();
    fs::create_dir_all(machine.0.file("cache/files")).unwrap();
    std::os::unix::fs::symlink(&victim, machine.cached("weights.bin.part")).unwrap();
    let error = machine.fails(&["fetch", "net", "--yes"]);
    assert!(error.contains("symbolic link"), "{error}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
}

#[test]
fn unknown_name_suggests_the_nearest() {
    let error = Machine(Workspace::new()).fails(&["fetch", "flickr_8k"]);
    assert!(
        error.contains("nearest: \"flickr8k\"") && error.contains("fetch --list"),
        "{error}"
    );
}

/// A zip archive of six images with their captions, as `prepare` reads it.
fn pets() -> Vec<u8> {
    let mut captions = "image,caption,split\n".to_owned();
    let mut entries = Vec::new();
    for (i, split) in ["train", "train", "train", "train", "dev", "test"]
        .into_iter()
        .enumerate()
    {
        let shade = 40 * i as u8;
        let image = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([x as u8 * 8, y as u8 * 8, shade]));
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        captions += &format!("{i}.png,a dog number {i} runs,{split}\n");
        entries.push((format!("pets/{i}.png"), png.into_inner()));
    }
    entries.push(("captions.csv".to_owned(), captions.into_bytes()));
    let entries: Vec<(&str, &[u8])> = entries
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    zipped(&entries)
}

/// With the asset `pets`, a dataset at this server.
fn machine_with_pets(server: &Server) -> Machine {
    let machine = Machine::with_asset(&format!(
        "{{ urls = [\"{}\"], hash = \"sha256:{}\", unpack = \"zip\" }}",
        server.url("pets.zip"),
        sha256(&pets())
    ));
    let table = machine.0.file("config/cutline/assets.toml");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(
        table,
        text.replace("[net]", "[pets]")
            .replace("\"weights\"", "\"dataset\""),
    )
    .unwrap();
    machine
}

#[test]
fn dataset_is_prepared_by_its_name_once_it_is_fetched() {
    let server = Server::start(|request| Response::file(&pets(), TAG, request));
    let machine = machine_with_pets(&server);
    let prepare = ["prepare", "pets", "--min-count", "1"];
    let error = machine.fails(&prepare);
    assert!(error.contains("cutline fetch pets"), "{error}");
    assert!(server.requests().is_empty(), "nothing is fetched unasked");
    machine.succeeds(&["fetch", "pets", "--yes"]);
    let printed = machine.succeeds(&prepare);
    assert!(err(&printed).contains("cutline train pets"), "{}", err(&printed));
    assert!(machine.0.dataset("pets").join("dataset.toml").is_file());
    // A directory of that name is meant first.
    let beside = machine.0.file("elsewhere");
    fs::create_dir_all(beside.join("pets")).unwrap();
    let mut command = machine.command(&prepare);
    let output = command.current_dir(&beside).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));

    let doctor = out(&machine.succeeds(&["doctor", "--device", "cpu"]));
    let cache = machine.0.file("cache");
    let expected = format!("{} (cutline): pets", cache.display());
    assert!(doctor.contains(&expected), "{doctor}");
}

#[test]
fn weights_that_no_cache_has_are_named_with_their_command() {
    let server = Server::start(|request| Response::file(&pets(), TAG, request));
    let machine = machine_with_pets(&server);
    machine.succeeds(&["fetch", "pets", "--yes"]);
    let error = machine.fails(&["prepare", "pets", "--backbone", "mobilenet_v2"]);
    assert!(
        error.contains("`cutline fetch mobilenet_v2` (14.2 MB)"),
        "{error}"
    );
    let error = machine.fails(&[
        "prepare",
        "pets",
        "--backbone",
        "vgg16",
        "--weights",
        "vgg16-keras",
    ]);
    assert!(error.contains("`cutline fetch vgg16-keras`"), "{error}");
}

/// With the published file, served by a mirror under its published name.
#[test]
fn published_weights_are_fetched_verified_and_used_by_name() {
    let Some(directory) = std::env::var_os("CUTLINE_WEIGHTS") else {
        return println!("SKIPPED: CUTLINE_WEIGHTS is not set");
    };
    let published = fs::read(PathBuf::from(directory).join("mobilenet_v2-b0353104.pth")).unwrap();
    let mirror = Server::start(move |request| match request.path.as_str() {
        "/mobilenet_v2-b0353104.pth" => Response::file(&published, TAG, request),
        "/pets.zip" => Response::file(&pets(), TAG, request),
        _ => Response::status("404 Not Found", &[]),
    });
    let machine = machine_with_pets(&mirror);
    let mut fetch = machine.command(&["fetch", "pets", "mobilenet_v2", "--yes"]);
    let output = fetch.env("CUTLINE_MIRROR", mirror.url("")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(!err(&output).contains("not verified"), "{}", err(&output));
    let prepare = [
        "prepare",
        "pets",
        "--backbone",
        "mobilenet_v2",
        "--min-count",
        "1",
    ];
    let printed = out(&machine.succeeds(&prepare));
    assert!(printed.contains("6 images of 1280 numbers"), "{printed}");
    let photo = machine.0.file("cache/data/pets/pets/0.png");
    let features = machine.0.file("features.safetensors");
    let extract = [
        "features",
        text(&photo),
        "--backbone",
        "mobilenet_v2",
        "--out",
        text(&features),
    ];
    machine.succeeds(&extract);
    assert!(features.is_file());
}

#[test]
fn meteor_is_computed_with_fetched_data() {
    let machine = Machine(Workspace::new());
    let captions = machine.0.file("captions.json");
    fs::write(&captions, r#"{"a": ["a dog runs"]}"#).unwrap();
    let score = [
        "score",
        "--references",
        text(&captions),
        "--hypotheses",
        text(&captions),
    ];
    let shown = err(&machine.run(&score));
    assert!(shown.contains("cutline fetch meteor"), "{shown}");
    // What it finds in the cache is tried: this is none of METEOR's files.
    fs::create_dir_all(machine.0.file("cache/data/meteor")).unwrap();
    let shown = err(&machine.run(&score));
    assert!(shown.contains("cache/data/meteor has no"), "{shown}");
}
