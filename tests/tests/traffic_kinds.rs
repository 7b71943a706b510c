//! Kinds of traffic from manifest to packet: Services, nodes, replies, fragments, SCTP, port names, neighbour
//! discovery. Cases 10, 12, 13 and 18 to 23. Needs root.

use std::net::SocketAddr;
use std::process::Command;

use podgate_lab::netns;
use podgate_lab::probe::{Measured, Options, Selection, Wire};
use podgate_tests::asking::{PATIENCE, ask, check, ping, place, service};
use podgate_tests::lab::{TestLab, differences, wait_until};

const LAB_PROCESS: &str = env!("CARGO_BIN_EXE_lab-process");

const CLUSTER: &str = include_str!("traffic_kinds/cluster.yaml");

fn lab(test: &str) -> TestLab {
    let lab = TestLab::new(LAB_PROCESS, test, 2);
    lab.write("cluster.yaml", CLUSTER);
    lab.up();
    lab
}

// === cases ===

#[test]
fn case_20_and_23_services_are_judged_by_backend_and_client() {
    let lab = lab("service");
    let web = service(&lab, "web");
    // The named target port leads to 8080, which policy opens to `client` alone.
    check(&lab, "shop/client", "tcp", &web.cluster_ips, 80, "shop/web 8080");
    check(&lab, "shop/other", "tcp", &web.cluster_ips, 80, "silent");
    check(&lab, "shop/client", "tcp", &web.cluster_ips, 81, "silent");
    let node_port = web.ports[0].node_port.unwrap();
    let nodes = lab.plan().nodes;
    // On the backend's own node the client is still to be seen; another node puts itself in its place.
    check(&lab, "shop/client", "tcp", &nodes[1].addresses, node_port, "shop/web 8080");
    check(&lab, "shop/other", "tcp", &nodes[1].addresses, node_port, "silent");
    check(&lab, "shop/client", "tcp", &nodes[0].addresses, node_port, "silent");
    let headless = service(&lab, "web-pods");
    assert!(headless.cluster_ips.is_empty());
    let pod = lab.plan().pod(headless.endpoints[0]).unwrap().clone();
    check(&lab, "shop/client", "tcp", &pod.ips, 8080, "shop/web 8080");
    check(&lab, "shop/other", "tcp", &pod.ips, 8080, "silent");
    // Under a default deny for both directions a pod reaches nobody but itself.
    let hidden = service(&lab, "hidden");
    check(&lab, "shop/hidden", "tcp", &hidden.cluster_ips, 80, "shop/hidden 8080");
    check(&lab, "shop/hidden", "udp", &hidden.cluster_ips, 53000, "shop/hidden 5000");
    check(&lab, "shop/hidden", "tcp", &web.cluster_ips, 80, "silent");
    check(&lab, "shop/client", "tcp", &hidden.cluster_ips, 80, "silent");
}

#[test]
fn case_19_a_node_and_its_pods_reach_each_other_and_other_nodes_dont() {
    let lab = lab("node");
    let hidden = lab.pod("shop/hidden");
    let nodes = lab.plan().nodes;
    let (own, other) = (&nodes[0], &nodes[1]);
    for (ip, is_own) in hidden.ips.iter().flat_map(|ip| [(ip, true), (ip, false)]) {
        let node = if is_own { own } else { other };
        for address in node.addresses.iter().filter(|address| address.is_ipv4() == ip.is_ipv4()) {
            for (protocol, port) in [("tcp", 8080), ("udp", 5000)] {
                let to = SocketAddr::new(*ip, port);
                let said = netns::run(&node.netns, || ask(protocol, Some(*address), to, b"x")).unwrap();
                let expected = if is_own { "shop/hidden" } else { "silent" };
                assert!(said.starts_with(expected), "{address} to {protocol} {to}: {said}");
            }
            assert_eq!(ping(&node.netns, *ip, 56), is_own, "{address} pings {ip}");
            assert_eq!(ping(&hidden.netns, *address, 56), is_own, "{ip} pings {address}");
        }
    }
    check(&lab, "shop/hidden", "tcp", &own.addresses, 1, "refused");
    check(&lab, "shop/hidden", "tcp", &other.addresses, 1, "silent");
    // A pod in the node's network is the node.
    check(&lab, "shop/hidden", "tcp", &own.addresses, 9100, "shop/host-1 9100");
    check(&lab, "shop/hidden", "tcp", &other.addresses, 9100, "silent");
}

#[test]
fn case_18_errors_about_allowed_traffic_reach_an_isolated_sender() {
    let lab = lab("errors");
    let web = lab.pod("shop/web").ips;
    // `caller` is isolated both ways; its egress has UDP to everybody. Nobody listens on 5999.
    check(&lab, "shop/caller", "udp", &lab.pod("shop/other").ips, 5999, "refused");
    check(&lab, "shop/caller", "udp", &lab.pod("shop/other").ips, 5000, "shop/other 5000");
    check(&lab, "shop/caller", "tcp", &lab.pod("shop/other").ips, 8080, "silent");
    // Where the destination denies, nothing is there to send an error.
    check(&lab, "shop/caller", "udp", &web, 5999, "silent");
    check(&lab, "shop/other", "udp", &lab.pod("shop/caller").ips, 5000, "silent");
}

