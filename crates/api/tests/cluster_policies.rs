//! Cluster-scoped policies: what is read, the limits of the CRDs, and that a mistake never allows more.

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPortMatch, ClusterSubject, ClusterTier,
    LabelSelector, Object, Operator, PortMatch, Protocol, Requirement, load_text,
};
use support::check;

/// The manifest of a policy; its `spec`, indented by two, starts at line 5.
fn text(kind: &str, version: &str, spec: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: default}}\nspec:\n{spec}\n"
    )
}

#[track_caller]
fn read(sentence: &str, kind: &str, version: &str, spec: &str, expect: &[&str]) -> ClusterPolicy {
    let loaded = check(sentence, &text(kind, version, spec), expect);
    match loaded.objects.into_iter().next() {
        Some(Object::ClusterPolicy(policy)) => policy,
        other => panic!("{sentence}: no policy but {other:?}"),
    }
}

/// A `ClusterNetworkPolicy` v1beta1 with this spec.
#[track_caller]
fn cnp(sentence: &str, spec: &str, expect: &[&str]) -> ClusterPolicy {
    read(sentence, "ClusterNetworkPolicy", "v1beta1", spec, expect)
}

/// The policy whose spec holds one `^`: its one finding is there.
#[track_caller]
fn marked(sentence: &str, kind: &str, version: &str, spec: &str, expect: &str) -> ClusterPolicy {
    let before = &spec[..spec.find('^').expect("a mark")];
    let (line, column) =
        (5 + before.matches('\n').count(), before.rsplit('\n').next().unwrap_or("").len() + 1);
    read(sentence, kind, version, &spec.replace('^', ""), &[&format!("{line}:{column} error {expect}")])
}

fn label(key: &str, value: &str) -> LabelSelector {
    let values = vec![value.to_owned()];
    LabelSelector::new(vec![Requirement { key: key.to_owned(), operator: Operator::In, values }])
}

