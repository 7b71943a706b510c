//! Cluster-scoped policies from manifest to packet: the three tiers, ICMP, names of ports, nodes and networks;
//! flows that name the rule; an edit under a connection. Cases 20, 21, 24, 33 to 37. Needs root.

use std::net::{IpAddr, SocketAddr};

use podgate_flow::{Decision, FlowVerdict, Party, Reason};
use podgate_lab::netns;
use podgate_lab::probe::{Options, Selection};
use podgate_policy::{Direction, Tier, Verdict};
use podgate_tests::asking::{PATIENCE, ask, check, ping, service};
use podgate_tests::lab::{TestLab, differences, wait_until};
use podgate_tests::watch::Watch;

const LAB_PROCESS: &str = env!("CARGO_BIN_EXE_lab-process");

const CLUSTER: &str = include_str!("cluster_tiers/cluster.yaml");

fn lab(test: &str) -> TestLab {
    let lab = TestLab::new(LAB_PROCESS, test, 2);
    lab.write("cluster.yaml", CLUSTER);
    lab.up();
    lab
}

#[test]
fn the_first_tier_that_decides_has_the_last_word() {
    let lab = lab("tiers");
    let (web, open) = (lab.pod("shop/web").ips, lab.pod("shop/open").ips);
    // The Admin tier denies all, whatever a NetworkPolicy would say.
    for (ips, udp) in [(&web, 5000), (&open, 5000)] {
        check(&lab, "ops/suspect", "tcp", ips, 8080, "silent");
        check(&lab, "ops/suspect", "udp", ips, udp, "silent");
    }
    // It accepts a port by name alone, which is another number on each pod, and is closed by the tiers below.
    check(&lab, "ops/scraper", "tcp", &web, 9090, "shop/web 9090");
    check(&lab, "ops/scraper", "tcp", &open, 9091, "shop/open 9091");
    // Pass: the NetworkPolicy isolates `web`, the Baseline tier denies `open`.
    check(&lab, "ops/scraper", "tcp", &web, 8080, "silent");
    check(&lab, "ops/scraper", "tcp", &open, 8080, "silent");
    check(&lab, "ops/scraper", "udp", &open, 5000, "silent");
    // Nothing of the Admin tier: the NetworkPolicy decides `web`, the Baseline tier `open`.
    check(&lab, "shop/friend", "tcp", &web, 8080, "shop/web 8080");
    check(&lab, "shop/stranger", "tcp", &web, 8080, "silent");
    check(&lab, "shop/stranger", "tcp", &open, 8080, "shop/open 8080");
    // Nothing of any tier: nobody is isolated.
    check(&lab, "shop/web", "udp", &open, 5000, "shop/open 5000");
    check(&lab, "ops/suspect", "tcp", &lab.pod("ops/scraper").ips, 1, "refused");
}

#[test]
fn case_21_a_rule_without_protocols_is_about_icmp_and_one_with_is_not() {
    let lab = lab("tiers-icmp");
    let pings = |from: &str, to: &str| {
        let from = lab.pod(from).netns;
        let answers: Vec<bool> = lab.pod(to).ips.iter().map(|ip| ping(&from, *ip, 56)).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{to}: {answers:?}");
        answers[0]
    };
    // Denied without protocols, passed on without protocols and denied below, accepted below.
    assert!(!pings("ops/suspect", "shop/open"));
    assert!(!pings("ops/scraper", "shop/open"));
    assert!(pings("shop/stranger", "shop/open"));
    // Denied for TCP 9100 only: the node still answers.
    assert!(pings("shop/friend", "shop/host-2"));
    let open = CLUSTER.replace(
        "    from: [{namespaces: {}}]\n",
        "    from: [{namespaces: {}}]\n    ports: [{portRange: {protocol: TCP, start: 1, end: 65535}}]\n",
    );
    assert_ne!(open, CLUSTER);
    lab.write("cluster.yaml", &open);
    lab.up();
    wait_until("the Baseline tier denies TCP alone", || pings("ops/scraper", "shop/open"));
    assert!(!pings("ops/suspect", "shop/open"));
    check(&lab, "ops/scraper", "tcp", &lab.pod("shop/open").ips, 8080, "silent");
    check(&lab, "ops/scraper", "udp", &lab.pod("shop/open").ips, 5000, "shop/open 5000");
}

