//! Imports run downwards only: which module may import which, and who may use which outside crate.
//!
//! ```text
//!                cli
//!                 |
//!                tui
//!                 |
//!               runs
//!                 |
//!       training   evaluation
//!           \      /
//!          captioning
//!           /     \
//!      decoder   vision
//!           \     /
//!             nn          dataset   text   metrics      (no tensors in these three)
//!
//!       config, files, nearest: below everything
//! ```

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A module and those right below it: it may import these, what lies below them, [`BOTTOM`] and itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("suggest", &[]),
    ("files", &[]),
    ("metrics", &[]),
    ("text", &[]),
    ("nn", &[]),
    ("data", &["text"]),
    ("vision", &["nn"]),
    ("decoders", &["nn", "text"]),
    ("captioning", &["decoders", "vision", "data", "metrics"]),
    ("training", &["captioning"]),
    ("evaluation", &["captioning"]),
    ("runs", &["training", "evaluation"]),
    ("tui", &["runs"]),
    ("cli", &["tui"]),
];

/// What every module may import.
const BOTTOM: &[&str] = &["config", "files", "suggest"];

/// All modules that `module` may import; `None` if it has no layer.
fn importable(module: &str) -> Option<BTreeSet<&'static str>> {
    let (_, below) = LAYERS.iter().find(|(name, _)| *name == module)?;
    let deeper = below.iter().filter_map(|below| importable(below)).flatten();
    Some(deeper.chain(below.iter().chain(BOTTOM).copied()).collect())
}

/// Outside crates that only some modules may use.
const KEPT_APART: &[(&str, &[&str])] = &[
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    (
        "dfdx",
        &[
            "nn",
            "vision",
            "decoders",
            "captioning",
            "training",
            "evaluation",
            "cli",
        ],
    ),
    ("gemm", &["nn"]),
    ("indicatif", &["cli", "tui"]),
    ("ratatui", &["tui"]),
    ("signal_hook", &["cli", "tui"]),
    ("viuer", &["cli"]),
];

#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: PathBuf,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

#[test]
fn imports_run_downwards_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut violations = Vec::new();
    let mut files = rust_files(&source);
    files.sort();
    assert!(!files.is_empty(), "no sources under {}", source.display());
    for file in files {
        let path = module_path(file.strip_prefix(&source).unwrap());
        if !path.is_empty() {
            violations.extend(check(&file, &path, &fs::read_to_string(&file).unwrap()));
        }
    }
    let told: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(told.is_empty(), "\n{}\n", told.join("\n"));
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The path of the module that a file under `src` is; `lib.rs` and `main.rs` are the root, outside the layers.
fn module_path(file: &Path) -> Vec<String> {
    let stem = file.with_extension("");
    let parts = stem.iter().map(|part| part.to_str().unwrap());
    parts
        .filter(|part| !matches!(*part, "lib" | "main" | "mod"))
        .map(str::to_owned)
        .collect()
}

fn check(file: &Path, path: &[String], source: &str) -> Vec<Violation> {
    let module = path[0].as_str();
    let violation = |offset: usize, rule: String| Violation {
        file: file.to_owned(),
        line: 1 + source[..offset].matches('\n').count(),
        rule,
    };
    let Some(allowed) = importable(module) else {
        return vec![violation(
            0,
            format!("`{module}` has no layer yet; give it one in tests/layers.rs"),
        )];
    };
    let code = without_comments_and_literals(source);
    let mut violations = Vec::new();
    for (offset, imported) in imports(&code, path.len()) {
        let is_module = LAYERS.iter().any(|(name, _)| *name == imported);
        if is_module && imported != module && !allowed.contains(imported) {
            let may: Vec<&str> = allowed.iter().copied().collect();
            violations.push(violation(
                offset,
                format!(
                    "`{module}` imports `{imported}`, but may import only {}",
                    may.join(", ")
                ),
            ));
        }
    }
    for (outside, users) in KEPT_APART {
        for offset in words(&code, outside).filter(|_| !users.contains(&module)) {
            if is_path_root(&code, offset, outside) {
                let users = users.join(", ");
                violations.push(violation(
                    offset,
                    format!("`{module}` uses the crate `{outside}`, which is kept to {users}"),
                ));
            }
        }
    }
    violations
}

