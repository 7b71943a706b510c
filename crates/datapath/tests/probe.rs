//! The probe's answer, and how the program fares with the verifier. Needs root.

#![expect(clippy::print_stderr, reason = "how the process without privileges tells its result")]

use std::process::Command;

use libbpf_rs::ObjectBuilder;
use podgate_datapath::{Unsupported, probe};

#[test]
fn this_kernel_is_supported() {
    probe().expect("these tests need a kernel with netfilter BPF, and root");
}

#[test]
fn without_privileges_the_probe_says_what_to_do() {
    // The test itself, as nobody: setpriv is in util-linux.
    let this = std::env::current_exe().expect("this test");
    if std::env::var_os("PGDP_NOBODY").is_some() {
        let Err(Unsupported::Privileges { what }) = probe() else { panic!("nobody may do this") };
        eprintln!("REFUSED {what}");
        return;
    }
    let copy = std::env::temp_dir().join(format!("pgdp-probe-{}", std::process::id()));
    std::fs::copy(this, &copy).expect("copy");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["--exact", "without_privileges_the_probe_says_what_to_do", "--nocapture"])
        .env("PGDP_NOBODY", "1")
        .output();
    std::fs::remove_file(&copy).expect("remove");
    let output = output.expect("setpriv");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("REFUSED load a netfilter program"), "{text}");
}

#[test]
fn the_verifier_needs_few_steps() {
    libbpf_rs::set_print(None);
    let file = concat!(env!("OUT_DIR"), "/podgate.bpf.o");
    let mut open = ObjectBuilder::default().open_file(file).expect("open");
    for mut map in open.maps_mut().filter(|map| map.name().to_string_lossy().ends_with(".rodata")) {
        // All that the loader can switch on: totals, observing all, and one port of name servers.
        map.initial_value_mut().expect("a value")[1..6].copy_from_slice(&[1, 2, 1, 53, 0]);
    }
    let object = open.load().expect("load");
    let ids: Vec<_> = object.maps().collect();
    assert_eq!(ids.len(), 16, "the maps and the read-only data");
    let program = libbpf_rs::query::ProgInfoIter::default()
        .filter(|program| program.name.to_string_lossy() == "podgate")
        .last()
        .expect("the program is loaded");
    assert!(program.verified_insns < 200_000, "{} instructions were verified", program.verified_insns);
}

#[test]
fn the_program_for_weakly_ordered_machines_loads_here_too() {
    libbpf_rs::set_print(None);
    let file = concat!(env!("OUT_DIR"), "/podgate.bpf.o");
    let mut open = ObjectBuilder::default().open_file(file).expect("open");
    let mut constants =
        open.maps_mut().find(|map| map.name().to_string_lossy().ends_with(".rodata")).expect("constants");
    constants.initial_value_mut().expect("a value")[0] = 1;
    open.load().expect("load");
}
