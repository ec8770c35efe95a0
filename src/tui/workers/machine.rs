//! CPU, memory and GPU load of the runs on this machine.

use crate::tui::MachineLoad;
use nvml_wrapper::Nvml;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

pub struct MachineMonitor {
    system: System,
    gpus: Option<Nvml>,
    last_sent: MachineLoad,
}

impl Default for MachineMonitor {
    fn default() -> Self {
        Self {
            system: System::new(),
            // `None` without NVIDIA's library or without a GPU.
            gpus: Nvml::init().ok(),
            last_sent: MachineLoad::default(),
        }
    }
}

impl MachineMonitor {
    /// The load of these processes; `None` if it has not changed since the last call.
    pub fn new_load(&mut self, processes: Vec<(String, u32)>) -> Option<MachineLoad> {
        let pids: Vec<Pid> = processes.iter().map(|(_, pid)| Pid::from_u32(*pid)).collect();
        if !pids.is_empty() {
            let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
            self.system
                .refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
        }
        let runs = processes.into_iter().filter_map(|(run, pid)| {
            let process = self.system.process(Pid::from_u32(pid))?;
            // In whole percent and megabytes, as shown: smaller changes need no message.
            let share = (process.cpu_usage().round()) / 100.0;
            Some((run, share, process.memory() / 1_000_000 * 1_000_000))
        });
        let runs: Vec<(String, f32, u64)> = runs.collect();
        // Without a running run the GPU load does not matter.
        let gpus = if runs.is_empty() { Vec::new() } else { self.gpus() };
        let load = MachineLoad { runs, gpus };
        if load == self.last_sent {
            return None;
        }
        self.last_sent = load.clone();
        Some(load)
    }

    fn gpus(&self) -> Vec<String> {
        let Some(nvml) = &self.gpus else {
            return Vec::new();
        };
        let count = nvml.device_count().unwrap_or(0);
        let describe = |index: u32| {
            let gpu = nvml.device_by_index(index).ok()?;
            let (busy, memory) = (gpu.utilization_rates().ok()?.gpu, gpu.memory_info().ok()?);
            let gigabytes = |bytes: u64| bytes as f64 / 1e9;
            Some(format!(
                "GPU {index} {busy} % {:.1}/{:.0} GB",
                gigabytes(memory.used),
                gigabytes(memory.total)
            ))
        };
        (0..count).filter_map(describe).collect()
    }
}