#[test]
fn case_36_nodes_and_networks_are_addresses() {
    let lab = lab("tiers-addresses");
    let nodes = lab.plan().nodes;
    check(&lab, "shop/friend", "tcp", &nodes[1].addresses, 9100, "silent");
    check(&lab, "shop/stranger", "tcp", &nodes[1].addresses, 9100, "shop/host-2 9100");
    check(&lab, "shop/web", "tcp", &nodes[1].addresses, 9100, "shop/host-2 9100");
    check(&lab, "shop/friend", "tcp", &nodes[1].addresses, 9101, "refused");
    let outside = lab.plan().outside.addresses;
    let inside = |net: &str| {
        let net: ipnet::IpNet = net.parse().unwrap();
        outside.iter().copied().filter(|ip| net.contains(ip)).collect::<Vec<IpAddr>>()
    };
    let (v4, v6) = (inside("203.0.113.0/24"), inside("2001:db8:1::/48"));
    assert!(!v4.is_empty() && !v6.is_empty(), "{outside:?}");
    check(&lab, "shop/friend", "tcp", &v4, 443, "outside 443");
    for (ips, port) in [(&v4, 80), (&v6, 443), (&v6, 80)] {
        check(&lab, "shop/friend", "tcp", ips, port, "silent");
        check(&lab, "shop/stranger", "tcp", ips, port, &format!("outside {port}"));
    }
    assert!(!ping(&lab.pod("shop/friend").netns, v4[0], 56));
    assert!(ping(&lab.pod("shop/stranger").netns, v4[0], 56));
    // A node that changes its labels changes what the rule means.
    lab.write("cluster.yaml", &CLUSTER.replace("labels: {pool: green}", "labels: {pool: blue}"));
    lab.up();
    check(&lab, "shop/friend", "tcp", &nodes[1].addresses, 9100, "shop/host-2 9100");
}

/// `self` to itself, by one of its ports' names alone.
fn no_self(tier: &str, list: &str, peers: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: no-self}}\n\
         spec:\n  tier: {tier}\n  priority: 1\n  subject: {{namespaces: {{matchLabels: {{team: shop}}}}}}\n  {list}:\n  \
         - action: Deny\n    {peers}: [{{pods: {{namespaceSelector: {{}}, podSelector: {{matchLabels: {{app: self}}}}}}}}]\n    \
         protocols: [{{destinationNamedPort: alt}}]\n"
    )
}

#[test]
fn case_20_a_pod_that_reaches_itself_through_a_service_is_seen_by_cluster_scoped_policies_alone() {
    let lab = lab("tiers-self");
    let (own, via) = (lab.pod("shop/self").ips, service(&lab, "self"));
    let node = &lab.plan().nodes[0].addresses;
    let node_port = via.ports[1].node_port.unwrap();
    let expect = |alt: &str| {
        check(&lab, "shop/self", "tcp", &via.cluster_ips, 80, "shop/self 8080");
        check(&lab, "shop/self", "tcp", &via.cluster_ips, 81, alt);
        check(&lab, "shop/self", "tcp", node, node_port, alt);
        // Its own address never leaves the pod.
        check(&lab, "shop/self", "tcp", &own, 8081, "shop/self 8081");
        // The NetworkPolicy is there, for everybody else.
        check(&lab, "shop/stranger", "tcp", &via.cluster_ips, 80, "silent");
    };
    expect("shop/self 8081");
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        lab.write("self.yaml", &no_self("Admin", list, peers));
        lab.up();
        expect("silent");
        let report = lab.probe(&Options { timeout: PATIENCE, selection: only_self() });
        assert_eq!(differences(&report), "");
    }
    // The Baseline tier comes after the NetworkPolicy, which has decided.
    lab.write("self.yaml", &no_self("Baseline", "ingress", "from"));
    lab.up();
    expect("shop/self 8081");
    lab.write("cluster.yaml", &CLUSTER.replace("policyTypes: [Ingress, Egress]", "policyTypes: [Egress]"));
    lab.up();
    let watch = Watch::start(&lab);
    check(&lab, "shop/self", "tcp", &via.cluster_ips[..1], 81, "silent");
    check(&lab, "shop/stranger", "tcp", &via.cluster_ips, 80, "shop/self 8080");
    let (_, ingress) = flow(&lab, &watch, "shop/self", "shop/self", 8081);
    let ingress = ingress.expect("the Baseline tier has a say");
    assert_eq!(ingress.verdict, Verdict::Denied);
    assert_eq!(ingress.reason.to_string(), "ClusterNetworkPolicy no-self ingress[0]");
}

