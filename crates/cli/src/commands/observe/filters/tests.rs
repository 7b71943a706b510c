use super::*;
use podgate_flow::Terms;
use podgate_hubble::choice::written;
use podgate_hubble::json;
use podgate_hubble::proto::podgate::v1;

/// The filters of a command line, as JSON: those that have to fit, and those that must not.
#[track_caller]
fn read(line: &str) -> (Vec<String>, Vec<String>) {
    let filter = parse(line).unwrap().filter().unwrap();
    let told = |terms: &[Terms]| {
        terms.iter().map(|terms| json::filter(&written(terms).flow.unwrap_or_default())).collect()
    };
    (told(&filter.any_of), told(&filter.none_of))
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
            &[r#"{"verdict":["DROPPED"],"traffic_direction":["EGRESS"]}"#],
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
    let filter = |line: &str| parse(line).unwrap().filter();
    let expected = v1::Filter {
        policy: vec!["shop/web".into()],
        source_workload: vec!["shop/Deployment/web".into()],
        staged: true,
        cut: true,
        ..v1::Filter::default()
    };
    let own = filter("--policy shop/web --from-workload shop/web[Deployment] --staged --cut").unwrap();
    assert_eq!(own.any_of.iter().map(written).collect::<Vec<_>>(), [expected]);
    for (line, why) in
        [("--verdict x", "--verdict x: write ALLOWED"), ("--not --type x", "--type x: podgate has")]
    {
        let failure = filter(line).unwrap_err();
        assert!(failure.message.contains(why), "{}", failure.message);
    }
}
