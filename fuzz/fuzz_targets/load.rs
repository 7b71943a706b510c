//! Whatever the text, the reader keeps its promises. The same promises are checked without a fuzzer in
//! `crates/api/tests/hostile.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/api/tests/support/promises.rs"]
mod promises;

fuzz_target!(|text: &str| {
    promises::hold_for(text);
});