fn only_self() -> Selection {
    let name = || vec!["shop/self".to_owned()];
    Selection { from: name(), to: name(), ..Selection::default() }
}

#[test]
fn the_probe_agrees_with_all_tiers() {
    let lab = lab("tiers-all");
    let report = lab.probe(&Options { timeout: PATIENCE, selection: Selection::default() });
    assert_eq!(differences(&report), "");
}

// === flows ===

/// What the source's and the destination's policies said, and of whom.
fn flow(
    lab: &TestLab,
    watch: &Watch,
    from: &str,
    to: &str,
    port: u16,
) -> (Option<Decision>, Option<Decision>) {
    let from = lab.pod(from).ips[0];
    let to = SocketAddr::new(lab.pod(to).ips[0], port);
    let found = || {
        let is_it = |flow: &podgate_flow::FlowRecord| {
            flow.source.ip == from && SocketAddr::new(flow.destination.ip, flow.destination.port) == to
        };
        watch.flows().into_iter().find(is_it)
    };
    wait_until("the flow is reported", || found().is_some());
    let flow = found().unwrap();
    assert!(matches!(*flow.source.party, Party::Pod { .. }), "{flow:?}");
    let denies = |d: &Option<Decision>| d.as_ref().is_some_and(|d| d.verdict == Verdict::Denied);
    assert_eq!(
        flow.verdict == FlowVerdict::Denied,
        denies(&flow.egress) || denies(&flow.ingress),
        "{flow:?}"
    );
    (flow.egress, flow.ingress)
}

#[track_caller]
fn is_rule(decision: Option<Decision>, verdict: Verdict, tier: Tier, text: &str, line: &str) {
    let decision = decision.expect("this end has a say");
    assert_eq!((decision.verdict, decision.reason.to_string()), (verdict, text.to_owned()));
    let Reason::Rule { policy, tier: of, list, written, .. } = &*decision.reason else {
        panic!("{decision:?}")
    };
    assert_eq!(*of, tier, "{decision:?}");
    assert!(text.contains(policy.kind.as_str()), "{decision:?}");
    assert_eq!(text.contains("ingress"), *list == Direction::Ingress);
    // The place leads to the line that the rule begins at.
    let number: usize = written.rsplit(':').nth(1).unwrap().parse().unwrap();
    let there = CLUSTER.lines().nth(number - 1).unwrap();
    assert!(there.contains(line), "{written}: {there}");
}

