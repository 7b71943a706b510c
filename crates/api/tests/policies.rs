//! NetworkPolicy: defaults, validation, and that a mistake never allows more.

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

use podgate_api::{
    IpBlock, LabelSelector, NetworkPolicy, Operator, Peer, PodPeer, PolicyPort, PortMatch, Protocol,
    Requirement, Rule,
};
use support::{policy, policy_text};

/// The policy with this spec, whose one finding is at the `^`.
#[track_caller]
fn marked(sentence: &str, spec: &str, expect: &str) -> NetworkPolicy {
    let before = &spec[..spec.find('^').expect("a mark")];
    let (line, column) =
        (5 + before.matches('\n').count(), before.rsplit('\n').next().unwrap_or("").len() + 1);
    policy(sentence, &spec.replace('^', ""), &[&format!("{line}:{column} {expect}")])
}

/// The line and column of a place.
fn at(source: &podgate_api::Source) -> (u32, u32) {
    (source.line, source.column)
}

#[test]
fn case_8_policy_types_default_as_in_the_api() {
    for (sentence, spec, ingress, egress) in [
        ("absent without egress rules is ingress only", "  podSelector: {}", true, false),
        ("absent with ingress rules is ingress only", "  podSelector: {}\n  ingress: [{}]", true, false),
        ("absent with an egress rule is both", "  podSelector: {}\n  egress: [{}]", true, true),
        ("absent with an empty egress list is ingress only", "  podSelector: {}\n  egress: []", true, false),
        ("null is absent", "  podSelector: {}\n  policyTypes:\n  egress: [{}]", true, true),
        ("an empty list is absent", "  podSelector: {}\n  policyTypes: []\n  egress: [{}]", true, true),
        ("an empty list without egress is ingress", "  podSelector: {}\n  policyTypes: []", true, false),
        (
            "only egress ignores ingress rules",
            "  podSelector: {}\n  policyTypes: [Egress]\n  ingress: [{}]",
            false,
            true,
        ),
        (
            "only ingress ignores egress rules",
            "  podSelector: {}\n  policyTypes: [Ingress]\n  egress: [{}]",
            true,
            false,
        ),
        ("both are both", "  podSelector: {}\n  policyTypes: [Ingress, Egress]", true, true),
    ] {
        let found = policy(sentence, spec, &[]);
        assert_eq!((found.ingress_in_force, found.egress_in_force), (ingress, egress), "{sentence}");
    }
}

#[test]
fn unreadable_policy_types_close_both_directions() {
    for (sentence, spec, expect, force) in [
        (
            "wrong case is an error, and meant",
            "  podSelector: {}\n  policyTypes: [egress]",
            "6:17 error spec.policyTypes[0]: unknown policy type `egress`",
            (false, true),
        ),
        (
            "an unknown type closes both",
            "  podSelector: {}\n  policyTypes: [Ingres]",
            "6:17 error spec.policyTypes[0]: unknown policy type `Ingres`",
            (true, true),
        ),
        (
            "text instead of a list closes both",
            "  podSelector: {}\n  policyTypes: Ingress",
            "6:16 error spec.policyTypes: expected a list, found the text `Ingress`",
            (true, true),
        ),
        (
            "a misspelt field closes both",
            "  podSelector: {}\n  policytypes: [Egress]",
            "6:3 error spec.policytypes: unknown field `policytypes`",
            (true, true),
        ),
        (
            "a misspelt egress counts as egress",
            "  podSelector: {}\n  egres: [{}]",
            "6:3 error spec.egres: unknown field `egres`",
            (true, true),
        ),
        (
            "an egress that is no list counts as egress",
            "  podSelector: {}\n  egress: {}",
            "6:11 error spec.egress: expected a list, found a mapping",
            (true, true),
        ),
        (
            "three types are too many",
            "  podSelector: {}\n  policyTypes: [Ingress, Egress, Ingress]",
            "6:16 error spec.policyTypes: more than two policy types",
            (true, true),
        ),
    ] {
        let found = policy(sentence, spec, &[expect]);
        assert_eq!((found.ingress_in_force, found.egress_in_force), force, "{sentence}");
        let closed = |rule: &Rule| rule.peers == Some(vec![]);
        assert!(found.egress.iter().all(closed), "{sentence}");
    }
}