#[test]
fn case_22_fragments_of_datagrams_and_of_pings_follow_their_first() {
    let lab = lab("fragments");
    let (web, netns_of) = (lab.pod("shop/web"), |pod: &str| lab.pod(pod).netns);
    let large = vec![b'x'; 5000];
    for ip in &web.ips {
        let to = |port| SocketAddr::new(*ip, port);
        let said =
            |from: &str, port| netns::run(&netns_of(from), || ask("udp", None, to(port), &large)).unwrap();
        assert!(said("shop/client", 5000).starts_with("shop/web 5000"), "{ip}");
        assert_eq!(said("shop/client", 5001), "silent", "{ip}: a port that no rule names");
        assert_eq!(said("shop/other", 5000), "silent", "{ip}");
        // Case 21: only the rule without ports lets echo through.
        for bytes in [56, 4000] {
            assert!(ping(&netns_of("shop/friend"), *ip, bytes), "{ip}: {bytes} bytes");
            assert!(!ping(&netns_of("shop/client"), *ip, bytes), "{ip}: {bytes} bytes");
        }
    }
}

#[test]
fn case_13_sctp_is_a_protocol_of_its_own() {
    let lab = lab("sctp");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let selection = Selection {
        from: names(&["shop/client", "shop/other", "shop/friend"]),
        to: names(&["shop/web"]),
        ..Selection::default()
    };
    let report = lab.probe(&Options { timeout: PATIENCE, selection });
    assert_eq!(differences(&report), "");
    let mut seen = 0;
    for cell in &report.cells {
        let (from, target) = (&report.sources[cell.from].name, &report.targets[cell.to]);
        if (target.wire, target.name.as_str()) != (Wire::Sctp, "shop/web") {
            continue;
        }
        seen += 1;
        // 5060 by number, 8080 is open for TCP only, 5061 for nobody but who may everything.
        let expected = from == "shop/friend" || (from == "shop/client" && target.port == 5060);
        let reached = matches!(cell.measured, Measured::Reached { .. });
        assert_eq!(reached, expected, "{from} to SCTP {} at {}", target.port, cell.target_ip);
    }
    assert_eq!(seen, 3 * 3 * 2, "three sources, three ports, two families");
}

#[test]
fn case_12_a_ports_name_means_each_pods_own_number() {
    let lab = lab("names");
    let ips = |pod: &str| lab.pod(pod).ips;
    for (pod, own, others) in [("shop/named-a", 9001, 9002), ("shop/named-b", 9002, 9001)] {
        check(&lab, "shop/client", "tcp", &ips(pod), own, pod);
        check(&lab, "shop/client", "tcp", &ips(pod), others, "silent");
    }
    // The same name, moved to the other number: the pod is as before, its rule's meaning isn't.
    lab.write(
        "cluster.yaml",
        &CLUSTER.replace(
            "9001, name: metrics}, {containerPort: 9002",
            "9002, name: metrics}, {containerPort: 9001",
        ),
    );
    lab.up();
    wait_until("the name means the other number", || {
        let to = SocketAddr::new(ips("shop/named-a")[0], 9002);
        let said = netns::run(&lab.pod("shop/client").netns, || ask("tcp", None, to, b"")).unwrap();
        said.starts_with("shop/named-a 9002")
    });
    check(&lab, "shop/client", "tcp", &ips("shop/named-a"), 9001, "silent");
    check(&lab, "shop/client", "tcp", &ips("shop/named-b"), 9002, "shop/named-b");
}

#[test]
fn case_21_neighbours_are_found_under_a_default_deny() {
    let lab = lab("neighbour");
    let hidden = lab.pod("shop/hidden");
    let node = place(&lab, "node-1");
    let ip = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let output = netns::run(&node, || Command::new("ip").args(&words).output()).unwrap().unwrap();
        assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for address in &hidden.ips {
        let known = || ip(&format!("neigh show {address}"));
        assert!(known().contains("PERMANENT"), "{}", known());
        ip(&format!("neigh del {address} dev {}", hidden.veth()));
        check(&lab, "node-1", "tcp", &[*address], 8080, "shop/hidden 8080");
        assert!(known().contains("lladdr") && !known().contains("PERMANENT"), "found by asking: {}", known());
    }
}

#[test]
fn the_probe_agrees_with_all_of_it() {
    let lab = lab("all");
    let report = lab.probe(&Options { timeout: PATIENCE, ..Options::default() });
    assert_eq!(differences(&report), "");
}