#[test]
fn flows_name_the_rule_that_denied_or_allowed() {
    let lab = lab("tiers-flows");
    let watch = Watch::start(&lab);
    let to = |pod: &str| vec![lab.pod(pod).ips[0]];
    check(&lab, "ops/suspect", "tcp", &to("shop/web"), 8080, "silent");
    check(&lab, "ops/scraper", "tcp", &to("shop/web"), 9090, "shop/web");
    check(&lab, "ops/scraper", "tcp", &to("shop/open"), 8080, "silent");
    check(&lab, "shop/friend", "tcp", &to("shop/host-2"), 9100, "silent");
    check(&lab, "shop/stranger", "tcp", &to("shop/open"), 8080, "shop/open");
    let denied = Verdict::Denied;
    let (egress, ingress) = flow(&lab, &watch, "ops/suspect", "shop/web", 8080);
    assert_eq!(egress.map(|egress| (*egress.reason).clone()), Some(Reason::NotIsolated));
    is_rule(ingress, denied, Tier::Admin, "ClusterNetworkPolicy guard ingress[0]", "no-suspects");
    let (_, ingress) = flow(&lab, &watch, "ops/scraper", "shop/web", 9090);
    is_rule(ingress, Verdict::Allowed, Tier::Admin, "ClusterNetworkPolicy guard ingress[1]", "metrics");
    let (_, ingress) = flow(&lab, &watch, "ops/scraper", "shop/open", 8080);
    let rule = "BaselineAdminNetworkPolicy default ingress[1]";
    is_rule(ingress, denied, Tier::Baseline, rule, "- action: Deny");
    let (egress, ingress) = flow(&lab, &watch, "shop/friend", "shop/host-2", 9100);
    is_rule(egress, denied, Tier::Admin, "AdminNetworkPolicy way-out egress[0]", "exporters");
    assert_eq!(ingress, None, "it never got there");
    let (_, ingress) = flow(&lab, &watch, "shop/stranger", "shop/open", 8080);
    let rule = "BaselineAdminNetworkPolicy default ingress[0]";
    is_rule(ingress, Verdict::Allowed, Tier::Baseline, rule, "- action: Allow");
}

// === edits ===

#[test]
fn case_24_an_edited_rule_cuts_the_connection_that_it_no_longer_allows() {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    let lab = lab("tiers-edit");
    let watch = Watch::start(&lab);
    let web = SocketAddr::new(lab.pod("shop/web").ips[0], 9090);
    let connected = netns::run(&lab.pod("ops/scraper").netns, || TcpStream::connect_timeout(&web, PATIENCE));
    let stream = connected.unwrap().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut echoes = |stream: &mut &TcpStream| {
        line.clear();
        stream.write_all(b"still there?\n").is_ok() && reader.read_line(&mut line).is_ok_and(|n| n > 0)
    };
    assert!(echoes(&mut &stream), "a rule of the Admin tier allows it");
    // Passed on instead, to the NetworkPolicy that isolates.
    let heard = watch.heard().len();
    let (name, accept, pass) = ("metrics", "action: Accept", "action: Pass");
    let edited = CLUSTER.replace(&format!("{name}\n    {accept}"), &format!("{name}\n    {pass}"));
    assert_ne!(edited, CLUSTER);
    lab.write("cluster.yaml", &edited);
    watch.wait_for("the edit is in force", heard, |event| {
        matches!(event, podgate_lab::enforce::NoticeEvent::Published { changes, .. }
            if changes == &["~ ClusterNetworkPolicy guard"])
    });
    assert!(!echoes(&mut &stream), "nothing allows it any more");
    wait_until("the cut is reported", || {
        let is_cut = |flow: &podgate_flow::FlowRecord| {
            let why = flow.ingress.as_ref().map(|ingress| ingress.reason.to_string());
            flow.cut && flow.destination.port == 9090 && why.as_deref() == Some("isolated by shop/web")
        };
        watch.flows().iter().any(is_cut)
    });
    // Gone altogether: `suspect` is a stranger like any other, and `open` is kept by the last tier alone.
    let without = CLUSTER.split("---\n").filter(|text| !text.contains("name: guard")).collect::<Vec<_>>();
    lab.write("cluster.yaml", &without.join("---\n"));
    lab.up();
    let said = |to| netns::run(&lab.pod("ops/suspect").netns, || ask("tcp", None, to, b"")).unwrap();
    assert_eq!(said(SocketAddr::new(lab.pod("shop/open").ips[0], 8080)), "silent");
    lab.write(
        "cluster.yaml",
        &without
            .into_iter()
            .filter(|text| !text.contains("kind: Baseline"))
            .collect::<Vec<_>>()
            .join("---\n"),
    );
    lab.up();
    let open = SocketAddr::new(lab.pod("shop/open").ips[0], 8080);
    assert!(said(open).starts_with("shop/open 8080"), "nothing is left to deny it");
}