#[test]
fn case_7_absent_and_empty_lists_are_the_same() {
    for rules in ["", "  ingress:", "  ingress: []"] {
        let found = policy("no rules allow nothing", &format!("  podSelector: {{}}\n{rules}"), &[]);
        assert_eq!((found.ingress_in_force, found.ingress.len()), (true, 0));
    }
    for rule in ["{}", "{from: , ports: }", "{from: [], ports: []}"] {
        let found =
            policy("an empty rule allows all", &format!("  podSelector: {{}}\n  ingress: [{rule}]"), &[]);
        assert_eq!((&found.ingress[0].peers, &found.ingress[0].ports), (&None, &None), "{rule}");
    }
}

#[test]
fn empty_entries_mean_what_the_api_server_makes_of_them() {
    let found = policy(
        "a rule that is null is the empty rule",
        "  podSelector: {}\n  ingress:\n  -",
        &["7:4 warning spec.ingress[0]: an empty entry counts as `{}`: it allows everything"],
    );
    assert_eq!((&found.ingress[0].peers, &found.ingress[0].ports), (&None, &None));
    let found = policy(
        "a port that is null is every TCP port",
        "  podSelector: {}\n  ingress:\n  - ports: [null]",
        &["7:13 warning spec.ingress[0].ports[0]: an empty entry counts as `{}`: every TCP port"],
    );
    assert_eq!(found.ingress[0].ports.as_ref().map(|ports| ports[0].port.clone()), Some(PortMatch::All));
    policy(
        "a policy without podSelector selects all",
        "  ingress: []",
        &["5:3 warning spec.podSelector: a policy without `podSelector` selects every pod of its namespace"],
    );
}

#[test]
fn rules_peers_and_ports_know_their_places() {
    let found = policy(
        "block style",
        "  podSelector:
    matchLabels:
      app: db
  ingress:
  - from:
    - podSelector: {}
    - namespaceSelector: {}
      podSelector: {matchLabels: {a: b}}
    # a comment
    - ipBlock:
        cidr: 10.0.0.0/8
        except:
        - 10.1.0.0/16
    ports:
    - port: 80
      endPort: 90
    -
      protocol: UDP
  egress:
  -
    to: [{podSelector: {}}]
    ports: [{port: http}, {protocol: SCTP}]",
        &[],
    );
    assert_eq!(at(&found.meta.source), (1, 1));
    let rule = &found.ingress[0];
    assert_eq!(at(&rule.source), (9, 5));
    let peers = rule.peers.as_deref().unwrap_or_default();
    let places: Vec<(u32, u32)> = peers
        .iter()
        .map(|peer| match peer {
            Peer::Pods(PodPeer { source, .. }) | Peer::IpBlock(IpBlock { source, .. }) => at(source),
        })
        .collect();
    assert_eq!(places, [(10, 7), (11, 7), (14, 7)]);
    let ports = |rule: &Rule| -> Vec<(u32, u32, Protocol, PortMatch)> {
        let ports = rule.ports.iter().flatten();
        ports
            .map(|PolicyPort { protocol, port, source }| {
                (source.line, source.column, *protocol, port.clone())
            })
            .collect()
    };
    assert_eq!(
        ports(rule),
        [(19, 7, Protocol::Tcp, PortMatch::Range(80, 90)), (22, 7, Protocol::Udp, PortMatch::All)]
    );
    assert_eq!(at(&found.egress[0].source), (25, 5));
    assert_eq!(
        ports(&found.egress[0]),
        [
            (26, 13, Protocol::Tcp, PortMatch::Named("http".to_owned())),
            (26, 27, Protocol::Sctp, PortMatch::All)
        ]
    );
    let Some(Peer::IpBlock(block)) = peers.get(2) else { panic!("the third peer is a block") };
    assert_eq!(
        (block.cidr.to_string(), block.except[0].to_string()),
        ("10.0.0.0/8".into(), "10.1.0.0/16".into())
    );
}

