#![no_main]

use cutline_fuzz::targets;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: targets::start(), |data: &[u8]| {
    targets::packed(data);
});
