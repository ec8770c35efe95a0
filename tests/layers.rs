//! Imports run downwards only, each outside crate stays in its modules, and a type name has one meaning.
//!
//! ```text
//!                    cli
//!                     |
//!                    tui
//!                     |
//!                   pack
//!                  /    \
//!            training   evaluation
//!                   \     /    \
//!                   search      \
//!                     |          \
//!                   model         diagnosis
//!                  /     \            |
//!           decoders     vision       |
//!                  \     /            |
//!                    nn       data    |
//!                               \     |
//!                                jobs    text  metrics      (no tensors in these five)
//!
//!       onnx: on search, below pack
//!       fetch: on data, below tui
//!
//!       config, files, suggest: below everything
//! ```

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::UseTree;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A module and those right below it. It may import these, everything below them, [`BOTTOM`] and itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("suggest", &[]),
    ("testing", &[]),
    ("files", &[]),
    ("metrics", &[]),
    ("text", &[]),
    ("jobs", &["metrics"]),
    ("diagnosis", &["jobs"]),
    ("fetch", &["data"]),
    ("nn", &[]),
    ("data", &["text", "jobs"]),
    ("vision", &["nn"]),
    ("decoders", &["nn", "text"]),
    ("model", &["decoders", "vision", "data"]),
    ("search", &["model", "metrics"]),
    ("onnx", &["search"]),
    ("training", &["search"]),
    ("evaluation", &["search", "diagnosis"]),
    ("pack", &["training", "evaluation", "onnx"]),
    ("tui", &["pack", "fetch"]),
    ("cli", &["tui"]),
];

/// Every module may import these.
const BOTTOM: &[&str] = &["config", "files", "suggest", "testing"];

/// Outside crates that only some modules may use.
const RESTRICTED: &[(&str, &[&str])] = &[
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    (
        "dfdx",
        &[
            "nn",
            "vision",
            "decoders",
            "model",
            "search",
            "training",
            "evaluation",
            "onnx",
            "pack",
            "cli",
        ],
    ),
    ("gemm", &["nn"]),
    ("indicatif", &["cli", "tui"]),
    ("md5", &["fetch"]),
    ("prost", &["onnx"]),
    ("ratatui", &["tui"]),
    ("rustls", &["fetch"]),
    ("sha2", &["fetch"]),
    ("signal_hook", &["cli", "tui"]),
    ("ureq", &["fetch"]),
    ("viuer", &["cli"]),
];

/// Modules whose files are in runs and datasets, which may come from elsewhere: only `files` opens them there.
const CONFINED: &[&str] = &[
    "diagnosis",
    "evaluation",
    "jobs",
    "model",
    "search",
    "text",
    "training",
];

/// Files of the system, which these modules read by themselves.
const SYSTEM_FILES: &[&str] = &["training::memory"];

/// How many names of structs, enums and traits may be defined more than once, each in modules that never meet.
const MOST_REPEATED_NAMES: usize = 15;

#[test]
fn imports_run_downwards_only() {
    let violations: Vec<String> = sources()
        .flat_map(|(file, path, source)| check(&file, &path, &source))
        .map(|violation| violation.to_string())
        .collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn type_names_have_one_meaning() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, path, source) in sources() {
        let mut types = TypeNames::default();
        types.visit_file(&syn::parse_file(&source).unwrap());
        for name in types.0 {
            places.entry(name).or_default().push(path.join("::"));
        }
    }
    places.retain(|_, modules| modules.len() > 1);
    let repeated: Vec<String> = places
        .iter()
        .map(|(name, modules)| format!("{name}: {}", modules.join(", ")))
        .collect();
    assert!(
        repeated.len() <= MOST_REPEATED_NAMES,
        "{} names are defined more than once, and at most {MOST_REPEATED_NAMES} may be:\n{}",
        repeated.len(),
        repeated.join("\n")
    );
}

#[test]
fn files_of_runs_and_datasets_are_opened_by_files_alone() {
    let mut violations = Vec::new();
    for (file, path, source) in sources() {
        let is_confined =
            CONFINED.contains(&path[0].as_str()) && path.last().is_none_or(|name| name != "tests");
        if is_confined && !SYSTEM_FILES.contains(&path.join("::").as_str()) {
            let mut opened = OpenedFiles::default();
            opened.visit_file(&syn::parse_file(&source).unwrap());
            let lines = opened.0.iter().map(|line| format!("{}:{line}", file.display()));
            violations.extend(lines);
        }
    }
    assert!(
        violations.is_empty(),
        "use ConfinedPath here:\n{}\n",
        violations.join("\n")
    );
}

