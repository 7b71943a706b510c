//! The node's network stack: what a netfilter hook sees, and what passes it by.

use serde_json::Value;

use super::{Finding, Node};

/// From this share of the connection table on, new connections are in danger.
const FULL_PERCENT: u64 = 90;

pub(super) fn nft(ruleset: &Result<String, String>) -> Finding {
    const CHECK: &str = "nftables";
    match ruleset {
        Ok(_) => Finding::ok(CHECK, "nft works"),
        Err(error) => Finding::error(
            CHECK,
            format!("nft does not work: {error}"),
            "install the package nftables; the kernel needs CONFIG_NF_TABLES, this process CAP_NET_ADMIN",
        ),
    }
}

pub(super) fn conntrack(node: &Node) -> Finding {
    const CHECK: &str = "conntrack";
    let count = node.number("sys/net/netfilter/nf_conntrack_count");
    let most = node.number("sys/net/netfilter/nf_conntrack_max");
    let (Some(count), Some(most)) = (count, most) else {
        return Finding::warning(
            CHECK,
            "connection tracking is not loaded yet",
            "the agent switches it on; without it replies to a pod's connections would be taken for new ones",
        );
    };
    if most > 0 && count * 100 / most >= FULL_PERCENT {
        return Finding::error(
            CHECK,
            format!("{count} of {most} entries are in use: new connections are dropped when it is full"),
            "raise net.netfilter.nf_conntrack_max, or find who opens so many connections: conntrack -S",
        );
    }
    Finding::ok(CHECK, format!("{count} of {most} entries in use"))
}

pub(super) fn forwarding(node: &Node) -> Finding {
    const CHECK: &str = "forwarding";
    match node.number("sys/net/ipv4/ip_forward") {
        Some(1) => Finding::ok(CHECK, "IPv4 is forwarded"),
        Some(_) => Finding::warning(
            CHECK,
            "IPv4 is not forwarded: pods reach nobody beyond this node",
            "sysctl -w net.ipv4.ip_forward=1 (networks usually do this)",
        ),
        None => Finding::ok(CHECK, "no IPv4 here"),
    }
}

/// Bridges that pods are plugged into: veth interfaces with a master.
fn pod_bridges(links: &str) -> Vec<String> {
    let links: Vec<Value> = serde_json::from_str(links).unwrap_or_default();
    let kind = |link: &Value| link["linkinfo"]["info_kind"].as_str().unwrap_or_default().to_owned();
    let mut bridges: Vec<String> = links
        .iter()
        .filter(|link| kind(link) == "veth")
        .filter_map(|link| link["master"].as_str())
        .filter(|master| links.iter().any(|link| link["ifname"] == **master && kind(link) == "bridge"))
        .map(str::to_owned)
        .collect();
    bridges.sort();
    bridges.dedup();
    bridges
}

pub(super) fn bridges(node: &Node, links: &Result<String, String>) -> Finding {
    const CHECK: &str = "bridges";
    let links = match links {
        Ok(links) => links,
        Err(error) => {
            return Finding::warning(
                CHECK,
                format!("interfaces can't be listed: {error}"),
                "install the package iproute2 to have bridges checked",
            );
        }
    };
    let bridges = pod_bridges(links);
    if bridges.is_empty() {
        return Finding::ok(CHECK, "no pods on bridges: all traffic is routed");
    }
    let names = bridges.join(", ");
    let is_on = |path: &str| node.number(path) == Some(1);
    let sees =
        is_on("sys/net/bridge/bridge-nf-call-iptables") && is_on("sys/net/bridge/bridge-nf-call-ip6tables");
    match sees {
        true => Finding::ok(CHECK, format!("traffic inside {names} passes netfilter")),
        false => Finding::error(
            CHECK,
            format!(
                "pods on the same bridge ({names}) reach each other past netfilter: policies between them are not enforced"
            ),
            "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",
        ),
    }
}

pub(super) fn flowtables(ruleset: &Result<String, String>) -> Finding {
    const CHECK: &str = "offload";
    let text = ruleset.as_deref().unwrap_or_default();
    let ruleset: Value = serde_json::from_str(text).unwrap_or_default();
    let entries = ruleset["nftables"].as_array().cloned().unwrap_or_default();
    let tables: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.get("flowtable"))
        .map(|table| {
            let word = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", word("family"), word("table"), word("name"))
        })
        .collect();
    match tables.is_empty() {
        true => Finding::ok(CHECK, "no flow tables"),
        false => Finding::warning(
            CHECK,
            format!("flow tables ({}) carry established connections past netfilter", tables.join("; ")),
            "a changed policy cuts new connections only; remove the flow table if that is not enough",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_with_pods_are_told_from_others() {
        let links = r#"[
            {"ifname": "lo"},
            {"ifname": "cni0", "linkinfo": {"info_kind": "bridge"}},
            {"ifname": "docker0", "linkinfo": {"info_kind": "bridge"}},
            {"ifname": "vrf0", "linkinfo": {"info_kind": "vrf"}},
            {"ifname": "veth1", "master": "cni0", "linkinfo": {"info_kind": "veth"}},
            {"ifname": "veth2", "master": "cni0", "linkinfo": {"info_kind": "veth"}},
            {"ifname": "veth3", "master": "vrf0", "linkinfo": {"info_kind": "veth"}},
            {"ifname": "eth0", "master": "docker0"}
        ]"#;
        assert_eq!(pod_bridges(links), ["cni0"]);
        assert!(pod_bridges("nonsense").is_empty());
    }

    #[test]
    fn flow_tables_are_named() {
        let ruleset = r#"{"nftables": [{"metainfo": {}}, {"flowtable": {"family": "inet", "table": "t", "name": "f"}}]}"#;
        let finding = flowtables(&Ok(ruleset.to_owned()));
        assert!(finding.message.contains("inet t f"), "{finding:?}");
        assert_eq!(flowtables(&Ok("{}".to_owned())).level, super::super::Level::Ok);
    }
}