/// The modules named right after the root of the crate, also within braces: `use crate::{text::Vocabulary, nn}`.
///
/// `depth` is the length of the file's own module path, by which a chain of `super::` leads to the root too.
fn imports(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut imports = Vec::new();
    for start in after_crate(code).chain(after_supers(code, depth)) {
        if code[start..].starts_with('{') {
            imports.extend(first_names_in_braces(code, start));
        } else {
            imports.push((start, identifier(&code[start..])));
        }
    }
    imports
}

/// Where paths go on after `crate::`.
fn after_crate(code: &str) -> impl Iterator<Item = usize> {
    const CRATE: &str = "crate::";
    code.match_indices(CRATE)
        .filter(|(at, _)| !continues_a_word(code, *at))
        .map(|(at, _)| at + CRATE.len())
}

/// Where paths go on after as many `super::` as lead to the root.
fn after_supers(code: &str, depth: usize) -> impl Iterator<Item = usize> {
    const SUPER: &str = "super::";
    let inline = inline_modules(code);
    let starts = code
        .match_indices(SUPER)
        .filter(|(at, _)| !continues_a_word(code, *at) && !code[..*at].ends_with(SUPER));
    starts.filter_map(move |(at, _)| {
        let after = code[at..].trim_start_matches(SUPER);
        let supers = (code.len() - at - after.len()) / SUPER.len();
        let depth = depth + inline.iter().filter(|module| module.contains(&at)).count();
        (supers >= depth).then_some(code.len() - after.len())
    })
}

/// From brace to brace the bodies of all `mod name { ... }`.
fn inline_modules(code: &str) -> Vec<Range<usize>> {
    let body = |at: usize| {
        let after = code[at + "mod".len()..].trim_start();
        let open = after[identifier(after).len()..].trim_start();
        open.starts_with('{').then(|| {
            let open = code.len() - open.len();
            open..closing_brace(code, open)
        })
    };
    words(code, "mod").filter_map(body).collect()
}

/// Where the brace closes that opens at `open`.
fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0;
    let close = code[open..].char_indices().find(|(_, character)| {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    close.map_or(code.len(), |(at, _)| open + at)
}

/// The first name of each item of a brace group that opens at `open`.
fn first_names_in_braces(code: &str, open: usize) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut at_item = false;
    for (at, character) in code[open..]
        .char_indices()
        .map(|(at, character)| (open + at, character))
    {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match character {
            '{' | ',' => at_item = depth == 1,
            _ if depth == 0 => break,
            _ if character.is_whitespace() => {}
            _ if at_item => {
                names.push((at, identifier(&code[at..])));
                at_item = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(code: &str) -> &str {
    let end = code
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(code.len());
    &code[..end]
}

fn continues_a_word(code: &str, at: usize) -> bool {
    code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_whole = move |at: usize| !continues_a_word(code, at) && identifier(&code[at..]) == word;
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| is_whole(*at))
}

/// Whether the word at `at` begins a path, `dfdx::...` or `use dfdx;`, rather than being part of one.
fn is_path_root(code: &str, at: usize, word: &str) -> bool {
    let before = code[..at].trim_end();
    let after = code[at + word.len()..].trim_start();
    let begins = match before.strip_suffix("::").map(str::trim_end) {
        None => true,
        Some(parent) => {
            parent.ends_with("use")
                || !parent.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>')
        }
    };
    begins && (after.starts_with("::") || before.ends_with("use"))
}

/// The source with everything in comments and literals blanked, so that offsets stay.
fn without_comments_and_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = skipped_length(rest);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(
                rest[..length]
                    .bytes()
                    .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
            );
            rest = &rest[length..];
        }
    }
    code
}

/// How many bytes a comment, or a literal of text, takes at the start of `rest`; 0 where none starts.
fn skipped_length(rest: &str) -> usize {
    let until = |end: &str, from: usize| {
        rest[from..]
            .find(end)
            .map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        until("*/", 2)
    } else if rest.starts_with("r#\"") {
        until("\"#", 3)
    } else if rest.starts_with("r\"") {
        until("\"", 2)
    } else if rest.starts_with('"') {
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        end.map_or(rest.len(), |at| at + 2)
    } else {
        character_length(rest)
    }
}

