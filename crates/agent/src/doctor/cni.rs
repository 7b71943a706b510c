//! The cluster's network: whether its packets pass netfilter, and whether pods start closed.

use serde_json::Value;

use super::{Finding, Node, names_in};

/// Plugins whose packets never meet the host's netfilter, or that enforce policies themselves.
const ELSEWHERE: [(&str, &str); 8] = [
    ("cilium-cni", "Cilium moves packets by BPF, past netfilter, and enforces policies itself"),
    ("ovn-k8s-cni-overlay", "OVN-Kubernetes moves packets in Open vSwitch and enforces policies itself"),
    ("antrea", "Antrea moves packets in Open vSwitch and enforces policies itself"),
    ("macvlan", "macvlan pods send past the host's network stack"),
    ("ipvlan", "ipvlan pods may send past the host's network stack"),
    ("sriov", "SR-IOV pods send past the host's network stack"),
    ("host-device", "pods with a device of their own send past the host's network stack"),
    ("aws-cni", "the AWS network may run its own policy agent: two would both judge"),
];

/// The configuration that a runtime uses: the first by name.
fn configuration(node: &Node) -> Option<(String, Result<Value, String>)> {
    let is_used = |name: &String| [".conflist", ".conf", ".json"].iter().any(|ending| name.ends_with(ending));
    let name = names_in(&node.cni_conf_dir).into_iter().find(is_used)?;
    let path = node.cni_conf_dir.join(&name);
    let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    let parsed = read.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    Some((path.display().to_string(), parsed))
}

/// The plugins of a configuration, in order.
fn plugins(configuration: &Value) -> Vec<String> {
    let kind = |plugin: &Value| plugin["type"].as_str().map(str::to_owned);
    match configuration["plugins"].as_array() {
        Some(list) => list.iter().filter_map(kind).collect(),
        None => kind(configuration).into_iter().collect(),
    }
}

pub(super) fn network(node: &Node) -> Finding {
    const CHECK: &str = "cni";
    let (path, configuration) = match configuration(node) {
        None => {
            return Finding::warning(
                CHECK,
                format!("no network configuration in {}", node.cni_conf_dir.display()),
                "name the runtime's directory with --cni-conf-dir, or install a network first",
            );
        }
        Some((path, Err(error))) => {
            return Finding::error(CHECK, format!("{path}: {error}"), "mend the file: pods can't start");
        }
        Some((path, Ok(configuration))) => (path, configuration),
    };
    let plugins = plugins(&configuration);
    let elsewhere = ELSEWHERE.iter().find(|(plugin, _)| plugins.iter().any(|known| known == plugin));
    match elsewhere {
        Some((_, why)) => Finding::error(
            CHECK,
            format!("{path}: {why}"),
            "don't run podgate's agent here; its checks, reach and diff work with any network",
        ),
        None => Finding::ok(CHECK, format!("{path}: {}", plugins.join(", "))),
    }
}

pub(super) fn plugin(node: &Node) -> Finding {
    const CHECK: &str = "pod start";
    let Some((path, Ok(configuration))) = configuration(node) else {
        return Finding::warning(CHECK, "no network configuration to look at", "");
    };
    let plugins = plugins(&configuration);
    let install = format!(
        "podgate cni install --conf-dir {} --bin-dir {}",
        node.cni_conf_dir.display(),
        node.cni_bin_dir.display()
    );
    let name = podgate_cni::PLUGIN;
    if !plugins.iter().any(|plugin| plugin == name) {
        return Finding::warning(
            CHECK,
            format!(
                "{name} is not in {path}: a new pod's addresses are closed until the API server tells of them"
            ),
            install,
        );
    }
    if !node.cni_bin_dir.join(name).exists() {
        return Finding::error(
            CHECK,
            format!(
                "{path} asks for {name}, which is not in {}: no pod can start",
                node.cni_bin_dir.display()
            ),
            install,
        );
    }
    if plugins.last().is_none_or(|last| last != name) {
        return Finding::warning(
            CHECK,
            format!("{name} is not the last plugin of {path}: later ones may change addresses"),
            "move it to the end of the list",
        );
    }
    Finding::ok(CHECK, "pods start when their policies are in force")
}
