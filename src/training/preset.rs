//! Settings that belong together.

/// Settings under which two cores learn the built-in data set in about a minute, as `--set` takes them. Photos and
/// words are few and clean: a small network without dropout or label smoothing, which reads all captions of a photo
/// at once.
pub const DEMO: [&str; 10] = [
    "encoder.kind=small_cnn",
    "decoder.hidden=128",
    "decoder.embedding=64",
    "decoder.dropout=0",
    "training.epochs=10",
    "training.batch_by=photo",
    "training.batch_size=80",
    "training.learning_rate=1.5e-3",
    "training.schedule.warmup_steps=50",
    "training.label_smoothing=0",
];