/// How many bytes a literal of one character takes; 0 for a lifetime.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices();
    let [quote, first, second] = [(); 3].map(|()| characters.next());
    match (quote, first, second) {
        (Some((_, '\'')), Some((_, '\\')), Some((at, _))) => {
            let escaped = at + 1;
            rest[escaped..]
                .find('\'')
                .map_or(rest.len(), |end| escaped + end + 1)
        }
        (Some((_, '\'')), Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

mod the_checker {
    use super::*;

    /// The lines at fault in the file of a module such as `nn::lstm`.
    #[track_caller]
    fn lines(path: &str, source: &str) -> Vec<usize> {
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        let violations = check(Path::new("made_up.rs"), &path, source);
        violations.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn names_file_line_and_rule() {
        let violations = check(
            Path::new("src/text/mod.rs"),
            &["text".to_owned()],
            "//! Text.\n\nuse crate::data::Split;\n",
        );
        let told: Vec<String> = violations.iter().map(Violation::to_string).collect();
        assert_eq!(
            told,
            ["src/text/mod.rs:3: `text` imports `data`, but may import only config, files, suggest"]
        );
    }

    #[test]
    fn lets_downward_imports_pass() {
        assert_eq!(
            lines("data", "use crate::text::Vocabulary;\nuse crate::data::Split;"),
            []
        );
        assert_eq!(
            lines(
                "captioning",
                "use crate::{decoder::Decoder, nn};\nuse dfdx::prelude::*;"
            ),
            []
        );
        assert_eq!(lines("nn", "fn f() { crate::config::resolve::<u8>(); }"), []);
    }

    #[test]
    fn catches_every_way_of_importing_upwards() {
        assert_eq!(lines("nn", "use crate::decoders::Decoder;"), [1]);
        assert_eq!(
            lines(
                "decoders",
                "\nuse crate::{\n    nn::{Matrix, Regions},\n    vision::Vgg16,\n};"
            ),
            [4]
        );
        assert_eq!(
            lines("metrics", "pub fn f() {\n    crate::evaluation::score();\n}"),
            [2]
        );
        assert_eq!(lines("runs", "pub(crate) use crate::cli;"), [1]);
        assert_eq!(lines("vision", "use crate::decoders as d;"), [1]);
    }

    #[test]
    fn follows_super_up_to_the_root() {
        assert_eq!(lines("nn", "use super::cli;"), [1]);
        assert_eq!(
            lines(
                "nn::lstm::cpu",
                "use super::super::super::{\n    cli,\n    nn,\n};"
            ),
            [2]
        );
        assert_eq!(lines("nn::lstm::cpu", "use super::super::decoders;"), []);
        let in_tests = "mod tests {\n    use super::decoders;\n    fn f() { super::super::decoders::f() }\n}";
        assert_eq!(lines("nn", in_tests), [3]);
        let after_tests = "mod tests { const OPEN: char = '{'; }\nuse super::decoders;";
        assert_eq!(lines("nn", after_tests), [2]);
        assert_eq!(lines("captioning", "use super::decoders;"), []);
    }

    #[test]
    fn files_are_modules() {
        let path = |file: &str| module_path(Path::new(file)).join("::");
        assert_eq!(path("lib.rs"), "");
        assert_eq!(path("files.rs"), "files");
        assert_eq!(path("nn/mod.rs"), "nn");
        assert_eq!(path("nn/lstm/cpu.rs"), "nn::lstm::cpu");
    }

    #[test]
    fn keeps_tensors_out_of_text_and_anyhow_in_the_command_line() {
        assert_eq!(lines("text", "use dfdx::prelude::Tensor;"), [1]);
        assert_eq!(lines("metrics", "fn f(t: ::dfdx::prelude::Cpu) {}"), [1]);
        assert_eq!(lines("runs", "fn f() -> anyhow::Result<()> { Ok(()) }"), [1]);
        assert_eq!(lines("cli", "fn f() -> anyhow::Result<()> { Ok(()) }"), []);
    }

    #[test]
    fn ignores_comments_strings_and_longer_words() {
        assert_eq!(
            lines(
                "nn",
                "// use crate::cli;\n/* crate::cli */\nconst S: &str = \"\\\"crate::cli\";"
            ),
            []
        );
        assert_eq!(
            lines("nn", "use mycrate::cli; let dfdx_like = r#\"crate::cli\"#;"),
            []
        );
        assert_eq!(
            lines(
                "nn",
                "const QUOTE: char = '\"';\nuse crate::cli;\nconst OTHER: char = '\"';"
            ),
            [2]
        );
    }

    #[test]
    fn asks_for_a_layer_for_a_new_module() {
        assert_eq!(lines("tui", "use crate::cli;"), [1]);
    }
}
