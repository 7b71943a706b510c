//! Whatever name servers send, reading it harms nobody, and what is read has names and addresses. The same is tried on
//! random messages in `crates/observe/src/dns/message/tests.rs`, without a fuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file alone: the crate around it has the kernel below it.
#[path = "../../crates/observe/src/dns/message.rs"]
mod message;

fuzz_target!(|input: (bool, &[u8])| {
    let (is_cut, bytes) = input;
    let Ok(answer) = message::read(bytes, is_cut) else { return };
    assert!(!answer.names.is_empty() && !answer.addresses.is_empty());
    for name in &answer.names {
        assert!(!name.is_empty() && name.len() < 255, "{name}");
        assert_eq!(**name, *name.to_ascii_lowercase());
    }
});