#[test]
fn case_1_selectors_are_normalised() {
    let spec = "  podSelector:
    matchLabels: {app: db, tier: }
    matchExpressions:
    - {key: app, operator: In, values: [db]}
    - {key: x/y, operator: NotIn, values: [b, a, b]}
    - {key: e, operator: Exists}
    - {key: d, operator: DoesNotExist, values: []}";
    let found = policy(
        "all operators",
        spec,
        &["6:32 warning spec.podSelector.matchLabels.tier: no value counts as the empty text"],
    );
    let one = |key: &str, operator, values: &[&str]| Requirement {
        key: key.to_owned(),
        operator,
        values: values.iter().map(ToString::to_string).collect(),
    };
    let expect = LabelSelector::new(vec![
        one("app", Operator::In, &["db"]),
        one("tier", Operator::In, &[""]),
        one("x/y", Operator::NotIn, &["a", "b"]),
        one("e", Operator::Exists, &[]),
        one("d", Operator::DoesNotExist, &[]),
    ]);
    assert_eq!(found.pod_selector, expect);
}

#[test]
fn case_5_an_invalid_selector_is_reported_and_fails_closed() {
    for (sentence, selector, expect) in [
        (
            "a number is no value",
            "{matchLabels: {a: ^1}}",
            "error %.matchLabels.a: expected text, found the number `1`",
        ),
        (
            "yes is a boolean",
            "{matchLabels: {a: ^yes}}",
            "error %.matchLabels.a: expected text, found the boolean `yes`",
        ),
        (
            "a version is a number",
            "{matchLabels: {a: ^1.0}}",
            "error %.matchLabels.a: expected text, found the number `1.0`",
        ),
        (
            "a value has a syntax",
            "{matchLabels: {a: ^-b}}",
            "error %.matchLabels.a: `-b` is no valid label value",
        ),
        (
            "a key has a syntax",
            "{matchLabels: {a b: ^c}}",
            "error %.matchLabels[a b]: `a b` is no valid label key",
        ),
        (
            "a prefix is a DNS name",
            "{matchLabels: {A/b: ^c}}",
            "error %.matchLabels[A/b]: `A/b` is no valid label key",
        ),
        ("a misspelt field", "{^matchlabels: {a: b}}", "error %.matchlabels: unknown field `matchlabels`"),
        ("labels without matchLabels", "{^app: db}", "error %.app: unknown field `app`"),
        ("text is no selector", "^app", "error %: expected a mapping, found the text `app`"),
        (
            "a list is no mapping",
            "{matchLabels: ^[a]}",
            "error %.matchLabels: expected a mapping, found a list",
        ),
        (
            "an unknown operator",
            "{matchExpressions: [{key: a, operator: ^in, values: [b]}]}",
            "error %.matchExpressions[0].operator: unknown operator `in`",
        ),
        (
            "In needs values",
            "{matchExpressions: [^{key: a, operator: In}]}",
            "error %.matchExpressions[0].values: `In` and `NotIn` need values",
        ),
        (
            "NotIn needs values",
            "{matchExpressions: [{key: a, operator: NotIn, values: ^[]}]}",
            "error %.matchExpressions[0].values: `In` and `NotIn` need values",
        ),
        (
            "Exists takes no values",
            "{matchExpressions: [{key: a, operator: Exists, values: ^[b]}]}",
            "error %.matchExpressions[0].values: `Exists` and `DoesNotExist` take no values",
        ),
        (
            "a key is needed",
            "{matchExpressions: [^{operator: Exists}]}",
            "error %.matchExpressions[0].key: `key` is missing",
        ),
        (
            "an operator is needed",
            "{matchExpressions: [^{key: a}]}",
            "error %.matchExpressions[0].operator: `operator` is missing",
        ),
        (
            "a value of a list has a syntax",
            "{matchExpressions: [{key: a, operator: In, values: [b, ^7]}]}",
            "error %.matchExpressions[0].values[1]: expected text, found the number `7`",
        ),
        (
            "an unknown field of an expression",
            "{matchExpressions: [{key: a, operator: Exists, ^value: b}]}",
            "error %.matchExpressions[0].value: unknown field `value`",
        ),
    ] {
        let found =
            marked(sentence, &format!("  podSelector: {selector}"), &expect.replace('%', "spec.podSelector"));
        assert!(found.pod_selector.is_invalid(), "{sentence}");

        let spec = format!("  podSelector: {{}}\n  ingress: [{{from: [{{podSelector: {selector}}}]}}]");
        let found = marked(sentence, &spec, &expect.replace('%', "spec.ingress[0].from[0].podSelector"));
        let Some([Peer::Pods(peer)]) = found.ingress[0].peers.as_deref() else {
            panic!("{sentence}: one peer")
        };
        assert!(peer.pods.as_ref().is_some_and(LabelSelector::is_invalid), "{sentence}");
    }
    let found = policy(
        "a misspelt podSelector is no empty one",
        "  podselector: {}",
        &["5:3 error spec.podselector: unknown field `podselector`"],
    );
    assert!(found.pod_selector.is_invalid());
}

