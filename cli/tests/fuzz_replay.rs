//! The inputs that the fuzz targets have kept (`fuzz/kept`), and mutations of them, pass the same readers on stable Rust: none may panic, or take more
//! memory than a small model's files are worth.

#[path = "../../fuzz/readers.rs"]
mod readers;

use std::path::Path;

use cap::Cap;
use readers::READERS;

/// The bytes that a reader may take: an input that makes one ask for more than this ends the test.
const MOST_MEMORY: usize = 256 << 20;

#[global_allocator]
static MEMORY: Cap<std::alloc::System> = Cap::new(std::alloc::System, MOST_MEMORY);

/// Mutations of each kept input.
const MUTATIONS: u64 = 2000;

/// Changed in a few places as fuzzers do: bits, bytes, numbers at their limits, parts taken out or doubled.
fn mutated(input: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.usize(1..5) {
        if bytes.is_empty() {
            bytes.push(random.u8(..));
        }
        let at = random.usize(..bytes.len());
        match random.u8(..6) {
            0 => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes[at] = random.u8(..),
            2 => {
                let end = (at + random.usize(1..17)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + random.usize(1..65)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let number: &[u8] = [&b"0"[..], b"-1", b"1e999", b"18446744073709551615", b"null"]
                    [random.usize(..5)];
                bytes.splice(at..at, number.iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn no_reader_panics_on_what_fuzzing_has_kept_or_on_mutations_of_it() {
    // Panics of the tokenizers crate become errors, and are not worth a line each.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("tokenizers")) {
            tell(panic);
        }
    }));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/kept");
    for (name, read) in READERS {
        let mut inputs: Vec<_> = std::fs::read_dir(kept.join(name))
            .unwrap_or_else(|cause| panic!("{name}: {cause}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort_unstable();
        assert!(!inputs.is_empty(), "{name}: nothing is kept");
        let mut random = fastrand::Rng::with_seed(7);
        for path in inputs {
            let input = std::fs::read(&path).unwrap();
            read(&input);
            for _ in 0..MUTATIONS {
                read(&mutated(&input, &mut random));
            }
        }
    }
}
