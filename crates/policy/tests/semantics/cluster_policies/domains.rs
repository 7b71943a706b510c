//! Case 36: destinations known by name.

use super::*;

use std::net::IpAddr;

use podgate_policy::{Connection, Delta};

fn domains(names: &[&str]) -> ClusterPeer {
    let names = names.iter().map(|name| name.to_string()).collect();
    ClusterPeer::Domains { names, source: Source::default() }
}

fn allowlist(names: &[&str]) -> Maker {
    admin("g").egress([
        rule(Accept, [domains(names)]).on("tcp/443"),
        rule(Deny, [networks(&["0.0.0.0/0", "::/0"])]),
    ])
}

fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

impl World {
    fn bind(&mut self, name: &str, addresses: &[&str]) -> Delta {
        let is_news = self.cluster.bind(name, &ips(addresses));
        let delta = self.cluster.commit();
        assert!(is_news || delta.is_empty(), "{delta:?}");
        delta
    }
}

#[test]
fn case_36_domains_match_no_address_that_dns_has_not_told() {
    under([allowlist(&["*.example.com"])]).denies(&["a/web -> 8.8.8.8 tcp/443", "a/web -> 10.0.0.2 tcp/443"]);
}

#[test]
fn case_36_a_name_has_exactly_the_addresses_that_it_is_bound_to() {
    let mut world = under([allowlist(&["api.example.com"])]);
    world.bind("API.example.com.", &["192.0.2.1", "2001:db8::1"]);
    world.allows(&["a/web -> 192.0.2.1 tcp/443", "b/job -> 2001:db8::1 tcp/443"]);
    world.denies(&["a/web -> 192.0.2.1 tcp/80", "a/web -> 192.0.2.2 tcp/443"]);
    assert_eq!(world.reasons("a/web -> 192.0.2.1 tcp/443").0, "ClusterNetworkPolicy g egress[0]");
    world.bind("api.example.com", &["192.0.2.2"]);
    world.allows(&["a/web -> 192.0.2.2 tcp/443"]).denies(&["a/web -> 192.0.2.1 tcp/443"]);
    world.bind("api.example.com", &[]);
    world.denies(&["a/web -> 192.0.2.2 tcp/443"]);
    assert!(world.cluster.addresses_of("api.example.com").is_empty());
}

#[test]
fn case_36_a_wildcard_is_one_or_more_labels() {
    let mut world = under([allowlist(&["*.example.com"])]);
    for (name, is_meant) in [
        ("www.example.com", true),
        ("a.b.example.com", true),
        ("example.com", false),
        ("badexample.com", false),
        ("www.example.com.evil.org", false),
    ] {
        world.bind(name, &["192.0.2.1"]);
        assert_eq!(world.cluster.is_named(name), is_meant, "{name}");
        match is_meant {
            true => world.allows(&["a/web -> 192.0.2.1 tcp/443"]),
            false => world.denies(&["a/web -> 192.0.2.1 tcp/443"]),
        };
        world.bind(name, &[]);
    }
}

#[test]
fn case_36_an_address_of_two_names_is_both() {
    let mut world = under([allowlist(&["a.example.com", "*.example.org"])]);
    world.bind("a.example.com", &["192.0.2.1"]);
    for name in ["www.example.org", "cdn.example.org"] {
        assert!(!world.bind(name, &["192.0.2.1"]).is_empty() || name == "cdn.example.org");
    }
    for name in ["a.example.com", "www.example.org"] {
        world.bind(name, &[]);
        world.allows(&["a/web -> 192.0.2.1 tcp/443"]);
    }
    world.bind("cdn.example.org", &[]);
    world.denies(&["a/web -> 192.0.2.1 tcp/443"]);
}

#[test]
fn case_36_bindings_may_come_before_their_rule_and_stay_after_it() {
    let mut world = under([]);
    assert!(world.bind("www.example.com", &["192.0.2.1"]).is_empty(), "nobody asks");
    world.put(allowlist(&["*.example.com"]));
    world.allows(&["a/web -> 192.0.2.1 tcp/443"]);
    assert_eq!(world.cluster.domain_names(), ["*.example.com"]);
    let version = world.cluster.domain_names_version();
    world.put(allowlist(&["api.example.com"]));
    world.denies(&["a/web -> 192.0.2.1 tcp/443"]);
    assert_ne!(world.cluster.domain_names_version(), version);
    world.put(allowlist(&["www.example.com"]));
    world.allows(&["a/web -> 192.0.2.1 tcp/443"]);
    world.remove("ClusterNetworkPolicy", "g");
    assert!(world.cluster.domain_names().is_empty());
    world.allows(&["a/web -> 192.0.2.2 tcp/443"]);
}

#[test]
fn case_36_names_match_pods_by_address_and_give_no_port_names() {
    let mut world = under([allowlist(&["db.a.svc.cluster.local"])]);
    let delta = world.bind("db.a.svc.cluster.local", &["10.0.0.2", "fd00::2"]);
    assert_eq!(delta.addresses.len(), 2, "that pod's, no other's: {delta:?}");
    world.allows(&["a/web -> a/db tcp/443"]).denies(&["a/web -> a/db tcp/80", "a/web -> b/job tcp/443"]);
    world.bind("db.a.svc.cluster.local", &[]);
    world.denies(&["a/web -> a/db tcp/443"]);
}

#[test]
fn a_binding_with_known_answers_is_one_prefix_and_nothing_else() {
    let mut world = under([allowlist(&["*.example.com", "api.example.org"])]);
    world.bind("first.example.com", &["192.0.2.1"]);
    for number in 2..40 {
        let address = format!("192.0.2.{number}");
        let delta = world.bind(&format!("n{number}.example.com"), &[&address]);
        assert_eq!(delta.prefixes.len(), 1, "{delta:?}");
        let rest = Delta { prefixes: Vec::new(), ..delta };
        assert!(rest.is_empty(), "{rest:?}");
    }
    let to = |address: &str| {
        let [from, to] = ips(&["10.0.0.1", address])[..] else { unreachable!() };
        world.cluster.explain(&Connection { from, to, protocol: 6, port: 443 })
    };
    let matches =
        |address: &str| to(address).egress[0].rules.iter().map(|rule| rule.matches).collect::<Vec<_>>();
    assert_eq!((matches("192.0.2.39"), matches("192.0.2.40")), (vec![true, true], vec![false, true]));
}
