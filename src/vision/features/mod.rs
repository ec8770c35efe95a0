//! Features of images: extraction by a backbone, files of another program, and the store that keeps them on disk.

pub mod adaptive_batch;
pub mod extraction;
pub mod extractor;
pub mod feature_file;
pub mod store;
