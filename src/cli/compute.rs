//! Commands that compute, written once for all devices.

use super::Context;
use super::terminal::display_safe;
use crate::nn::Backend;
use crate::nn::device::{ChosenDevice, DeviceChoice, DeviceTask, Opened};

/// A command, or a part of one, that computes.
pub(super) trait Compute {
    /// What comes of it.
    type Output;

    /// Does it on a device.
    fn compute<D: Backend>(self, on: &Opened<D>, context: &Context) -> anyhow::Result<Self::Output>;
}

/// It on its way to the device.
struct Computation<'a, C> {
    command: C,
    context: &'a Context,
}

impl<C: Compute> DeviceTask for Computation<'_, C> {
    type Output = anyhow::Result<C::Output>;

    fn on<D: Backend>(self, on: &Opened<D>) -> Self::Output {
        self.command.compute(on, self.context)
    }
}

impl Context {
    /// Computes on the device that the user chose.
    ///
    /// # Errors
    /// Those of the command; where the device cannot be used.
    pub(super) fn compute<C: Compute>(&self, command: C) -> anyhow::Result<C::Output> {
        self.compute_on(self.device, command)
    }

    /// Computes on this device.
    ///
    /// # Errors
    /// Those of the command; where the device cannot be used.
    pub(super) fn compute_on<C: Compute>(
        &self,
        choice: DeviceChoice,
        command: C,
    ) -> anyhow::Result<C::Output> {
        let device = ChosenDevice::open(choice)?;
        if let Some(error) = device.why_no_gpu() {
            let (why, said) = (error.fault.summary(), display_safe(&error.said));
            self.notice_once(&format!(
                "computing on the CPU: {why} ({said}); cutline doctor says more"
            ));
        }
        device.run(Computation {
            command,
            context: self,
        })?
    }

    /// Says something that holds for all that a command does, the first time.
    fn notice_once(&self, line: &str) {
        self.said.call_once(|| self.notice(line));
    }
}