#[test]
fn a_peer_with_a_mistake_is_dropped_and_its_rule_does_not_widen() {
    for (sentence, peer, expect) in [
        ("case 2: nothing set", "^{}", "error %: a peer with nothing set"),
        ("case 2: null", "^null", "error %: a peer with nothing set"),
        ("nulls are nothing", "^{podSelector: }", "error %: a peer with nothing set"),
        ("an unknown field", "{^podselector: {}}", "error %.podselector: unknown field `podselector`"),
        ("an unknown field more", "{podSelector: {}, ^x: 1}", "error %.x: unknown field `x`"),
        ("text", "^all", "error %: expected a mapping, found the text `all`"),
        (
            "a block with a selector",
            "{podSelector: {}, ipBlock: ^{cidr: 10.0.0.0/8}}",
            "error %.ipBlock: `ipBlock` can't be combined with selectors",
        ),
        ("no cidr", "{ipBlock: ^{except: []}}", "error %.ipBlock.cidr: `cidr` is missing"),
        (
            "an address is no network",
            "{ipBlock: {cidr: ^10.0.0.1}}",
            "error %.ipBlock.cidr: a network needs a prefix length",
        ),
        (
            "a length out of range",
            "{ipBlock: {cidr: ^10.0.0.0/33}}",
            "error %.ipBlock.cidr: the prefix length is out of range",
        ),
        ("no network at all", "{ipBlock: {cidr: ^any/0}}", "error %.ipBlock.cidr: this is no network"),
        (
            "case 15: an except outside its block",
            "{ipBlock: {cidr: 10.0.0.0/8, except: [^11.0.0.0/16]}}",
            "error %.ipBlock.except[0]: 11.0.0.0/16 is no strict part of 10.0.0.0/8",
        ),
        (
            "case 15: an except as large as its block",
            "{ipBlock: {cidr: 10.0.0.0/8, except: [^10.0.0.0/8]}}",
            "error %.ipBlock.except[0]: 10.0.0.0/8 is no strict part of 10.0.0.0/8",
        ),
        (
            "an except of the other family",
            "{ipBlock: {cidr: 10.0.0.0/8, except: [^\"fd00::/16\"]}}",
            "error %.ipBlock.except[0]: fd00::/16 is no strict part of 10.0.0.0/8",
        ),
        (
            "an except that can't be read",
            "{ipBlock: {cidr: 10.0.0.0/8, except: [^x]}}",
            "error %.ipBlock.except[0]: this is no network",
        ),
        (
            "a misspelt except",
            "{ipBlock: {cidr: 10.0.0.0/8, ^excepts: []}}",
            "error %.ipBlock.excepts: unknown field `excepts`",
        ),
        (
            "an except that is no list",
            "{ipBlock: {cidr: ::/0, except: ^::/1}}",
            "error %.ipBlock.except: expected a list, found the text `::/1`",
        ),
    ] {
        let spec = format!("  podSelector: {{}}\n  egress:\n  - to: [{peer}]");
        let found = marked(sentence, &spec, &expect.replace('%', "spec.egress[0].to[0]"));
        assert_eq!(found.egress[0].peers, Some(vec![]), "{sentence}");
        assert!(found.egress_in_force, "{sentence}");
    }
}

