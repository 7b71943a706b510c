//! The long-running processes of the tests' Kubernetes clusters, and the CNI plugin: what the `podgate` binary
//! does when a cluster starts it.

use std::path::PathBuf;
use std::process::ExitCode;

use podgate_agent::{Options, TraceOptions};
use podgate_datapath::Backend;
use podgate_lab::responder;
use podgate_lab_kubernetes::{Site, kubelet};

fn main() -> ExitCode {
    let mut words = std::env::args();
    let name = PathBuf::from(words.next().unwrap_or_default());
    if name.file_name().is_some_and(|name| name == podgate_cni::PLUGIN) {
        let variable = |name: &str| std::env::var(name).ok();
        return podgate_cni::run(variable, std::io::stdin(), std::io::stdout(), std::io::stderr());
    }
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["lab", "responder", "--places", file] => responder::run_places(file.as_ref()).unwrap(),
        ["lab", "kubelet", "--cluster", cluster, "--node", node] => {
            kubelet::run(&Site::new(cluster).unwrap(), node.parse().unwrap()).unwrap();
        }
        ["agent", ref options @ ..] => {
            tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
            if let Err(error) = podgate_agent::run(agent(options)) {
                tracing::error!("{error}");
                return ExitCode::FAILURE;
            }
        }
        _ => panic!("a cluster starts no such process: {words:?}"),
    }
    ExitCode::SUCCESS
}

fn agent(words: &[&str]) -> Options {
    let given = |name: &str| words.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    let value = |name: &str| given(name).unwrap();
    let kube = podgate_kube::Options { kubeconfig: Some(value("--kubeconfig").into()), context: None };
    let mut options = Options::new(
        value("--node-name"),
        kube,
        value("--pin-dir"),
        value("--run-dir"),
        value("--state-dir"),
    );
    options.backend = given("--backend").map_or(Backend::Auto, |word| word.parse().unwrap());
    options.traces =
        given("--otlp-endpoint").map(|url| TraceOptions { endpoint: url.parse().unwrap(), pod_ratio: 0.0 });
    options
}
