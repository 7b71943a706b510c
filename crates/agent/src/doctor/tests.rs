use std::fs;

use super::*;

/// A node made of files.
struct Fake {
    directory: tempfile::TempDir,
    node: Node,
}

impl Fake {
    fn new() -> Fake {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let node = Node {
            proc: at("proc"),
            sys: at("sys"),
            cni_conf_dir: at("net.d"),
            cni_bin_dir: at("bin"),
            pin_dir: at("bpf/podgate"),
        };
        Fake { directory, node }
    }

    fn with(self, path: &str, text: &str) -> Fake {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }
}

#[track_caller]
fn check(finding: &Finding, level: Level, says: &str) {
    assert_eq!(finding.level, level, "{finding:?}");
    assert!(finding.message.contains(says), "{finding:?}");
    assert!(
        level == Level::Ok || !finding.help.is_empty() || finding.message.starts_with("no network"),
        "{finding:?}"
    );
}

const PTP: &str = r#"{"cniVersion": "1.0.0", "plugins": [{"type": "ptp"}, {"type": "portmap"}]}"#;

#[test]
fn networks_that_bypass_netfilter_are_refused() {
    let fake = Fake::new().with("net.d/05-cilium.conflist", r#"{"plugins": [{"type": "cilium-cni"}]}"#);
    check(&cni::network(&fake.node), Level::Error, "Cilium");
    let fake = Fake::new().with("net.d/10-x.conflist", PTP).with("net.d/99-b.conf", r#"{"type": "macvlan"}"#);
    check(&cni::network(&fake.node), Level::Ok, "ptp, portmap");
    let fake = Fake::new().with("net.d/10-x.conf", r#"{"type": "macvlan"}"#);
    check(&cni::network(&fake.node), Level::Error, "macvlan");
    check(&cni::network(&Fake::new().node), Level::Warning, "no network configuration");
    check(&cni::network(&Fake::new().with("net.d/1.conf", "{").node), Level::Error, "1.conf");
}

#[test]
fn a_node_whose_pods_start_open_is_told() {
    let fake = Fake::new().with("net.d/10-x.conflist", PTP);
    check(&cni::plugin(&fake.node), Level::Warning, "is not in");
    let chained = r#"{"plugins": [{"type": "ptp"}, {"type": "podgate-cni"}]}"#;
    let fake = Fake::new().with("net.d/10-x.conflist", chained);
    check(&cni::plugin(&fake.node), Level::Error, "no pod can start");
    check(&cni::plugin(&fake.with("bin/podgate-cni", "").node), Level::Ok, "in force");
    let first = r#"{"plugins": [{"type": "podgate-cni"}, {"type": "ptp"}]}"#;
    let fake = Fake::new().with("net.d/10-x.conflist", first).with("bin/podgate-cni", "");
    check(&cni::plugin(&fake.node), Level::Warning, "not the last");
}

#[test]
fn bridges_that_bypass_netfilter_are_found() {
    let links = Ok(r#"[{"ifname": "cni0", "linkinfo": {"info_kind": "bridge"}},
        {"ifname": "v", "master": "cni0", "linkinfo": {"info_kind": "veth"}}]"#
        .to_owned());
    check(&network::bridges(&Fake::new().node, &links), Level::Error, "cni0");
    let seen = Fake::new()
        .with("proc/sys/net/bridge/bridge-nf-call-iptables", "1\n")
        .with("proc/sys/net/bridge/bridge-nf-call-ip6tables", "1\n");
    check(&network::bridges(&seen.node, &links), Level::Ok, "cni0");
    check(&network::bridges(&Fake::new().node, &Ok("[]".to_owned())), Level::Ok, "no pods on bridges");
    check(&network::bridges(&Fake::new().node, &Err("no ip".to_owned())), Level::Warning, "no ip");
}

#[test]
fn a_full_connection_table_is_an_error() {
    let table = |count: &str| {
        Fake::new()
            .with("proc/sys/net/netfilter/nf_conntrack_count", count)
            .with("proc/sys/net/netfilter/nf_conntrack_max", "1000")
    };
    check(&network::conntrack(&table("10").node), Level::Ok, "10 of 1000");
    check(&network::conntrack(&table("950").node), Level::Error, "950 of 1000");
    check(&network::conntrack(&Fake::new().node), Level::Warning, "not loaded");
}

#[test]
fn missing_capabilities_are_named() {
    let with = |bits: &str| Fake::new().with("proc/self/status", &format!("Name:\tx\nCapEff:\t{bits}\n"));
    check(&kernel::capabilities(&with("000001ffffffffff").node), Level::Ok, "CAP_BPF");
    let some = kernel::capabilities(&with("0000000000001000").node);
    check(&some, Level::Error, "CAP_PERFMON, CAP_BPF");
    check(&kernel::capabilities(&with("0000000000000000").node), Level::Error, "CAP_NET_ADMIN");
}

#[test]
fn old_kernels_are_told_what_they_lack() {
    let with = |release: &str| Fake::new().with("proc/sys/kernel/osrelease", release);
    check(&kernel::version(&with("6.18.1\n").node), Level::Ok, "6.18.1");
    check(&kernel::version(&with("6.1.0-28-amd64\n").node), Level::Warning, "6.4");
    check(&kernel::version(&with("6.8.0\n").node), Level::Warning, "network namespace");
}

#[test]
fn pins_need_a_bpf_file_system() {
    let fake = Fake::new().with("bpf/x", "");
    check(&kernel::bpf_file_system(&fake.node), Level::Error, "not a BPF file system");
    check(&kernel::bpf_file_system(&Fake::new().node), Level::Error, "bpf");
}

#[test]
fn this_machine_can_be_examined() {
    let findings = examine(&Node::default());
    let mut checks: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
    checks.sort_unstable();
    checks.dedup();
    assert_eq!(checks.len(), findings.len(), "each check has its name");
    assert!(findings.iter().all(|finding| !finding.message.is_empty()), "{findings:?}");
}
