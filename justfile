# The commands of everyday work; `just` lists them.

_default:
    @just --list

# Build the program.
build:
    cargo build --release

# Run all tests.
test:
    cargo test --release

# Check formatting, lints, links of the docs, spelling and licenses.
lint:
    cargo fmt --check
    cargo clippy --release --all-targets -- -D warnings
    cargo doc --release --no-deps
    typos
    cargo deny check bans licenses sources

# Measure training, features, captions and memory against the peers.
bench:
    cargo bench --bench speed

# Build the book into target/book.
book:
    mdbook build

# Everything that CI checks.
ci:
    bash .ci/run