#[test]
fn opened_files_are_caught_in_every_form() {
    let lines = |source: &str| {
        let mut opened = OpenedFiles::default();
        opened.visit_file(&syn::parse_file(source).unwrap());
        opened.0
    };
    assert_eq!(lines("use std::fs;"), [1]);
    assert_eq!(lines("use std::fs::{File, OpenOptions};"), [1]);
    assert_eq!(lines("fn f() {\n    std::fs::read(p);\n}"), [2]);
    assert_eq!(lines("use std::fs::File;\nfn f() { File::open(p); }"), [2]);
    assert_eq!(lines("use std::fs::{File, TryLockError};\nstruct S(File);"), []);
    assert_eq!(lines("#[cfg(test)]\nmod tests { use std::fs; }"), []);
}

/// Lines outside tests that open, list, change or remove files by their paths.
#[derive(Default)]
struct OpenedFiles(Vec<usize>);

impl<'ast> Visit<'ast> for OpenedFiles {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let text = item.tree.to_token_stream().to_string().replace(' ', "");
        let Some(names) = text.strip_prefix("std::fs") else {
            return;
        };
        let mut names = names
            .split([':', '{', '}', ','])
            .filter(|name| !name.is_empty())
            .peekable();
        // The types of open files.
        if names.peek().is_none() || names.any(|name| !matches!(name, "File" | "TryLockError")) {
            self.0.push(item.span().start().line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if matches!(
            names[..],
            ["std", "fs", _, ..] | ["fs", _, ..] | ["File" | "OpenOptions", _]
        ) {
            self.0.push(path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }
}

/// Every module's file, module path and source.
fn sources() -> impl Iterator<Item = (PathBuf, Vec<String>, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = rust_files(&root);
    files.sort();
    assert!(!files.is_empty(), "no sources under {}", root.display());
    let modules = files.into_iter().map(move |file| {
        let path = module_path(file.strip_prefix(&root).unwrap());
        let source = fs::read_to_string(&file).unwrap();
        (file, path, source)
    });
    modules.filter(|(_, path, _)| !path.is_empty())
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

/// The module path of a file under `src`; empty for `lib.rs` and `main.rs`, which are outside the layers.
fn module_path(file: &Path) -> Vec<String> {
    let stem = file.with_extension("");
    let parts = stem.iter().map(|part| part.to_str().unwrap());
    parts
        .filter(|part| !matches!(*part, "lib" | "main" | "mod"))
        .map(str::to_owned)
        .collect()
}

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

/// All modules that `module` may import; `None` if it has no layer.
fn importable(module: &str) -> Option<BTreeSet<&'static str>> {
    let (_, below) = LAYERS.iter().find(|(name, _)| *name == module)?;
    let deeper = below.iter().filter_map(|below| importable(below)).flatten();
    Some(deeper.chain(below.iter().chain(BOTTOM).copied()).collect())
}

/// The rules that the file of the module `path` breaks.
fn check(file: &Path, path: &[String], source: &str) -> Vec<Violation> {
    let module = path[0].as_str();
    let violation = |line: usize, rule: String| Violation {
        file: file.to_owned(),
        line,
        rule,
    };
    let Some(allowed) = importable(module) else {
        let rule = format!("`{module}` has no layer yet; give it one in tests/layers.rs");
        return vec![violation(1, rule)];
    };
    let mut roots = Roots::new(path.len());
    roots.visit_file(&syn::parse_file(source).unwrap());
    let mut violations = Vec::new();
    for (line, root) in roots.found {
        match root {
            Root::Module(imported) => {
                let is_module = LAYERS.iter().any(|(name, _)| *name == imported);
                if is_module && imported != module && !allowed.contains(imported.as_str()) {
                    let allowed: Vec<&str> = allowed.iter().copied().collect();
                    let allowed = allowed.join(", ");
                    violations.push(violation(
                        line,
                        format!("`{module}` imports `{imported}`, but may import only {allowed}"),
                    ));
                }
            }
            Root::Crate(name) => {
                let users = RESTRICTED.iter().find(|(restricted, _)| *restricted == name);
                if let Some((_, users)) = users.filter(|(_, users)| !users.contains(&module)) {
                    let users = users.join(", ");
                    violations.push(violation(
                        line,
                        format!("`{module}` uses the crate `{name}`, which is restricted to {users}"),
                    ));
                }
            }
        }
    }
    violations
}

/// The first name of a path that leaves the module.
enum Root {
    /// Right below the root of this crate.
    Module(String),
    /// Another crate, or a name in scope.
    Crate(String),
}

/// Collects the first names of all paths, in code and in macros, with their lines.
struct Roots {
    found: Vec<(usize, Root)>,
    /// How many times `super::` leads from here to the root of the crate.
    depth: usize,
}

impl Roots {
    fn new(depth: usize) -> Self {
        let found = Vec::new();
        Self { found, depth }
    }

    /// `segments` are the names of a path from its beginning.
    fn add(&mut self, segments: &[proc_macro2::Ident]) {
        let supers = segments.iter().take_while(|name| *name == "super").count();
        let Some(first) = segments.first() else { return };
        let to_root = match () {
            () if first == "crate" => 1,
            // As in the crate's root, where another crate's name would stand.
            () if supers == 0 => 0,
            () if supers >= self.depth => supers,
            () => return,
        };
        if let Some(name) = segments.get(to_root) {
            let root = if to_root == 0 { Root::Crate } else { Root::Module };
            self.found
                .push((name.span().start().line, root(name.to_string())));
        }
    }

    fn add_use(&mut self, tree: &UseTree, before: &mut Vec<proc_macro2::Ident>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.clone());
                self.add_use(&path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_use(item, before)),
            UseTree::Name(name) => self.add(&[before.as_slice(), std::slice::from_ref(&name.ident)].concat()),
            UseTree::Rename(name) => {
                self.add(&[before.as_slice(), std::slice::from_ref(&name.ident)].concat())
            }
            UseTree::Glob(_) => self.add(before),
        }
    }

    /// Macros are tokens: a path is a run of names with `::` between them.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.add_run(&mut path);
                    }
                    path.push(name);
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.add_run(&mut path);
                    self.add_tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.add_run(&mut path);
                    colons = 0;
                }
            }
        }
        self.add_run(&mut path);
    }

    fn add_run(&mut self, path: &mut Vec<proc_macro2::Ident>) {
        if path.len() > 1 {
            self.add(path);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Roots {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path
            .segments
            .iter()
            .map(|segment| segment.ident.clone())
            .collect();
        if names.len() > 1 {
            self.add(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.add_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
    }
}

/// The names of structs, enums and traits outside tests.
#[derive(Default)]
struct TypeNames(Vec<String>);

impl<'ast> Visit<'ast> for TypeNames {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.0.push(item.ident.to_string());
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.0.push(item.ident.to_string());
    }
}

mod checker {
    use super::*;

    /// The lines at fault in the file of a module such as `nn::lstm`.
    #[track_caller]
    fn lines(path: &str, source: &str) -> Vec<usize> {
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        let violations = check(Path::new("made_up.rs"), &path, source);
        violations.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn violation_names_file_line_and_rule() {
        let source = "//! Text.\n\nuse crate::data::Split;\n";
        let violations = check(Path::new("src/text/mod.rs"), &["text".to_owned()], source);
        let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
        assert_eq!(
            lines,
            ["src/text/mod.rs:3: `text` imports `data`, but may import only config, files, suggest, testing"]
        );
    }

    #[test]
    fn downward_imports_pass() {
        assert_eq!(
            lines("data", "use crate::text::Vocabulary;\nuse crate::data::Split;"),
            []
        );
        assert_eq!(lines("tui", "use crate::{metrics::bleu, nn};"), []);
        assert_eq!(
            lines(
                "nn",
                "use dfdx::prelude::*;\nfn f() { crate::config::resolve::<u8>(); }"
            ),
            []
        );
    }

    #[test]
    fn upward_imports_are_caught_in_every_form() {
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
        assert_eq!(
            lines(
                "metrics",
                "fn f() {\n    let _ = vec![crate::evaluation::score()];\n}"
            ),
            [2]
        );
        assert_eq!(lines("training", "pub(crate) use crate::cli;"), [1]);
        assert_eq!(lines("vision", "use crate::decoders as d;"), [1]);
        assert_eq!(lines("vision", "fn f(_: crate::decoders::Shape) {}"), [1]);
    }

    #[test]
    fn super_is_followed_up_to_the_root() {
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
        assert_eq!(lines("training", "use super::decoders;"), []);
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
    fn restricted_crates_stay_in_their_modules() {
        assert_eq!(lines("text", "use dfdx::prelude::Tensor;"), [1]);
        assert_eq!(lines("metrics", "fn f(t: ::dfdx::prelude::Cpu) {}"), [1]);
        assert_eq!(lines("tui", "fn f() -> anyhow::Result<()> { Ok(()) }"), [1]);
        assert_eq!(lines("cli", "fn f() -> anyhow::Result<()> { Ok(()) }"), []);
    }

    #[test]
    fn comments_strings_and_longer_words_are_ignored() {
        let source = "// use crate::cli;\n/* crate::cli */\nconst S: &str = \"\\\"crate::cli\";";
        assert_eq!(lines("nn", source), []);
        assert_eq!(
            lines(
                "nn",
                "use mycrate::cli; fn f() { let dfdx_like = r#\"crate::cli\"#; }"
            ),
            []
        );
        let source = "const QUOTE: char = '\"';\nuse crate::cli;\nconst OTHER: char = '\"';";
        assert_eq!(lines("nn", source), [2]);
    }

    #[test]
    fn modules_without_a_layer_are_named() {
        assert_eq!(lines("made_up", "use crate::cli;"), [1]);
    }
}
