//! Fuzzes the YAML entry point. See `fuzz/README.md`.

#![no_main]

#[path = "../yaml_entry.rs"]
mod yaml_entry;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| yaml_entry::read_and_predict(text));
