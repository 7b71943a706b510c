//! What deploy/ starts: each container's arguments are the program's own. The renders are kept beside the chart;
//! scripts/test-deploy tells whether they are the chart's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// The arguments of each container of a manifest.
fn arguments(manifest: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut lines = manifest.lines().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        if let Some(list) = text.strip_prefix("args: [") {
            let list = list.trim_end_matches(']');
            all.push(list.split(", ").map(str::to_owned).collect());
        } else if text == "args:" {
            let mut one = Vec::new();
            while let Some(next) = lines.peek().map(|next| next.trim_start()) {
                match next.strip_prefix("- ") {
                    Some(argument) => one.push(argument.to_owned()),
                    None if next.starts_with('#') => {}
                    None => break,
                }
                lines.next();
            }
            all.push(one);
        }
    }
    all
}

#[test]
fn every_container_is_started_with_arguments_that_the_program_has() {
    let mut files: Vec<PathBuf> = fs::read_dir(deploy().join("helm/podgate/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain([deploy().join("manifests/podgate.yaml")])
        .collect();
    files.sort();
    let mut tried = 0;
    for file in files {
        for arguments in arguments(&fs::read_to_string(&file).unwrap()) {
            // What comes before --help is checked as if it were to be done.
            let output = Command::new(env!("CARGO_BIN_EXE_podgate"))
                .args(&arguments)
                .arg("--help")
                .env("NODE_NAME", "node-1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {arguments:?}\n{said}", file.display());
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
}

#[test]
fn an_argument_that_the_program_has_not_is_found() {
    let manifest = "  args:\n    - agent\n    # why\n    - --pin-dri=/bpf\n  env: []\n  args: [cni, --x]\n";
    assert_eq!(arguments(manifest), [vec!["agent", "--pin-dri=/bpf"], vec!["cni", "--x"]]);
    let output =
        Command::new(env!("CARGO_BIN_EXE_podgate")).args(["agent", "--pin-dri=/bpf", "--help"]).output();
    assert!(!output.unwrap().status.success());
}
