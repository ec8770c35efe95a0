//! How busy this machine is with the trainings that run on it.

use super::message::MachineLoad;
use nvml_wrapper::Nvml;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Looks at processes and, where there is one, at the GPU.
pub(super) struct Machine {
    system: System,
    gpus: Option<Nvml>,
    told: MachineLoad,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            system: System::new(),
            // Without NVIDIA's library, or without a GPU, there is nothing to tell of one.
            gpus: Nvml::init().ok(),
            told: MachineLoad::default(),
        }
    }
}

impl Machine {
    /// What these runs' processes need; nothing where that is what was told last.
    pub(super) fn look(&mut self, processes: Vec<(String, u32)>) -> Option<MachineLoad> {
        let pids: Vec<Pid> = processes.iter().map(|(_, pid)| Pid::from_u32(*pid)).collect();
        if !pids.is_empty() {
            let kind = ProcessRefreshKind::nothing().with_cpu().with_memory();
            self.system
                .refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
        }
        let runs = processes.into_iter().filter_map(|(run, pid)| {
            let process = self.system.process(Pid::from_u32(pid))?;
            // In whole percent: what is shown is not told again for less.
            let share = (process.cpu_usage().round()) / 100.0;
            Some((run, share, process.memory() / 1_000_000 * 1_000_000))
        });
        let runs: Vec<(String, f32, u64)> = runs.collect();
        // Somebody must be at work for the GPU to be of interest.
        let gpus = match runs.is_empty() {
            true => Vec::new(),
            false => self.gpus(),
        };
        let load = MachineLoad { runs, gpus };
        if load == self.told {
            return None;
        }
        self.told = load.clone();
        Some(load)
    }

    fn gpus(&self) -> Vec<String> {
        let Some(nvml) = &self.gpus else {
            return Vec::new();
        };
        let count = nvml.device_count().unwrap_or(0);
        let told = |index: u32| {
            let gpu = nvml.device_by_index(index).ok()?;
            let (busy, memory) = (gpu.utilization_rates().ok()?.gpu, gpu.memory_info().ok()?);
            let gigabytes = |bytes: u64| bytes as f64 / 1e9;
            Some(format!(
                "GPU {index} {busy} % {:.1}/{:.0} GB",
                gigabytes(memory.used),
                gigabytes(memory.total)
            ))
        };
        (0..count).filter_map(told).collect()
    }
}
