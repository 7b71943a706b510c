//! Connectivity tests on real packets: `podgate lab probe --tests`. Needs root: namespaces are the kernel's to give.

use std::path::Path;
use std::process::{Command, Output};

/// A lab that is taken down when the test ends, however it ends.
struct Lab {
    name: String,
}

impl Lab {
    fn up(manifests: &[&str]) -> Lab {
        assert!(rustix::process::geteuid().is_root(), "labs need root: run the tests with sudo");
        let lab = Lab { name: format!("t{}-cases", std::process::id()) };
        let output = lab.podgate("up", manifests);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        lab
    }

    fn podgate(&self, command: &str, arguments: &[&str]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Command::new(env!("CARGO_BIN_EXE_podgate"))
            .args(["lab", command, "--name", &self.name])
            .args(arguments)
            .current_dir(root)
            .output()
            .expect("podgate runs")
    }

    fn probe(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.podgate("probe", arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.podgate("down", &[]);
    }
}

#[test]
fn cases_are_tried_with_packets_and_reported_as_by_test() {
    let lab = Lab::up(&["examples/shop"]);
    let (code, text) = lab.probe(&["--tests", "examples/shop/tests"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("11 expectations: 11 passed\n"), "{text}");

    let (code, json) = lab.probe(&["--tests", "crates/cli/tests/can/cases.yaml", "-o", "json"]);
    assert_eq!(code, 1, "{json}");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let results: Vec<&str> =
        report["cases"].as_array().unwrap().iter().map(|case| case["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["passed", "failed", "failed", "error"]);
    let everybody = &report["cases"][1];
    let (pairs, wrong) = (everybody["pairs"].as_u64().unwrap(), everybody["wrong"].as_u64().unwrap());
    assert!(wrong > 0 && wrong < pairs, "the backend gets through: {wrong} of {pairs}");

    let (code, tap) = lab.probe(&["--tests", "crates/cli/tests/can/cases.yaml", "-o", "tap"]);
    assert_eq!(code, 1);
    assert!(
        tap.starts_with("TAP version 14\n1..4\nok 1 - the frontend reaches the backend\nnot ok 2 - "),
        "{tap}"
    );

    let (code, text) = lab.probe(&["-o", "tap"]);
    assert_eq!((code, text.contains("are for --tests")), (2, true), "{text}");
}