#[test]
fn a_port_with_a_mistake_is_dropped_and_its_rule_does_not_widen() {
    for (sentence, port, expect) in [
        ("a lone number", "^80", "error %: expected a mapping, found a lone port"),
        ("a lone list", "^[80]", "error %: expected a number or a name, found a list"),
        ("case 11: zero", "{port: ^0}", "error %.port: 0 is out of range"),
        ("case 11: above 65535", "{port: ^65536}", "error %.port: 65536 is out of range"),
        ("a quoted number", "{port: ^\"80\"}", "error %.port: `80` is no port"),
        ("a name with capitals", "{port: ^HTTP}", "error %.port: `HTTP` is no port"),
        (
            "a name that is too long",
            "{port: ^a234567890123456}",
            "error %.port: `a234567890123456` is no port",
        ),
        ("a fraction", "{port: ^80.5}", "error %.port: expected a number or a name, found the number `80.5`"),
        ("a boolean", "{port: ^yes}", "error %.port: expected a number or a name, found the boolean `yes`"),
        (
            "case 11: the range backwards",
            "{port: 90, endPort: ^80}",
            "error %.endPort: `endPort` 80 is below `port` 90",
        ),
        (
            "case 11: a named range",
            "{port: http, endPort: ^80}",
            "error %.endPort: `endPort` needs a numeric `port`",
        ),
        ("endPort alone", "{endPort: ^80}", "error %.endPort: `endPort` without `port`"),
        ("endPort out of range", "{port: 80, endPort: ^70000}", "error %.endPort: 70000 is out of range"),
        (
            "endPort as text",
            "{port: 80, endPort: ^\"90\"}",
            "error %.endPort: expected a whole number, found the text `90`",
        ),
        ("a protocol in lower case", "{protocol: ^tcp}", "error %.protocol: unknown protocol `tcp`"),
        ("a protocol without ports", "{protocol: ^ICMP}", "error %.protocol: unknown protocol `ICMP`"),
        ("a protocol by number", "{protocol: ^6}", "error %.protocol: expected text, found the number `6`"),
        ("an unknown field", "{port: 80, ^endport: 90}", "error %.endport: unknown field `endport`"),
    ] {
        let spec = format!("  podSelector: {{}}\n  ingress:\n  - ports: [{port}]");
        let found = marked(sentence, &spec, &expect.replace('%', "spec.ingress[0].ports[0]"));
        assert_eq!(found.ingress[0].ports, Some(vec![]), "{sentence}");
    }
}

#[test]
fn what_is_left_of_a_list_stays() {
    let found = policy(
        "one good peer and port among bad ones",
        "  podSelector: {}\n  ingress:\n  - from: [{}, {podSelector: {}}]\n    ports: [{port: 0}, {port: 1}, {port: 65535}]",
        &[
            "7:12 error spec.ingress[0].from[0]: a peer with nothing set",
            "8:20 error spec.ingress[0].ports[0].port: 0 is out of range",
        ],
    );
    let rule = &found.ingress[0];
    assert_eq!(rule.peers.as_ref().map(Vec::len), Some(1));
    let ports: Vec<&PortMatch> = rule.ports.iter().flatten().map(|port| &port.port).collect();
    assert_eq!(ports, [&PortMatch::Range(1, 1), &PortMatch::Range(65535, 65535)]);
}

#[test]
fn a_rule_with_a_mistake_allows_nothing() {
    for (sentence, rule, expect) in [
        (
            "a misspelt from",
            "{form: [{podSelector: {}}]}",
            "6:14 error spec.ingress[0].form: unknown field `form`",
        ),
        (
            "to in an ingress rule",
            "{to: [{podSelector: {}}]}",
            "6:18 error spec.ingress[0].to: rules of `ingress` have no `to`",
        ),
        ("a misspelt ports", "{port: [{port: 80}]}", "6:14 error spec.ingress[0].port: unknown field `port`"),
        ("text", "allow", "6:13 error spec.ingress[0]: expected a mapping, found the text `allow`"),
        (
            "from that is no list",
            "{from: {podSelector: {}}}",
            "6:20 error spec.ingress[0].from: expected a list, found a mapping",
        ),
    ] {
        let found = policy(sentence, &format!("  podSelector: {{}}\n  ingress: [{rule}]"), &[expect]);
        assert_eq!(found.ingress[0].peers, Some(vec![]), "{sentence}");
    }
}

