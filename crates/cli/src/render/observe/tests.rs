use podgate_flow::Staged;
use podgate_policy::Verdict;

use super::fixture::{allowed, denied};
use super::*;

const PLAIN: Style = Style { node: false, numeric: false, time: TimeFormat::Rfc3339 };

#[track_caller]
fn check(printer: Printer, records: &[FlowRecord], expected: &str) {
    let mut printer = printer;
    let mut text: String = records.iter().map(|record| printer.text(record)).collect();
    text.push_str(&printer.end());
    assert_eq!(anstream::adapter::strip_str(&text).to_string(), expected);
}

#[test]
fn a_line_says_who_where_and_why() {
    check(
        Printer::compact(PLAIN),
        &[allowed(), denied(), FlowRecord { reply: true, ..allowed() }],
        "2026-01-31T10:00:00Z: shop/web-1:40000 -> shop/db-0:5432 TCP ALLOWED shop/web-out egress[1]; \
         shop/db-in ingress[0] (SYN)\n\
         2026-01-31T10:00:00Z: shop/web-1:40000 -> shop/db-0:5432 TCP DENIED shop/web-out egress[1]; \
         ingress isolated by shop/db-in, shop/default-deny (nearest: shop/db-in ingress[0]: the port is not 5433) \
         (SYN; via Service shop/db:5432; 36 more like it)\n\
         2026-01-31T10:00:00Z: shop/web-1:40000 <- shop/db-0:5432 TCP ALLOWED shop/web-out egress[1]; \
         shop/db-in ingress[0] (SYN)\n",
    );
}

#[test]
fn lines_can_have_addresses_nodes_and_other_times() {
    let style = Style { node: true, numeric: true, time: TimeFormat::StampMilli };
    let mut record = allowed();
    record.ingress = None;
    record.verdict = FlowVerdict::Unknown;
    record.source.ip = "fd00::1".parse().unwrap();
    record.destination.party = Party::Outside { name: None }.into();
    check(
        Printer::compact(style),
        &[record.clone()],
        "Jan 31 10:00:00.123 [a]: [fd00::1]:40000 -> 10.0.2.7:5432 TCP UNKNOWN shop/web-out egress[1]; \
         the other end was not heard of (SYN)\n",
    );
    record.destination.dns = Some(["db.example".into()].into());
    let staged = Staged { verdict: Verdict::Denied, egress: denied().ingress, ingress: None };
    record =
        FlowRecord { staged: Some(Box::new(staged)), egress: None, verdict: FlowVerdict::Allowed, ..record };
    check(
        Printer::compact(PLAIN),
        &[record],
        "2026-01-31T10:00:00Z: shop/web-1:40000 -> db.example:5432 TCP ALLOWED  (SYN; staged policies: would be \
         denied: isolated by shop/db-in, shop/default-deny)\n",
    );
}

#[test]
fn every_form_of_time_is_the_one_that_it_says() {
    let at = Timestamp(1_769_853_600_123_456_789);
    let told = TimeFormat::value_variants().iter().map(|form| form.text(at)).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            "Jan 31 10:00:00.123",
            "2026-01-31T10:00:00Z",
            "2026-01-31T10:00:00.123Z",
            "2026-01-31T10:00:00.123456Z",
            "2026-01-31T10:00:00.123456789Z",
            "Sat, 31 Jan 2026 10:00:00 +0000",
        ]
    );
}

#[test]
fn blocks_and_columns_say_the_same() {
    check(
        Printer::dict(PLAIN),
        &[allowed(), allowed()],
        &["  TIMESTAMP: 2026-01-31T10:00:00Z\n     SOURCE: shop/web-1:40000\nDESTINATION: shop/db-0:5432\n   \
           PROTOCOL: TCP\n    VERDICT: ALLOWED\n        WHY: shop/web-out egress[1]; shop/db-in ingress[0]\n    \
           SUMMARY: SYN\n"; 2]
        .join("------------\n"),
    );
    check(
        Printer::table(Style { node: true, ..PLAIN }),
        &[allowed()],
        "TIMESTAMP             NODE  SOURCE            DESTINATION     PROTOCOL  VERDICT  WHY\n\
         2026-01-31T10:00:00Z  a     shop/web-1:40000  shop/db-0:5432  TCP       ALLOWED  shop/web-out egress[1]; \
         shop/db-in ingress[0] (SYN)\n",
    );
}

#[test]
fn json_has_the_directions_that_fit() {
    let terms = podgate_flow::Terms { verdicts: vec![FlowVerdict::Denied], ..Default::default() };
    let filter = Filter { any_of: vec![terms], ..Filter::default() };
    let mask = Mask::new(&["verdict".to_owned(), "source.pod_name".to_owned()]).unwrap();
    check(
        Printer::jsonpb(filter, mask),
        &[denied()],
        "{\"flow\":{\"verdict\":\"DROPPED\",\"source\":{\"pod_name\":\"web-1\"}},\"node_name\":\"a\",\
         \"time\":\"2026-01-31T10:00:00.123Z\"}\n",
    );
    let mut printer = Printer::record();
    let line = printer.text(&denied());
    assert_eq!(serde_json::from_str::<FlowRecord>(&line).unwrap(), denied());
}

#[test]
fn the_foot_says_what_is_missing_and_why() {
    assert_eq!(losses(&Losses::default()), None);
    let lost = Losses { kernel: 5, reader: 2, suppressed: 9, ..Losses::default() };
    let since_start = Losses { since_start: true, ..lost };
    assert!(losses(&since_start).unwrap().starts_with("missing since the server started: 7 flows (5"));
    assert_eq!(
        losses(&lost).unwrap(),
        "missing: 7 flows (5: the kernel's buffer was full; 2: they were gone before they \
         were read; 9 denials were counted rather than reported one by one)"
    );
    assert!(is_lossy(&lost) && !is_lossy(&Losses { suppressed: 9, ..Losses::default() }));
    let away = NodeStatusEvent {
        state_change: NodeState::NodeUnavailable.into(),
        node_names: vec!["a".into(), "b".into()],
        message: String::new(),
    };
    assert_eq!(nodes(&away).unwrap(), "flows of these nodes are missing, they can't be heard: a, b");
}
