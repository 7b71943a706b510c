//! Labs made by the real command, with real connections. Needs root: namespaces are the kernel's to give.

#[path = "lab/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use support::{TestLab, host_network, own_traces, run};

/// A connection's answer, without its line end: who answered, and as whom it saw the client.
#[track_caller]
fn check(lab: &TestLab, from: &str, to: &str, expected: &str) {
    assert_eq!(lab.connect(from, to), expected, "{from} -> {to}");
}

#[test]
fn pods_services_nodes_and_the_outside_reach_each_other() {
    let lab = TestLab::up("reach", &["--nodes", "2"]);
    for (from, to, expected) in [
        // Pods of one node, and of two.
        ("shop/edge", "tcp 10.244.0.4:8080", "shop/web-0 8080 TCP 10.244.0.2"),
        ("shop/edge", "tcp [fd00:10:244::4]:8080", "shop/web-0 8080 TCP fd00:10:244::2"),
        ("shop/edge", "tcp 10.244.1.4:8080", "shop/web-1 8080 TCP 10.244.0.2"),
        ("shop/edge", "tcp [fd00:10:244:1::4]:8080", "shop/web-1 8080 TCP fd00:10:244::2"),
        ("shop/edge", "udp 10.244.1.4:8443", "shop/web-1 8443 UDP 10.244.0.2"),
        ("shop/edge", "udp [fd00:10:244:1::4]:8443", "shop/web-1 8443 UDP fd00:10:244::2"),
        ("shop/edge", "tcp 10.244.1.4:1", "refused"),
        // A pod in the host network.
        ("shop/edge", "tcp 172.30.0.11:9100", "kube-system/proxy-node-2 9100 TCP 10.244.0.2"),
        // A cluster IP of one pod, from its own pod: it sees its node, as behind kube-proxy.
        ("shop/web-0", "tcp 10.96.0.32:8000", "shop/edge 8000 TCP 10.244.0.4"),
        ("shop/web-0", "tcp [fd00:10:96::20]:8000", "shop/edge 8000 TCP fd00:10:244::4"),
        ("shop/edge", "tcp 10.96.0.32:8000", "shop/edge 8000 TCP 172.30.0.10"),
        ("node/node-2", "tcp 10.96.0.32:8000", "shop/edge 8000 TCP 172.30.0.11"),
        // Without endpoints, and without Service.
        ("shop/edge", "tcp 10.96.0.33:80", "refused"),
        ("shop/edge", "tcp 10.96.200.1:80", "unreachable"),
        ("shop/edge", "tcp 10.244.0.200:80", "unreachable"),
        ("shop/edge", "tcp 172.30.0.11:30999", "refused"),
        // `externalTrafficPolicy: Local`: the client's address, and only on the pod's node. Inside the
        // cluster, any node will do.
        ("outside", "tcp 172.30.0.10:30800", "shop/edge 8000 TCP 198.51.100.10"),
        ("outside", "tcp [fd00:172:30::a]:30800", "shop/edge 8000 TCP 2001:db8:ffff::10"),
        ("outside", "tcp 172.30.0.11:30800", "timed out"),
        ("shop/edge", "tcp 172.30.0.11:30800", "shop/edge 8000 TCP 172.30.0.11"),
        // Out of the cluster the node's address is seen; into it, the client's.
        ("shop/edge", "tcp 203.0.113.10:8443", "outside 8443 TCP 172.30.0.10"),
        ("shop/edge", "tcp 203.0.113.138:8443", "outside 8443 TCP 172.30.0.10"),
        ("shop/edge", "udp [2001:db8:ffff::10]:53", "outside 53 UDP fd00:172:30::a"),
        ("outside", "tcp 10.244.0.2:8000", "shop/edge 8000 TCP 198.51.100.10"),
        ("outside", "tcp 10.96.0.32:8000", "unreachable"),
    ] {
        check(&lab, from, to, expected);
    }
}

