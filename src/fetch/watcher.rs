//! How the work is shown and stopped.

use std::ops::ControlFlow;

/// Follows the work, and may stop it.
pub trait FetchObserver {
    /// A task begins, such as `fetching NAME`. Of `total` bytes, if the total is known, `done` are there already.
    fn begin(&mut self, task: &str, done: u64, total: Option<u64>);

    /// The bytes of the task that are done. A break stops the work.
    fn update(&mut self, done: u64) -> ControlFlow<()>;

    /// Something that the user may want to know.
    fn notice(&mut self, text: &str);
}
