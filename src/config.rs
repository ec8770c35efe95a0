//! Settings in layers: defaults < TOML file < flags.