#[test]
fn a_service_spreads_connections_over_its_pods() {
    let lab = TestLab::up("spread", &["--nodes", "2"]);
    for to in ["tcp 10.96.0.34:80", "tcp [fd00:10:96::22]:80", "udp 10.96.0.34:443", "tcp 172.30.0.10:30080"]
    {
        let answers: BTreeSet<String> = (0..24)
            .map(|_| lab.connect("shop/edge", to).split(' ').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(answers.into_iter().collect::<Vec<_>>(), ["shop/web-0", "shop/web-1"], "{to}");
    }
}

#[test]
fn sctp_is_answered_by_pods_and_through_services() {
    let lab = TestLab::up("sctp", &["--nodes", "2"]);
    for to in ["10.244.1.4:5060", "[fd00:10:244:1::4]:5060", "10.96.0.34:5060", "[fd00:10:96::22]:5060"] {
        check(&lab, "shop/edge", &format!("sctp {to}"), "INIT ACK");
    }
    check(&lab, "shop/edge", "sctp 10.244.1.4:5061", "ABORT");
}

#[test]
fn the_clusters_names_resolve_in_pods() {
    let lab = TestLab::up("dns", &["--nodes", "2"]);
    let resolve = |name: &str| lab.exec("shop/edge", &["getent", "ahostsv4", name]);
    for (name, addresses) in [
        ("web", vec!["10.96.0.34"]),
        ("web.shop.svc.cluster.local", vec!["10.96.0.34"]),
        ("kube-dns.kube-system", vec!["10.96.0.10"]),
        ("store", vec!["10.244.0.3", "10.244.1.3"]),
        ("store-1.store", vec!["10.244.1.3"]),
        ("nothing", vec![]),
    ] {
        let output = resolve(name);
        let found: BTreeSet<&str> =
            output.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), addresses, "{name}: {}", output.stderr);
    }
    // Over TCP as well; who says nothing on port 53 is greeted after a while, as elsewhere.
    check(&lab, "shop/edge", "dns 10.96.0.10:53", "10.96.0.34");
    check(&lab, "shop/edge", "tcp 10.96.0.10:53", "kube-system/coredns-0 53 TCP 10.244.0.2");
}

#[test]
fn down_leaves_no_trace_and_the_host_is_as_before() {
    let before = host_network();
    let lab = TestLab::up("trace", &["--nodes", "2"]);
    assert_eq!(host_network(), before, "an up lab has changed the host's network");
    assert!(!own_traces(lab.name()).is_empty());
    assert_eq!(lab.podgate("down", &[]).code, 0);
    assert_eq!(own_traces(lab.name()), Vec::<String>::new());
    assert_eq!(host_network(), before);
    let again = lab.podgate("down", &[]);
    assert_eq!((again.code, again.stdout.trim()), (0, format!("lab {} was not up", lab.name()).as_str()));
}

