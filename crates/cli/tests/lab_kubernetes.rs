//! `podgate lab kubernetes` as a user types it. Needs root.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PODGATE: &str = env!("CARGO_BIN_EXE_podgate");
/// Enough for a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

const MANIFESTS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server}
spec: {podSelector: {matchLabels: {app: server}}}
";

/// The control plane's binary; built now when nobody did before.
fn control_plane() -> PathBuf {
    if let Some(path) = std::env::var_os("PODGATE_CONTROL_PLANE").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/control-plane");
    let output = Command::new(&script).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A cluster, taken down when dropped.
struct Cluster(String);

impl Cluster {
    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        let mut all = vec!["lab", "kubernetes", command, "--name", &self.0];
        all.extend(arguments);
        Command::new(PODGATE)
            .args(all)
            .env("PODGATE_CONTROL_PLANE", control_plane())
            .env_remove("NO_COLOR")
            .output()
            .unwrap()
    }

    /// Standard output of a command that has to work.
    #[track_caller]
    fn works(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that has to fail as bad usage does.
    #[track_caller]
    fn fails(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.run(command, arguments);
        assert_eq!(output.status.code(), Some(2), "{command} {arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// What the client hears from an address of the server.
    fn heard(&self, ip: &str) -> String {
        let ask = format!("exec 3<>/dev/tcp/{ip}/8080 && head -n1 <&3");
        let output = self.run("exec", &["default/client", "--", "timeout", "0.5", "bash", "-c", &ask]);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.run("down", &[]);
    }
}

#[test]
fn a_cluster_comes_up_is_used_disturbed_and_taken_down() {
    let cluster = Cluster(format!("t{}", std::process::id()));
    assert!(cluster.fails("status", &[]).contains("is not up; bring it up with"));
    let said = cluster.works("up", &["--nodes", "1"]);
    assert!(said.starts_with(&format!("cluster {} is up (", cluster.0)), "{said}");
    assert!(said.contains("policies  enforced") && said.contains("kubectl --name"), "{said}");
    assert!(cluster.fails("up", &[]).contains("is up, or was not taken down"));

    let file = std::env::temp_dir().join(format!("{}.yaml", cluster.0));
    std::fs::write(&file, MANIFESTS).unwrap();
    cluster.works("kubectl", &["apply", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    cluster.works("kubectl", &["wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]);
    let ip = cluster.works("kubectl", &["get", "pod", "server", "-o", "jsonpath={.status.podIP}"]);
    assert_eq!(cluster.heard(&ip), "", "the policy lets nobody in");
    cluster.works("kubectl", &["delete", "networkpolicy", "server"]);
    let begun = Instant::now();
    while !cluster.heard(&ip).starts_with("default/server 8080 TCP") {
        assert!(begun.elapsed() < PATIENCE, "deleted, it isolates nobody");
    }

    let status = cluster.works("status", &[]);
    for line in ["etcd ", "apiserver ", "kubelet-1 ", "agent-1 ", "default/client ", "default/server "] {
        assert!(status.lines().any(|one| one.starts_with(line)), "{line} in {status}");
    }
    assert!(!status.contains("not running"), "{status}");
    cluster.works("kill", &["apiserver"]);
    let status = cluster.works("status", &[]);
    let dead = status.lines().find(|line| line.starts_with("apiserver ")).unwrap();
    assert!(dead.contains("not running"), "{dead}");
    assert!(cluster.heard(&ip).starts_with("default/server"), "pods need no API server");
    assert!(cluster.fails("kill", &["apiserver"]).contains("apiserver is not running"));
    cluster.works("start", &["apiserver"]);
    let begun = Instant::now();
    while !cluster.run("kubectl", &["get", "nodes"]).status.success() {
        assert!(begun.elapsed() < PATIENCE, "the API server is back");
    }
    assert!(cluster.fails("start", &["apiserver"]).contains("runs already"));
    assert!(cluster.fails("kill", &["kubelet"]).contains("no part of a cluster"));
    assert!(cluster.fails("exec", &["default/nobody", "--", "true"]).contains("runs pod default/nobody"));

    assert_eq!(cluster.works("down", &[]), format!("cluster {} is down\n", cluster.0));
    assert_eq!(cluster.works("down", &[]), format!("cluster {} was not up\n", cluster.0));
}
