#![no_main]

#[allow(dead_code, reason = "each target uses one of them")]
#[path = "../readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(
    // libFuzzer's hook ends the process at every panic; those of the tokenizers crate that the reader turns into errors are none. One that
    // gets out of the reader ends the process all the same.
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| readers::tokenizer(bytes)
);
