//! Generated pages of the book, in tests.

use std::path::Path;

/// Checks that a page of the book is what the code generates. With `UPDATE_DOCS=1` in the environment it writes the page.
#[track_caller]
pub(crate) fn assert_page(path: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, generated).unwrap();
    }
    let current = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        current == generated,
        "{path} is out of date: run `UPDATE_DOCS=1 cargo test --release --lib page`"
    );
}
