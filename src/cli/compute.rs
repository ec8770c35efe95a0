//! The device that a command computes on.

use std::sync::Once;

use super::Context;
use super::terminal::display_safe;
use crate::nn::device::{ChosenDevice, DeviceChoice, DeviceError};

/// Prints the fallback to the CPU once per process.
static FALLBACK_NOTICE: Once = Once::new();

impl Context {
    /// Opens the device of `--device`.
    pub(super) fn open_device(&self) -> Result<ChosenDevice, DeviceError> {
        self.open_device_of(self.device)
    }

    /// Opens a device, with a notice if `auto` falls back to the CPU.
    pub(super) fn open_device_of(&self, choice: DeviceChoice) -> Result<ChosenDevice, DeviceError> {
        let device = ChosenDevice::open(choice)?;
        if let Some(error) = device.why_no_gpu() {
            let (why, message) = (error.kind.summary(), display_safe(&error.text));
            // A command may open the device several times.
            FALLBACK_NOTICE.call_once(|| {
                self.notice(&format!(
                    "computing on the CPU: {why} ({message}); see cutline doctor"
                ));
            });
        }
        Ok(device)
    }
}
