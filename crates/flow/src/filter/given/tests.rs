use super::*;
use crate::FLAGS;

/// As on a command line: `from-pod=web not-port=53`.
fn read(line: &str) -> Result<Filter, UnusableFilter> {
    let given = |word: &str| {
        let (name, value) = word.split_once('=').unwrap_or((word, "true"));
        let (flag, not) = Flag::named(name).unwrap_or_else(|| panic!("{name} is no filter"));
        Given { flag, value: value.replace('+', " "), not }
    };
    Filter::of(&line.split_whitespace().map(given).collect::<Vec<_>>())
}

#[track_caller]
fn fits(line: &str) -> Vec<Terms> {
    let filter = read(line).unwrap();
    assert!(filter.none_of.is_empty(), "{line}");
    filter.any_of
}

fn pods(end: &EndTerms) -> Vec<String> {
    end.pods.iter().map(NamePrefix::to_string).collect()
}

#[test]
fn every_filter_is_read_and_asks_something() {
    for flag in FLAGS {
        let value = match flag.name.trim_start_matches("from-").trim_start_matches("to-") {
            "label" => "app=web,tier+in+(a,b)",
            "ip" | "snat-ip" => "10.0.0.0/8",
            "port" | "identity" => "80",
            "protocol" => "tcp",
            "verdict" => "DROPPED",
            "rule" => "shop/web+ingress[0]",
            "traffic-direction" => "ingress",
            "drop-reason-desc" => "POLICY_DENY",
            "tcp-flags" => "SYN",
            "ip-version" => "v4",
            "type" => "drop",
            "uuid" => "00000000-0000-0001-0000-000000000000",
            _ => "shop",
        };
        for name in [flag.name, flag.not] {
            let filter = read(&format!("{name}={value}")).unwrap_or_else(|why| panic!("{why}"));
            let (there, other) = match name == flag.not {
                true => (filter.none_of, filter.any_of),
                false => (filter.any_of, filter.none_of),
            };
            assert!(!there.is_empty() && other.is_empty(), "{name}");
            assert!(there.iter().all(|terms| *terms != Terms::default()), "{name}");
        }
    }
}

#[test]
fn what_asks_either_end_asks_both() {
    let either = fits("port=80 protocol=tcp");
    assert_eq!((&either[0].source.ports[..], &either[0].destination.ports[..]), (&[80][..], &[][..]));
    assert_eq!((&either[1].source.ports[..], &either[1].destination.ports[..]), (&[][..], &[80][..]));
    assert!(either.iter().all(|terms| terms.protocols == [Protocol::TCP]));
    let [to] = &fits("to-port=80 to-port=81")[..] else { panic!() };
    assert_eq!(to.destination.ports, [80, 81]);
}

#[test]
fn a_namespace_narrows_the_pods_and_services_that_have_none() {
    let line = "from-pod=web from-pod=ops/probe from-namespace=shop from-namespace=dev";
    assert_eq!(pods(&fits(line)[0].source), ["shop/web", "dev/web", "ops/probe"]);
    let [services] = &fits("to-namespace=shop to-service=db")[..] else { panic!() };
    assert_eq!(services.destination.services[0].to_string(), "shop/db");
    assert!(services.destination.pods.is_empty());
    let either = fits("namespace=shop");
    assert_eq!(
        (pods(&either[0].source), pods(&either[1].destination)),
        (vec!["shop/".into()], vec!["shop/".into()])
    );
}

#[test]
fn types_of_events_stand_for_verdicts() {
    use FlowVerdict::{Allowed, Denied, Unknown};
    let verdicts = |line: &str| fits(line).first().map(|terms| terms.verdicts.clone());
    assert_eq!(verdicts("type=drop"), Some(vec![Denied]));
    assert_eq!(verdicts("type=trace:to-endpoint"), Some(vec![Allowed, Unknown]));
    assert_eq!(verdicts("type=policy-verdict"), None);
    assert_eq!(verdicts("type=drop type=trace"), None);
    assert_eq!(verdicts("type=trace verdict=allowed verdict=dropped"), Some(vec![Allowed]));
    let error = read("verdict=allowed not-port=1 type=drop").unwrap_err();
    assert!(error.name == "type" && error.why.contains("leave one"), "{error}");
    assert_eq!(read("not-type=drop").unwrap().none_of[0].verdicts, [Denied]);
}

#[test]
fn icmp_is_that_of_both_versions_of_ip() {
    assert_eq!(fits("protocol=icmp")[0].protocols, [Protocol::ICMP, Protocol::ICMPV6]);
    assert_eq!(fits("protocol=ICMPv4")[0].protocols, [Protocol::ICMP]);
}

#[test]
fn what_means_nothing_is_said_with_what_to_write() {
    for (line, why) in [
        ("verdict=maybe", "ALLOWED (or FORWARDED)"),
        ("port=x", "65535"),
        ("rule=7", "ingress[0]"),
        ("policy=a/b/c/d", "Kind/namespace/name"),
        ("workload=a/b/c", "[namespace/][Kind/]name"),
        ("not-ip=x", "10.0.0.0/8"),
        ("type=l7", "policy-verdict"),
        ("drop-reason-desc=STALE", "POLICY_DENIED"),
        ("pod=", "beginning"),
        ("namespace=", "name"),
        ("tcp-flags=", "SYN"),
        ("identity=me", "world"),
    ] {
        let error = read(line).unwrap_err();
        assert!(error.to_string().starts_with(line.split('=').next().unwrap()), "{error}");
        assert!(error.why.contains(why), "{line}: {error}");
    }
}
