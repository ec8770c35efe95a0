//! Memory of the training process.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Resident memory of this process in bytes, where the system reports it.
pub(super) fn resident_memory() -> Option<u64> {
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = System::new();
    let memory = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, memory);
    system.process(pid).map(sysinfo::Process::memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_counts_pages_that_are_written() {
        const SIZE: u64 = 64 << 20;
        let before = resident_memory().unwrap();
        // The optimizer must not leave the writes out.
        let block = std::hint::black_box(vec![1_u8; SIZE as usize]);
        let after = resident_memory().unwrap();
        assert!(
            after >= before + SIZE / 2,
            "{before} then {after}, with {}",
            block.len()
        );
    }
}
