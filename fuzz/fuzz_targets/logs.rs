//! Fuzzes the reader of logs. See `fuzz/README.md`.

#![no_main]

#[path = "../logs_entry.rs"]
mod logs_entry;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    logs_entry::read_log(bytes);
});
