//! Threads that live as long as the workbench: they watch the disk, prepare images, and caption.

pub mod caption_worker;
pub mod image_worker;
mod machine;
pub mod watch;