#[test]
fn a_cluster_network_policy_is_read_with_every_field() {
    let spec = "  tier: Baseline
  priority: 10
  subject:
    namespaces: {matchLabels: {team: a}}
  ingress:
  - name: web
    action: Accept
    from:
    - namespaces: {}
    - pods:
        namespaceSelector: {matchLabels: {team: b}}
        podSelector: {matchLabels: {app: web}}
    protocols:
    - tcp: {destinationPort: {number: 80}}
    - udp: {destinationPort: {range: {start: 1, end: 65535}}}
    - sctp: {destinationPort: {number: 65535}}
    - destinationNamedPort: http
  egress:
  - action: Deny
    to: [{nodes: {}}, {networks: [10.0.0.0/8, \"fd00::/8\"]}]
  - action: Pass
    to: [{pods: {podSelector: {}}}]
  - action: Accept
    to: [{domainNames: [Example.COM., \"*.k8s.io\"]}]";
    for version in ["v1alpha2", "v1beta1"] {
        let policy = read(version, "ClusterNetworkPolicy", version, spec, &[]);
        assert_eq!(policy.kind, ClusterPolicyKind::ClusterNetworkPolicy);
        assert_eq!((policy.tier, policy.priority), (ClusterTier::Baseline, 10));
        assert_eq!((policy.meta.name.as_str(), policy.meta.namespace.as_str()), ("default", ""));
        let everything = LabelSelector::default();
        assert_eq!(
            policy.subject,
            ClusterSubject::Pods { namespaces: label("team", "a"), pods: everything.clone() }
        );
        let rule = &policy.ingress[0];
        assert_eq!((rule.name.as_str(), rule.action, rule.source.line), ("web", Action::Accept, 10));
        let [ClusterPeer::Pods { namespaces, pods, .. }, ClusterPeer::Pods { namespaces: b, pods: web, .. }] =
            &rule.peers[..]
        else {
            panic!("{:?}", rule.peers)
        };
        assert_eq!(
            (namespaces, pods, b, web),
            (&everything, &everything, &label("team", "b"), &label("app", "web"))
        );
        assert_eq!((rule.peers[1].source().line, rule.peers[1].source().column), (14, 7));
        let ports: Vec<&ClusterPortMatch> = rule.ports.iter().flatten().map(|p| &p.matches).collect();
        assert_eq!(
            ports,
            [
                &ClusterPortMatch::Port(Protocol::Tcp, PortMatch::Range(80, 80)),
                &ClusterPortMatch::Port(Protocol::Udp, PortMatch::Range(1, 65535)),
                &ClusterPortMatch::Port(Protocol::Sctp, PortMatch::Range(65535, 65535)),
                &ClusterPortMatch::Named("http".to_owned()),
            ]
        );
        let actions: Vec<Action> = policy.egress.iter().map(|rule| rule.action).collect();
        assert_eq!(actions, [Action::Deny, Action::Pass, Action::Accept]);
        let [ClusterPeer::Nodes { nodes, .. }, ClusterPeer::Networks { networks, .. }] =
            &policy.egress[0].peers[..]
        else {
            panic!("{:?}", policy.egress[0].peers)
        };
        assert!(nodes.is_everything());
        assert_eq!(format!("{networks:?}"), "[10.0.0.0/8, fd00::/8]");
        let ClusterPeer::Domains { names, .. } = &policy.egress[2].peers[0] else { panic!("a domain") };
        assert_eq!(names, &["example.com", "*.k8s.io"]);
        assert_eq!(policy.egress[2].ports, None);
    }
}

#[test]
fn admin_and_baseline_admin_policies_are_read_with_every_field() {
    let rules = "  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}
  ingress:
  - action: Allow
    from: [{namespaces: {matchLabels: {team: a}}}]
    ports:
    - portNumber: {port: 80}
    - portNumber: {protocol: UDP, port: 53}
    - portRange: {protocol: SCTP, start: 1, end: 2}
    - namedPort: http
  egress:
  - action: Deny
    to: [{networks: [0.0.0.0/0]}, {nodes: {}}]";
    let admin = format!("  priority: 1000\n{rules}\n  - action: Pass\n    to: [{{namespaces: {{}}}}]");
    let admin = read("ANP", "AdminNetworkPolicy", "v1alpha1", &admin, &[]);
    let baseline = read("BANP", "BaselineAdminNetworkPolicy", "v1alpha1", rules, &[]);
    assert_eq!((admin.tier, admin.priority), (ClusterTier::Admin, 1000));
    assert_eq!((baseline.tier, baseline.priority), (ClusterTier::Baseline, ClusterPolicy::NO_PRIORITY));
    assert_eq!(admin.egress[1].action, Action::Pass);
    for policy in [&admin, &baseline] {
        let subject = ClusterSubject::Pods { namespaces: LabelSelector::default(), pods: label("app", "db") };
        assert_eq!(policy.subject, subject);
        assert_eq!(policy.ingress[0].action, Action::Accept);
        let ports: Vec<&ClusterPortMatch> =
            policy.ingress[0].ports.iter().flatten().map(|p| &p.matches).collect();
        assert_eq!(
            ports,
            [
                &ClusterPortMatch::Port(Protocol::Tcp, PortMatch::Range(80, 80)),
                &ClusterPortMatch::Port(Protocol::Udp, PortMatch::Range(53, 53)),
                &ClusterPortMatch::Port(Protocol::Sctp, PortMatch::Range(1, 2)),
                &ClusterPortMatch::Named("http".to_owned()),
            ]
        );
        assert_eq!(policy.egress[0].peers.len(), 2);
    }
}

/// A value of the rule's lists that closes it.
fn is_closed(policy: &ClusterPolicy) -> bool {
    policy.ingress.iter().chain(&policy.egress).any(|rule| {
        rule.peers.iter().any(|peer| matches!(peer, ClusterPeer::Unknown(_)))
            || rule.ports.iter().flatten().any(|port| port.matches == ClusterPortMatch::Unknown)
    })
}

const HEAD: &str = "  tier: Admin\n  priority: 1\n  subject: {namespaces: {}}\n";

#[test]
fn case_34_a_peer_that_can_not_be_read_closes_its_rule() {
    for (sentence, peer, expect) in [
        ("nothing set", "^{}", "%: a peer with nothing set"),
        ("null", "^null", "%: a peer with nothing set"),
        ("nulls are nothing", "^{namespaces: , pods: }", "%: a peer with nothing set"),
        ("text", "^all", "%: expected a mapping, found the text `all`"),
        ("an unknown field", "{^services: {}}", "%.services: unknown field `services`"),
        ("a misspelt field", "{^namespace: {}}", "%.namespace: unknown field `namespace`"),
        (
            "NetworkPolicy's field",
            "{^namespaceSelector: {}}",
            "%.namespaceSelector: unknown field `namespaceSelector`",
        ),
        ("two in one", "{namespaces: {}, nodes: ^{}}", "%.nodes: `namespaces` and `nodes` in one entry"),
        (
            "an invalid selector",
            "{namespaces: {matchLabels: {a: ^1}}}",
            "%.namespaces.matchLabels.a: expected text, found the number `1`",
        ),
        (
            "pods without podSelector",
            "{pods: ^{namespaceSelector: {}}}",
            "%.pods.podSelector: `podSelector` is missing",
        ),
        (
            "pods with a field more",
            "{pods: {podSelector: {}, ^nodeSelector: {}}}",
            "%.pods.nodeSelector: unknown field `nodeSelector`",
        ),
        ("pods as a list", "{pods: ^[]}", "%.pods: expected a mapping, found a list"),
        ("an invalid node selector", "{nodes: {^a: b}}", "%.nodes.a: unknown field `a`"),
        ("no networks", "{networks: ^[]}", "%.networks: no networks"),
        (
            "one network without its list",
            "{networks: ^10.0.0.0/8}",
            "%.networks: expected a list, found the text `10.0.0.0/8`",
        ),
        ("no network", "{networks: [10.0.0.0/8, ^x]}", "%.networks[1]: this is no network"),
        ("no domain names", "{domainNames: ^[]}", "%.domainNames: no domain names"),
        ("one label", "{domainNames: [^localhost]}", "%.domainNames[0]: `localhost` is no domain name"),
        (
            "a star in the middle",
            "{domainNames: [^a.*.com]}",
            "%.domainNames[0]: `a.*.com` is no domain name",
        ),
        ("a part of a label", "{domainNames: [^\"*a.com\"]}", "%.domainNames[0]: `*a.com` is no domain name"),
        ("a star alone", "{domainNames: [^\"*\"]}", "%.domainNames[0]: `*` is no domain name"),
        (
            "a star and one label",
            "{domainNames: [^\"*.com\"]}",
            "%.domainNames[0]: `*.com` is no domain name",
        ),
        ("an empty label", "{domainNames: [^a..com]}", "%.domainNames[0]: `a..com` is no domain name"),
    ] {
        let spec = format!("{HEAD}  egress:\n  - action: Accept\n    to: [{peer}]");
        let expect = expect.replace('%', "spec.egress[0].to[0]");
        let found = marked(sentence, "ClusterNetworkPolicy", "v1beta1", &spec, &expect);
        assert!(matches!(found.egress[0].peers[..], [ClusterPeer::Unknown(_)]), "{sentence}");
    }
    for (peer, field) in [
        ("^nodes: {}", "nodes"),
        ("^networks: [10.0.0.0/8]", "networks"),
        ("^domainNames: [a.b]", "domainNames"),
    ] {
        let spec = format!("{HEAD}  ingress:\n  - action: Deny\n    from: [{{{peer}}}]");
        let expect = format!("spec.ingress[0].from[0].{field}: unknown field `{field}`");
        assert!(
            is_closed(&marked("egress only", "ClusterNetworkPolicy", "v1beta1", &spec, &expect)),
            "{field}"
        );
    }
}

#[test]
fn case_34_a_port_that_can_not_be_read_closes_its_rule() {
    for (sentence, port, expect) in [
        ("nothing set", "^{}", "%: a port with nothing set"),
        ("null", "^null", "%: a port with nothing set"),
        ("a lone number", "^80", "%: expected a mapping, found `80`"),
        ("an unknown protocol", "{^icmp: {}}", "%.icmp: unknown field `icmp`"),
        ("a protocol in capitals", "{^TCP: {}}", "%.TCP: unknown field `TCP`"),
        (
            "two protocols",
            "{tcp: {destinationPort: {number: 1}}, udp: ^{}}",
            "%.udp: `tcp` and `udp` in one entry",
        ),
        ("a lone port", "{tcp: ^80}", "%.tcp: expected a mapping, found the number `80`"),
        ("an unknown field", "{tcp: {^port: 80}}", "%.tcp.port: unknown field `port`"),
        ("no number", "{tcp: {destinationPort: ^{}}}", "%.tcp.destinationPort: a port with nothing set"),
        (
            "a port by number",
            "{tcp: {destinationPort: ^80}}",
            "%.tcp.destinationPort: expected a mapping, found `80`",
        ),
        (
            "port 0",
            "{tcp: {destinationPort: {number: ^0}}}",
            "%.tcp.destinationPort.number: 0 is out of range",
        ),
        (
            "port 65536",
            "{tcp: {destinationPort: {number: ^65536}}}",
            "%.tcp.destinationPort.number: 65536 is out of range",
        ),
        (
            "number and range",
            "{tcp: {destinationPort: {number: 1, range: ^{start: 1, end: 2}}}}",
            "%.tcp.destinationPort.range: `number` and `range` in one entry",
        ),
        (
            "no start",
            "{tcp: {destinationPort: {range: ^{end: 2}}}}",
            "%.tcp.destinationPort.range.start: `start` is missing",
        ),
        (
            "no end",
            "{tcp: {destinationPort: {range: ^{start: 2}}}}",
            "%.tcp.destinationPort.range.end: `end` is missing",
        ),
        (
            "a range backwards",
            "{tcp: {destinationPort: {range: ^{start: 2, end: 1}}}}",
            "%.tcp.destinationPort.range: `start` 2 is not below `end` 1",
        ),
        (
            "NetworkPolicy's range",
            "{tcp: {destinationPort: {range: {start: 1, ^endPort: 2}}}}",
            "%.tcp.destinationPort.range.endPort: unknown field `endPort`",
        ),
        ("no port's name", "{destinationNamedPort: ^HTTP}", "%.destinationNamedPort: `HTTP` is no port name"),
        (
            "a number as a name",
            "{destinationNamedPort: ^80}",
            "%.destinationNamedPort: expected text, found the number `80`",
        ),
    ] {
        let spec = format!(
            "{HEAD}  ingress:\n  - action: Deny\n    from: [{{namespaces: {{}}}}]\n    protocols: [{port}]"
        );
        let expect = expect.replace('%', "spec.ingress[0].protocols[0]");
        assert!(
            is_closed(&marked(sentence, "ClusterNetworkPolicy", "v1beta1", &spec, &expect)),
            "{sentence}"
        );
    }
    for (sentence, port, expect) in [
        ("no port", "{portNumber: ^{protocol: TCP}}", "%.portNumber.port: `port` is missing"),
        (
            "an unknown protocol",
            "{portNumber: {protocol: ^ICMP, port: 1}}",
            "%.portNumber.protocol: unknown protocol `ICMP`",
        ),
        (
            "a named number",
            "{portNumber: {port: ^http}}",
            "%.portNumber.port: expected a whole number, found the text `http`",
        ),
        (
            "a range backwards",
            "{portRange: ^{start: 9, end: 3}}",
            "%.portRange: `start` 9 is not below `end` 3",
        ),
        ("NetworkPolicy's field", "{^port: 80}", "%.port: unknown field `port`"),
    ] {
        let spec = format!(
            "  priority: 1\n  subject: {{namespaces: {{}}}}\n  ingress:\n  - action: Deny\n    from: [{{namespaces: {{}}}}]\n    ports: [{port}]"
        );
        let expect = expect.replace('%', "spec.ingress[0].ports[0]");
        assert!(is_closed(&marked(sentence, "AdminNetworkPolicy", "v1alpha1", &spec, &expect)), "{sentence}");
    }
}

#[test]
fn refused_forms_whose_meaning_is_plain_keep_it() {
    for (sentence, port, expect, matches) in [
        ("tcp with nothing", "{tcp: ^{}}", "%.tcp: `tcp` with nothing set", PortMatch::All),
        (
            "a range of one port",
            "{tcp: {destinationPort: {range: ^{start: 7, end: 7}}}}",
            "%.tcp.destinationPort.range: `start` 7 is not below `end` 7",
            PortMatch::Range(7, 7),
        ),
    ] {
        let spec = format!(
            "{HEAD}  ingress:\n  - action: Deny\n    from: [{{namespaces: {{}}}}]\n    protocols: [{port}]"
        );
        let expect = expect.replace('%', "spec.ingress[0].protocols[0]");
        let found = marked(sentence, "ClusterNetworkPolicy", "v1beta1", &spec, &expect);
        let ports = found.ingress[0].ports.as_deref().unwrap_or_default();
        assert_eq!(ports[0].matches, ClusterPortMatch::Port(Protocol::Tcp, matches), "{sentence}");
    }
}

#[test]
fn a_rule_with_a_mistake_is_closed() {
    for (sentence, rule, expect) in [
        ("text", "^deny", "%: expected a mapping, found the text `deny`"),
        ("no action", "^{from: [{namespaces: {}}]}", "%.action: `action` is missing"),
        ("an unknown action", "{action: ^Drop, from: [{namespaces: {}}]}", "%.action: unknown action `Drop`"),
        (
            "the action of another kind",
            "{action: ^Allow, from: [{namespaces: {}}]}",
            "%.action: unknown action `Allow`",
        ),
        ("no from", "^{action: Deny}", "%.from: `from` is missing"),
        (
            "from is no list",
            "{action: Deny, from: ^{namespaces: {}}}",
            "%.from: expected a list, found a mapping",
        ),
        (
            "the ports of another kind",
            "{action: Accept, from: [{namespaces: {}}], ^ports: []}",
            "%.ports: unknown field `ports`",
        ),
        (
            "to in ingress",
            "{action: Accept, from: [{namespaces: {}}], to: ^[]}",
            "%.to: rules of `ingress` have no `to`",
        ),
        (
            "no protocols",
            "{action: Deny, from: [{namespaces: {}}], protocols: ^[]}",
            "%.protocols: an empty `protocols` is neither every port nor none",
        ),
        (
            "protocols is no list",
            "{action: Deny, from: [{namespaces: {}}], protocols: ^tcp}",
            "%.protocols: expected a list, found the text `tcp`",
        ),
    ] {
        let spec = format!("{HEAD}  ingress: [{rule}]");
        let expect = expect.replace('%', "spec.ingress[0]");
        let found = marked(sentence, "ClusterNetworkPolicy", "v1beta1", &spec, &expect);
        assert!(is_closed(&found), "{sentence}");
        let denies = !rule.contains("Accept");
        assert_eq!(found.ingress[0].action == Action::Deny, denies, "{sentence}");
    }
    let spec = format!("{HEAD}  ingress: [{{action: Deny, from: ^[]}}]");
    let expect = "spec.ingress[0].from: a rule without peers matches nothing";
    let found = marked("an empty list", "ClusterNetworkPolicy", "v1beta1", &spec, expect);
    assert_eq!((found.ingress[0].action, &found.ingress[0].peers[..]), (Action::Deny, &[][..]));
}

#[test]
fn rules_that_can_not_be_read_deny_everything_of_their_direction() {
    for (sentence, fields, expect, ingress, egress) in [
        ("a misspelt ingress", "  ^ingres: [{}]", "spec.ingres: unknown field `ingres`", true, false),
        ("a misspelt egress", "  ^egres: []", "spec.egres: unknown field `egres`", false, true),
        ("egress is no list", "  egress: ^{}", "spec.egress: expected a list, found a mapping", false, true),
        ("a field of nothing", "  ^vendor: 1", "spec.vendor: unknown field `vendor`", false, false),
    ] {
        let found = marked(sentence, "ClusterNetworkPolicy", "v1beta1", &format!("{HEAD}{fields}"), expect);
        let closed = |rules: &[podgate_api::ClusterRule]| {
            rules.iter().any(|r| r.action == Action::Deny && matches!(r.peers[..], [ClusterPeer::Unknown(_)]))
        };
        assert_eq!((closed(&found.ingress), closed(&found.egress)), (ingress, egress), "{sentence}");
    }
    for (spec, closed) in [(" all", true), (" [1]", true), ("", false)] {
        let text = format!(
            "apiVersion: policy.networking.k8s.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {{name: p}}\nspec:{spec}\n"
        );
        let loaded = load_text("t", &text);
        let [Object::ClusterPolicy(found)] = &loaded.objects[..] else { panic!("one policy") };
        assert!(loaded.has_errors() && found.subject == ClusterSubject::Unknown, "{spec}");
        assert_eq!(is_closed(found), closed, "{spec}");
    }
}

#[test]
fn case_34_a_subject_that_can_not_be_read_is_unknown() {
    for (sentence, subject, expect) in [
        ("nothing set", "^{}", "spec.subject: a subject with nothing set"),
        ("an unknown field", "{^podSelector: {}}", "spec.subject.podSelector: unknown field `podSelector`"),
        ("nodes", "{^nodes: {}}", "spec.subject.nodes: unknown field `nodes`"),
        (
            "two",
            "{namespaces: {}, pods: ^{podSelector: {}}}",
            "spec.subject.pods: `namespaces` and `pods` in one entry",
        ),
        ("a list", "^[]", "spec.subject: expected a mapping, found a list"),
        (
            "an invalid selector",
            "{namespaces: {matchLabels: ^[]}}",
            "spec.subject.namespaces.matchLabels: expected a mapping, found a list",
        ),
    ] {
        let spec = format!("  tier: Admin\n  priority: 1\n  subject: {subject}");
        let found = marked(sentence, "ClusterNetworkPolicy", "v1beta1", &spec, expect);
        assert_eq!(found.subject, ClusterSubject::Unknown, "{sentence}");
    }
    let found =
        cnp("absent", "  tier: Admin\n  priority: 1", &["5:3 error spec.subject: `subject` is missing"]);
    assert_eq!(found.subject, ClusterSubject::Unknown);
}

#[test]
fn without_a_readable_place_a_policy_only_denies_and_denies_first() {
    let rules = "  subject: {namespaces: {}}
  ingress:
  - {action: Accept, from: [{namespaces: {}}]}
  - {action: Pass, from: [{namespaces: {}}]}
  - {action: Deny, from: [{namespaces: {}}]}";
    for (sentence, fields, expect, tier) in [
        ("no tier", "  priority: 7", "5:3 error spec.tier: `tier` is missing", ClusterTier::Admin),
        (
            "an unknown tier",
            "  priority: 7\n  tier: Base",
            "6:9 error spec.tier: unknown tier `Base`",
            ClusterTier::Admin,
        ),
        (
            "no priority",
            "  tier: Baseline",
            "5:3 error spec.priority: `priority` is missing",
            ClusterTier::Baseline,
        ),
        (
            "a negative priority",
            "  tier: Admin\n  priority: -1",
            "6:13 error spec.priority: -1 is out of range",
            ClusterTier::Admin,
        ),
        (
            "a large priority",
            "  tier: Admin\n  priority: 1001",
            "6:13 error spec.priority: 1001 is out of range",
            ClusterTier::Admin,
        ),
        (
            "a priority as text",
            "  tier: Admin\n  priority: \"1\"",
            "6:13 error spec.priority: expected a whole number, found the text `1`",
            ClusterTier::Admin,
        ),
    ] {
        let found = cnp(sentence, &format!("{fields}\n{rules}"), &[expect]);
        assert_eq!((found.tier, found.priority), (tier, 0), "{sentence}");
        let rules: Vec<(Action, usize)> = found.ingress.iter().map(|r| (r.action, r.peers.len())).collect();
        assert_eq!(rules, [(Action::Accept, 0), (Action::Deny, 1), (Action::Deny, 1)], "{sentence}");
    }
}

#[test]
fn case_38_limits_of_the_crds_hold() {
    let many = |n: usize, entry: &str| vec![entry; n].join(", ");
    let rule = "{action: Deny, from: [{namespaces: {}}]}";
    for (kind, version, most) in [
        ("ClusterNetworkPolicy", "v1beta1", 25),
        ("ClusterNetworkPolicy", "v1alpha2", 25),
        ("AdminNetworkPolicy", "v1alpha1", 100),
    ] {
        let head =
            if kind == "AdminNetworkPolicy" { HEAD.replace("  tier: Admin\n", "") } else { HEAD.to_owned() };
        let (ports, port) = match kind {
            "AdminNetworkPolicy" => ("ports", "{namedPort: http}"),
            _ => ("protocols", "{destinationNamedPort: http}"),
        };
        for (what, list) in [
            ("rules", format!("ingress: [{}]", many(most, rule))),
            ("peers", format!("egress: [{{action: Deny, to: [{}]}}]", many(most, "{namespaces: {}}"))),
            (
                "ports",
                format!(
                    "ingress: [{{action: Deny, from: [{{namespaces: {{}}}}], {ports}: [{}]}}]",
                    many(most, port)
                ),
            ),
        ] {
            let spec = format!("{head}  {list}");
            read(what, kind, version, &spec, &[]);
            let entry = match what {
                "rules" => rule,
                "peers" => "{namespaces: {}}",
                _ => port,
            };
            let more = spec.replacen(&format!("[{entry}, "), &format!("[{entry}, {entry}, "), 1);
            let loaded = load_text("t", &text(kind, version, &more));
            let messages: Vec<&str> = loaded.diagnostics.iter().map(|d| d.message.as_str()).collect();
            assert_eq!(messages, [format!("more than {most} {what} in one list")], "{kind} {what}");
            assert!(loaded.diagnostics[0].field.ends_with(&format!("[{most}]")));
        }
    }
    for (field, what, entry) in
        [("networks", "networks", "10.0.%.0/24"), ("domainNames", "domain names", "a%.com")]
    {
        for n in [25, 26] {
            let entries: Vec<String> = (0..n).map(|i| entry.replace('%', &i.to_string())).collect();
            let spec =
                format!("{HEAD}  egress: [{{action: Accept, to: [{{{field}: [{}]}}]}}]", entries.join(", "));
            let loaded = load_text("t", &text("ClusterNetworkPolicy", "v1beta1", &spec));
            let messages: Vec<String> = loaded.diagnostics.iter().map(|d| d.message.clone()).collect();
            let expect: Vec<String> =
                (n > 25).then(|| format!("more than 25 {what} in one list")).into_iter().collect();
            assert_eq!(messages, expect);
        }
        let twice = entry.replace('%', "1");
        let spec = format!("{HEAD}  egress: [{{action: Accept, to: [{{{field}: [{twice}, ^{twice}]}}]}}]");
        let expect = format!("spec.egress[0].to[0].{field}[1]: `{twice}` is there twice");
        let found = marked("a set", "ClusterNetworkPolicy", "v1beta1", &spec, &expect);
        assert!(!is_closed(&found));
    }
    let name = "n".repeat(101);
    let spec = format!("{HEAD}  ingress: [{{name: ^{name}, action: Deny, from: [{{namespaces: {{}}}}]}}]");
    let found = marked(
        "a long name",
        "ClusterNetworkPolicy",
        "v1beta1",
        &spec,
        "spec.ingress[0].name: a rule's name has more than 100 characters",
    );
    assert_eq!(found.ingress[0].name, name);
    cnp("a name of 100", &spec.replace('^', "").replace(&name, &name[1..]), &[]);
}

#[test]
fn case_36_domain_names_can_only_be_accepted() {
    for action in ["Deny", "Pass"] {
        let spec = format!("{HEAD}  egress: [{{action: {action}, to: [^{{domainNames: [a.b]}}]}}]");
        let expect = "spec.egress[0].to[0]: `domainNames` can only be accepted: DNS never tells all addresses of a name";
        assert!(is_closed(&marked(action, "ClusterNetworkPolicy", "v1beta1", &spec, expect)));
    }
    let spec = "  subject: {namespaces: {}}\n  egress: [{action: Allow, to: [{^domainNames: [a.b]}]}]";
    let expect = "spec.egress[0].to[0].domainNames: unknown field `domainNames`";
    marked("the baseline has none", "BaselineAdminNetworkPolicy", "v1alpha1", spec, expect);
}

#[test]
fn case_38_named_ports_need_pods() {
    for peer in ["{nodes: {}}", "{networks: [10.0.0.0/8]}", "{domainNames: [a.b]}"] {
        let spec = format!(
            "{HEAD}  egress:\n  - action: Accept\n    to: [{{namespaces: {{}}}}, {peer}]\n    protocols: [{{tcp: {{destinationPort: {{number: 1}}}}}}, ^{{destinationNamedPort: http}}]"
        );
        let expect = "spec.egress[0].protocols[1]: a named port in a rule about `nodes`, `networks` or `domainNames`, which have no port names";
        assert!(is_closed(&marked(peer, "ClusterNetworkPolicy", "v1beta1", &spec, expect)), "{peer}");
    }
}

#[test]
fn networks_in_unusual_forms_are_used_masked_and_refused_where_the_api_refuses_them() {
    for (written, used, finding, severities) in [
        ("10.0.0.5/8", "10.0.0.0/8", "address bits beyond the prefix length", ["error", "warning"]),
        ("\"::ffff:10.0.0.0/104\"", "10.0.0.0/8", "an IPv4 network written as IPv6", ["error", "error"]),
        ("010.1.0.0/16", "10.1.0.0/16", "octets with leading zeros", ["error", "error"]),
    ] {
        for (version, severity) in ["v1beta1", "v1alpha2"].into_iter().zip(severities) {
            let spec =
                format!("{HEAD}  egress:\n  - action: Deny\n    to:\n    - networks:\n      - {written}");
            let expect =
                format!("12:9 {severity} spec.egress[0].to[0].networks[0]: {finding}: used as {used}");
            let found = read(written, "ClusterNetworkPolicy", version, &spec, &[&expect]);
            let ClusterPeer::Networks { networks, .. } = &found.egress[0].peers[0] else {
                panic!("networks")
            };
            assert_eq!(networks[0].to_string(), used);
        }
    }
}

#[test]
fn the_baseline_admin_policy_has_one_name_and_two_actions() {
    let spec = "  subject: {namespaces: {}}\n  ingress: [{action: ^Pass, from: [{namespaces: {}}]}]";
    marked(
        "no Pass",
        "BaselineAdminNetworkPolicy",
        "v1alpha1",
        spec,
        "spec.ingress[0].action: unknown action `Pass`",
    );
    let text = text("BaselineAdminNetworkPolicy", "v1alpha1", "  subject: {namespaces: {}}")
        .replace("name: default", "name: base");
    check(
        "another name",
        &text,
        &["3:18 error metadata.name: a cluster has one BaselineAdminNetworkPolicy, named `default`"],
    );
}

#[test]
fn kinds_versions_and_scope_are_checked() {
    let old = text("ClusterNetworkPolicy", "v1alpha1", HEAD.trim_end());
    check(
        "a version that never was",
        &old,
        &["1:13 error apiVersion: there is no ClusterNetworkPolicy in `policy.networking.k8s.io/v1alpha1`"],
    );
    let namespaced = text("ClusterNetworkPolicy", "v1beta1", HEAD.trim_end())
        .replace("{name: default}", "{name: a, namespace: b}");
    let loaded = check(
        "a namespace",
        &namespaced,
        &["3:32 warning metadata.namespace: this kind belongs to no namespace"],
    );
    assert_eq!(loaded.objects[0].key().to_string(), "ClusterNetworkPolicy a");
    let nameless = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nspec: {priority: 1, subject: {namespaces: {}}}\n";
    let loaded = check("no name", nameless, &["1:1 error metadata.name: the object has no name"]);
    assert_eq!(loaded.objects[0].meta().name, "unnamed-1");
    let list = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicyList\nitems:\n- metadata: {name: a}\n  spec: {priority: 1, subject: {namespaces: {}}}\n";
    assert_eq!(check("a list", list, &[]).objects.len(), 1);
}

#[test]
fn findings_say_what_to_write() {
    for (spec, help) in [
        (
            format!("{HEAD}  ingress: [{{action: deny, from: [{{namespaces: {{}}}}]}}]"),
            "did you mean `Deny`?",
        ),
        (
            format!("{HEAD}  ingress: [{{action: Drop, from: [{{namespaces: {{}}}}]}}]"),
            "write `Accept`, `Deny` or `Pass`",
        ),
        ("  tier: admin\n  priority: 1\n  subject: {namespaces: {}}".to_owned(), "did you mean `Admin`?"),
        (
            format!("{HEAD}  egress: [{{action: Deny, to: [{{networks: [10.0.0.5/8]}}]}}]"),
            "write `10.0.0.0/8`",
        ),
        (format!("{HEAD}  egress: [{{action: Deny, from: []}}]"), "write `to`"),
        (format!("{HEAD}  ingress: [{{action: Deny, from: [{{}}]}}]"), "set one of `namespaces` or `pods`"),
    ] {
        let loaded = load_text("t", &text("ClusterNetworkPolicy", "v1beta1", &spec));
        let helps: Vec<&str> = loaded.diagnostics.iter().map(|d| d.help.as_str()).collect();
        assert!(helps.contains(&help), "{spec}: {helps:?}");
    }
}