#[test]
fn findings_say_what_to_write() {
    for (spec, help) in [
        ("  podSelector: {matchLabels: {a: yes}}", "quote it: \"yes\""),
        ("  podselector: {}", "did you mean `podSelector`?"),
        ("  podSelector: {}\n  ingres: []", "did you mean `ingress`?"),
        ("  podSelector: {}\n  ingress: [{form: []}]", "did you mean `from`?"),
        ("  podSelector: {}\n  ingress: [{to: []}]", "write `from`"),
        ("  podSelector: {}\n  ingress: [{ports: [80]}]", "write `- port: 80`"),
        ("  podSelector: {}\n  ingress: [{ports: [{port: \"80\"}]}]", "remove the quotes: 80"),
        ("  podSelector: {}\n  ingress: [{ports: [{protocol: tcp}]}]", "write `TCP`"),
        ("  podSelector: {}\n  policyTypes: [ingress]", "did you mean `Ingress`?"),
        ("  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]", "write `10.0.0.1/32`"),
        ("  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}]}]", "write `10.0.0.0/8`"),
        (
            "  podSelector: {}\n  vendor: 1",
            "fields here are `podSelector`, `policyTypes`, `ingress` and `egress`; remove it or move it where it belongs",
        ),
    ] {
        let loaded = podgate_api::load_text("t", &policy_text(spec));
        let helps: Vec<&str> = loaded.diagnostics.iter().map(|d| d.help.as_str()).collect();
        assert!(helps.contains(&help), "{spec}: {helps:?}");
    }
}

#[test]
fn case_15_unusual_networks_are_used_masked_and_reported() {
    for (written, used, finding) in [
        ("10.0.0.5/8", "10.0.0.0/8", Some("address bits beyond the prefix length")),
        ("\"fd00::1/8\"", "fd00::/8", Some("address bits beyond the prefix length")),
        ("\"::ffff:10.0.0.0/104\"", "10.0.0.0/8", Some("an IPv4 network written as IPv6")),
        ("010.1.0.0/16", "10.1.0.0/16", Some("octets with leading zeros")),
        ("0.0.0.0/0", "0.0.0.0/0", None),
        ("::/0", "::/0", None),
        ("10.0.0.1/32", "10.0.0.1/32", None),
        ("\"::1/128\"", "::1/128", None),
        ("\"::ffff:0:0/95\"", "::fffe:0:0/95", Some("address bits beyond the prefix length")),
    ] {
        let expect: Vec<String> = finding
            .iter()
            .map(|unusual| {
                format!("6:35 warning spec.egress[0].to[0].ipBlock.cidr: {unusual}: used as {used}")
            })
            .collect();
        let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
        let spec = format!("  podSelector: {{}}\n  egress: [{{to: [{{ipBlock: {{cidr: {written}}}}}]}}]");
        let found = policy(written, &spec, &expect);
        let Some([Peer::IpBlock(block)]) = found.egress[0].peers.as_deref() else {
            panic!("{written}: one block")
        };
        assert_eq!(block.cidr.to_string(), used);
    }
}

#[test]
fn a_policy_that_can_not_be_read_at_all_closes_everything() {
    for (sentence, spec) in [("text", "nothing"), ("a list", "[{}]"), ("a number", "1")] {
        let text = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
        );
        let loaded = podgate_api::load_text("t", &text);
        let [podgate_api::Object::NetworkPolicy(found)] = &loaded.objects[..] else { panic!("{sentence}") };
        assert!(loaded.has_errors() && found.pod_selector.is_invalid(), "{sentence}");
        assert!(found.ingress_in_force && found.egress_in_force, "{sentence}");
    }
}

#[test]
fn a_policy_without_a_name_still_closes() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {podSelector: {}}\n";
    let loaded = support::check("no name", text, &["1:1 error metadata.name: the object has no name"]);
    assert_eq!(loaded.objects[0].meta().name, "unnamed-1");
}

#[test]
fn fields_of_vendors_outside_of_spec_are_warnings() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, label: {}}\nspec: {podSelector: {}}\nvendor: 1\n";
    support::check(
        "outside of spec",
        text,
        &["3:21 warning metadata.label: unknown field `label`", "5:1 warning vendor: unknown field `vendor`"],
    );
}
