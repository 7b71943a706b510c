use super::*;
use podgate_hubble::json;

/// The filters of a command line, as JSON: those that have to fit, and those that must not.
#[track_caller]
fn read(line: &str) -> (Vec<String>, Vec<String>) {
    let filters = parse(line).unwrap();
    let told = |not: bool| {
        let filters = filters.of(not).unwrap();
        filters.iter().map(|filter| json::filter(&filter.flow.clone().unwrap_or_default())).collect()
    };
    (told(false), told(true))
}

fn parse(line: &str) -> Result<Filters, clap::Error> {
    let command = Filters::augment_args(Command::new("observe").no_binary_name(true));
    command.try_get_matches_from(line.split(' ')).and_then(|matches| Filters::from_arg_matches(&matches))
}

#[test]
fn flags_become_filters_as_hubble_makes_them() {
    for (line, any_of) in [
        ("--from-pod shop/web", &[r#"{"source_pod":["shop/web"]}"#][..]),
        ("--from-pod web --to-port 80", &[r#"{"source_pod":["/web"],"destination_port":["80"]}"#]),
        ("--pod shop/web", &[r#"{"source_pod":["shop/web"]}"#, r#"{"destination_pod":["shop/web"]}"#]),
        (
            "--ip 10.0.0.1 --protocol tcp",
            &[
                r#"{"source_ip":["10.0.0.1"],"protocol":["tcp"]}"#,
                r#"{"destination_ip":["10.0.0.1"],"protocol":["tcp"]}"#,
            ],
        ),
        ("-n shop", &[r#"{"source_pod":["shop/"]}"#, r#"{"destination_pod":["shop/"]}"#]),
        (
            "--to-namespace a --to-namespace b --to-pod web --to-pod c/x",
            &[r#"{"destination_pod":["a/web","b/web","c/x"]}"#],
        ),
        ("--to-namespace shop --to-service db", &[r#"{"destination_service":["shop/db"]}"#]),
        ("--verdict dropped --verdict ALLOWED", &[r#"{"verdict":["DROPPED","FORWARDED"]}"#]),
        ("--to-identity world", &[r#"{"destination_identity":[2]}"#]),
        ("--from-workload Deployment/web", &[r#"{"source_workload":[{"name":"web","kind":"Deployment"}]}"#]),
        ("--tcp-flags syn,ack", &[r#"{"tcp_flags":[{"SYN":true,"ACK":true}]}"#]),
        ("-4", &[r#"{"ip_version":["IPv4"]}"#]),
        ("--ip-version v6", &[r#"{"ip_version":["IPv6"]}"#]),
        (
            "-t drop --traffic-direction egress",
            &[r#"{"event_type":[{"type":1}],"traffic_direction":["EGRESS"]}"#],
        ),
    ] {
        assert_eq!(read(line).0, any_of, "{line}");
        assert_eq!(read(line).1.len(), 0, "{line}");
    }
}

#[test]
fn not_turns_only_the_next_filter_round() {
    let (fits, not) = read("--from-pod shop/a --not --to-port 53 --not -6 --verdict DROPPED");
    assert_eq!(fits, [r#"{"source_pod":["shop/a"],"verdict":["DROPPED"]}"#]);
    assert_eq!(not, [r#"{"destination_port":["53"],"ip_version":["IPv6"]}"#]);
    assert_eq!(read("--not --to-port=53").1, [r#"{"destination_port":["53"]}"#]);
    assert_eq!(read("--not -nshop").1.len(), 2);
    for line in ["--not", "--to-port 53 --not", "--not --not --to-port 53"] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn policies_and_rules_are_of_podgates_own_filters() {
    let filters = parse("--policy shop/web --staged --cut").unwrap().of(false).unwrap();
    let expected = Filter { policy: vec!["shop/web".into()], staged: true, cut: true, ..Filter::default() };
    assert_eq!(filters, [expected]);
    assert!(parse("--verdict x").unwrap().of(false).unwrap_err().message.contains("--verdict x: FORWARDED"));
    assert!(parse("--workload a/b").unwrap().of(false).unwrap_err().message.contains("--namespace"));
    assert!(parse("--identity x").unwrap().of(false).is_err());
    assert!(parse("--type x").unwrap().of(false).is_err());
}
