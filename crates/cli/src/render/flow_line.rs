//! Flows and notices as lines for people.

use anstyle::Style;
use podgate_flow::{Decision, Endpoint, FlowRecord, FlowVerdict, Party};
use podgate_lab::enforce::{Lost, LostBy, Notice, NoticeEvent};
use podgate_policy::Verdict;

use crate::style::{BAD, FAINT, GOOD, WARN};

/// Names longer than this don't push the columns of all later lines.
const WIDEST: usize = 44;

/// Keeps the columns of a stream of lines in place as wider names come.
#[derive(Debug, Default)]
pub struct Columns {
    from: usize,
    to: usize,
}

impl Columns {
    /// `time verdict from -> to port/protocol via Service: what decided`.
    pub fn flow(&mut self, record: &FlowRecord) -> String {
        let (from, to) = (place(&record.source), destination(record));
        self.from = self.from.max(from.chars().count()).min(WIDEST);
        self.to = self.to.max(to.chars().count()).min(WIDEST);
        let (style, verdict) = match (record.verdict, record.cut) {
            (FlowVerdict::Allowed, _) => (GOOD, "allowed"),
            (FlowVerdict::Denied, false) => (BAD, "DENIED "),
            (FlowVerdict::Denied, true) => (BAD, "CUT    "),
            (FlowVerdict::Unknown, _) => (WARN, "unknown"),
        };
        let mut why = Vec::new();
        for (direction, decision) in [("egress", &record.egress), ("ingress", &record.ingress)] {
            if let Some(decision) = decision {
                why.push(reason(direction, decision));
            }
        }
        if record.verdict == FlowVerdict::Unknown {
            why.push(format!("{WARN}the other end was not heard of{WARN:#}"));
        }
        let mut line = format!(
            "{FAINT}{}{FAINT:#} {style}{verdict}{style:#} {from:fw$} -> {to:tw$}  {}",
            record.time.time_of_day(),
            why.join("; "),
            fw = self.from,
            tw = self.to,
        );
        if let Some(service) = &record.service {
            line.push_str(&format!("  {FAINT}via Service {service}{FAINT:#}"));
        }
        if record.suppressed > 0 {
            line.push_str(&format!("  {WARN}(and {} more like it){WARN:#}", record.suppressed));
        }
        line
    }
}

/// `from` without its port: that is the kernel's choice, and says nothing.
fn place(endpoint: &Endpoint) -> String {
    match &*endpoint.party {
        Party::Outside { name: None } => format!("outside {}", endpoint.ip),
        party => party.to_string(),
    }
}

fn destination(record: &FlowRecord) -> String {
    let to = place(&record.destination);
    match record.destination.port {
        0 => format!("{to} {}", record.protocol),
        port => format!("{to} {port}/{}", record.protocol),
    }
}

fn reason(direction: &str, decision: &Decision) -> String {
    let style = if decision.verdict == Verdict::Denied { BAD } else { Style::new() };
    let reason = decision.reason.to_string();
    // A rule names its list itself.
    let text = if matches!(*decision.reason, podgate_flow::Reason::Rule { .. }) {
        reason
    } else {
        format!("{direction} {reason}")
    };
    format!("{style}{text}{style:#}")
}

/// A notice, over as many lines as it needs.
pub fn notice(notice: &Notice) -> String {
    let style = match &notice.event {
        NoticeEvent::Published { .. } | NoticeEvent::Mended { .. } => GOOD,
        NoticeEvent::Network { error } if error.is_empty() => GOOD,
        _ => WARN,
    };
    format!("{FAINT}{}{FAINT:#} {style}*{style:#} {}", notice.time.time_of_day(), notice.event)
}

/// What a watcher misses.
pub fn lost(lost: &Lost) -> String {
    let by = match lost.by {
        LostBy::Kernel => "the kernel's buffer was full",
        LostBy::Watcher => "this reader was too slow",
    };
    format!("{WARN}{} flows are missing here: {by}{WARN:#}", lost.count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::{isolated, open, rule};
    use podgate_flow::{Protocol, ServiceName, Timestamp};

    fn record(pod: &str, verdict: FlowVerdict, ingress: Decision) -> FlowRecord {
        let end = |ip: &str, port: u16, pod: &str| {
            let party = Party::Pod {
                namespace: "shop".into(),
                pod: pod.into(),
                owner: None,
                node: None,
                labels: Default::default(),
            };
            Endpoint::new(ip.parse().unwrap(), port, party)
        };
        let (source, destination) = (end("10.0.0.1", 4000, pod), end("10.0.0.2", 80, "web-0"));
        let time = Timestamp(37_230_123_000_000);
        FlowRecord {
            egress: Some(open()),
            ingress: Some(ingress),
            ..FlowRecord::new(time, "node-1", verdict, Protocol::TCP, source, destination)
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn lines_say_who_where_and_why_in_columns() {
        let mut columns = Columns::default();
        let mut denied = record("a-long-name-0", FlowVerdict::Denied, isolated());
        denied.suppressed = 3;
        denied.service =
            Some(ServiceName { namespace: "shop".into(), name: "web".into(), port: 8080 }.into());
        let lines = [
            columns.flow(&denied),
            columns.flow(&record("b-0", FlowVerdict::Allowed, rule())),
            columns.flow(&FlowRecord { cut: true, ..record("b-0", FlowVerdict::Denied, isolated()) }),
            columns.flow(&FlowRecord { ingress: None, ..record("b-0", FlowVerdict::Unknown, open()) }),
        ];
        assert_eq!(
            lines.map(|line| plain(&line)),
            [
                "10:20:30.123 DENIED  shop/a-long-name-0 -> shop/web-0 80/TCP  egress not isolated; ingress \
                 isolated by shop/allow-web, shop/default-deny  via Service shop/web:8080  (and 3 more like it)",
                "10:20:30.123 allowed shop/b-0           -> shop/web-0 80/TCP  egress not isolated; \
                 shop/allow-web ingress[0]",
                "10:20:30.123 CUT     shop/b-0           -> shop/web-0 80/TCP  egress not isolated; ingress \
                 isolated by shop/allow-web, shop/default-deny",
                "10:20:30.123 unknown shop/b-0           -> shop/web-0 80/TCP  egress not isolated; the other \
                 end was not heard of",
            ]
        );
    }

    #[test]
    fn the_outside_is_shown_by_address_and_echoes_without_port() {
        let mut flow = record("b-0", FlowVerdict::Allowed, open());
        flow.source.party = Party::Outside { name: None }.into();
        flow.destination.port = 0;
        flow.protocol = Protocol::ICMP;
        flow.egress = None;
        assert_eq!(
            plain(&Columns::default().flow(&flow)),
            "10:20:30.123 allowed outside 10.0.0.1 -> shop/web-0 ICMP  ingress not isolated"
        );
    }

    #[test]
    fn losses_and_notices_are_lines_too() {
        assert_eq!(
            plain(&lost(&Lost { count: 7, by: LostBy::Watcher })),
            "7 flows are missing here: this reader was too slow"
        );
        let event = NoticeEvent::Published { changes: vec!["~ NetworkPolicy shop/a".into()], micros: 4210 };
        assert_eq!(
            plain(&notice(&Notice { time: Timestamp(0), event })),
            "00:00:00.000 * in force after 4.2 ms: ~ NetworkPolicy shop/a"
        );
    }
}