#[test]
fn a_second_up_says_so_and_changes_nothing_that_stays() {
    let lab = TestLab::up("again", &["--nodes", "2"]);
    let before = lab.status();
    let second = lab.podgate("up", &["--no-policies", &lab.manifests()]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(second.stdout.contains("was up already"), "{}", second.stdout);
    assert_eq!(lab.status(), before);
}

#[test]
fn up_repairs_what_was_killed_or_deleted() {
    let lab = TestLab::up("repair", &["--nodes", "2"]);
    let works = |what: &str| {
        for to in
            ["tcp 10.244.1.4:8080", "tcp 172.30.0.11:9100", "tcp 203.0.113.10:8443", "tcp 10.96.0.34:80"]
        {
            let answer = lab.connect("shop/edge", to);
            assert!(answer.contains(" TCP "), "after {what}, {to}: {answer}");
        }
    };
    let pid = lab.status()["responder"]["pid"].as_i64().unwrap_or_default();
    assert_eq!(run("kill", &["-9", &pid.to_string()]).code, 0);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(lab.connect("shop/edge", "tcp 10.244.1.4:8080"), "refused");
    lab.up_again(&[]);
    works("kill -9 of the responder");
    for part in ["p7", "n1", "net", "out"] {
        assert_eq!(run("ip", &["netns", "del", &format!("pg-{}-{part}", lab.name())]).code, 0);
        lab.up_again(&[]);
        works(&format!("deletion of {part}"));
    }
    fs::write(lab.file("plan.json"), "{").unwrap();
    lab.up_again(&["--nodes", "2"]);
    works("damage to the plan");
}

#[test]
fn nodes_come_and_go() {
    let lab = TestLab::up("nodes", &["--nodes", "1"]);
    lab.up_again(&["--nodes", "3"]);
    check(&lab, "shop/edge", "tcp 172.30.0.12:9100", "kube-system/proxy-node-3 9100 TCP 10.244.0.3");
    lab.up_again(&["--nodes", "1"]);
    // Nobody answers for the address: whether the client hears so in time depends on the kernel.
    let gone = lab.connect("shop/edge", "tcp 172.30.0.12:9100");
    assert!(["unreachable", "timed out"].contains(&gone.as_str()), "{gone}");
    assert_eq!(own_traces(lab.name()).iter().filter(|trace| trace.contains("-n2")).count(), 0);
}

#[test]
fn an_interrupted_up_cleans_up_behind_itself() {
    for milliseconds in [20, 60, 120] {
        let lab = TestLab::new("interrupt");
        let mut child = lab.spawn_up(&["--nodes", "2"]);
        std::thread::sleep(Duration::from_millis(milliseconds));
        run("kill", &["-INT", &child.id().to_string()]);
        let code = child.wait().unwrap().code();
        // A fast machine may have been done already; then the lab is whole, and its owner takes it down.
        match code {
            Some(130) => assert_eq!(own_traces(lab.name()), Vec::<String>::new()),
            other => assert_eq!(other, Some(0)),
        }
    }
}

#[test]
fn a_live_connection_echoes_until_the_client_closes() {
    let lab = TestLab::up("live", &[]);
    check(&lab, "shop/edge", "lines 10.244.0.4:5432", "one two three");
}

#[test]
fn exec_gives_the_commands_exit_code_and_names_what_it_cannot_find() {
    let lab = TestLab::up("exec", &[]);
    assert_eq!(lab.exec("shop/edge", &["sh", "-c", "exit 7"]).code, 7);
    assert_eq!(lab.exec("shop/web", &["true"]).code, 0);
    assert_eq!(lab.exec("shop/edge", &["no-such-command"]).code, 127);
    let unknown = lab.exec("shop/nobody", &["true"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("no pod or workload shop/nobody"), "{}", unknown.stderr);
}

#[test]
fn input_without_pods_is_told_and_leaves_nothing() {
    let lab = TestLab::new("input");
    let dir = lab.scratch();
    for (file, text, expected) in [
        ("broken.yaml", "kind: [", "mend the findings above first"),
        ("namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: { name: a }\n", "a lab needs Pods"),
        ("notes.txt", "nothing", "no manifests in"),
    ] {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(file), text).unwrap();
        let output = lab.podgate("up", &["--no-policies", &dir.display().to_string()]);
        assert_eq!(output.code, 2, "{file}");
        assert!(output.stderr.contains(expected), "{file}: {}", output.stderr);
        assert_eq!(own_traces(lab.name()), Vec::<String>::new());
    }
    let missing = lab.podgate("up", &["--no-policies", "no/such/directory"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("no/such/directory: No such file"), "{}", missing.stderr);
    let unprivileged =
        run("setpriv", &["--reuid=65534", "--clear-groups", support::PODGATE, "lab", "up", "x"]);
    assert_eq!(unprivileged.code, 2);
    assert!(unprivileged.stderr.contains("sudo"), "{}", unprivileged.stderr);
}
