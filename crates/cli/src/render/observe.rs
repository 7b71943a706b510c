//! Flow records as text: lines, blocks, columns and JSON.

use anstyle::Style as Colour;
use clap::ValueEnum;
use podgate_flow::{Decision, Endpoint, Filter, FlowRecord, FlowVerdict, Party, Protocol, Reason, Timestamp};
use podgate_hubble::proto::observer::GetFlowsResponse;
use podgate_hubble::proto::observer::get_flows_response::ResponseTypes;
use podgate_hubble::proto::podgate::v1::Losses;
use podgate_hubble::proto::relay::{NodeState, NodeStatusEvent};
use podgate_hubble::{Mask, Naming, flow_of, json, views};

use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

#[cfg(test)]
pub mod fixture;

/// How times are written; all in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeFormat {
    /// `Jan  2 15:04:05.000`
    #[value(name = "StampMilli")]
    StampMilli,
    /// `2006-01-02T15:04:05Z`
    #[value(name = "RFC3339")]
    Rfc3339,
    /// `2006-01-02T15:04:05.000Z`
    #[value(name = "RFC3339Milli")]
    Rfc3339Milli,
    /// `2006-01-02T15:04:05.000000Z`
    #[value(name = "RFC3339Micro")]
    Rfc3339Micro,
    /// `2006-01-02T15:04:05.000000000Z`
    #[value(name = "RFC3339Nano")]
    Rfc3339Nano,
    /// `Mon, 02 Jan 2006 15:04:05 +0000`
    #[value(name = "RFC1123Z")]
    Rfc1123Z,
}

impl TimeFormat {
    fn text(self, time: Timestamp) -> String {
        let form = match self {
            TimeFormat::StampMilli => "%b %e %H:%M:%S.%3f",
            TimeFormat::Rfc3339 => "%Y-%m-%dT%H:%M:%SZ",
            TimeFormat::Rfc3339Milli => "%Y-%m-%dT%H:%M:%S.%3fZ",
            TimeFormat::Rfc3339Micro => "%Y-%m-%dT%H:%M:%S.%6fZ",
            TimeFormat::Rfc3339Nano => "%Y-%m-%dT%H:%M:%S.%9fZ",
            TimeFormat::Rfc1123Z => "%a, %d %b %Y %H:%M:%S +0000",
        };
        match jiff::Timestamp::from_nanosecond(time.0.into()) {
            Ok(at) => at.strftime(form).to_string(),
            Err(_) => time.to_string(),
        }
    }
}

/// What a line has on it.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// The node that reported.
    pub node: bool,
    /// Addresses instead of names.
    pub numeric: bool,
    /// How times are written.
    pub time: TimeFormat,
}

/// Prints records one after the other.
#[derive(Debug)]
pub struct Printer(Form);

#[derive(Debug)]
enum Form {
    Compact(Style),
    Dict { style: Style, is_first: bool },
    Table { style: Style, rows: Vec<Vec<String>> },
    Jsonpb { filter: Box<Filter>, mask: Option<Mask>, naming: Naming },
    Record,
}

impl Printer {
    pub fn compact(style: Style) -> Printer {
        Printer(Form::Compact(style))
    }

    pub fn dict(style: Style) -> Printer {
        Printer(Form::Dict { style, is_first: true })
    }

    pub fn table(style: Style) -> Printer {
        Printer(Form::Table { style, rows: Vec::new() })
    }

    /// `filter`: a record that fits may have a direction that doesn't.
    pub fn jsonpb(filter: Filter, mask: Option<Mask>) -> Printer {
        Printer(Form::Jsonpb { filter: Box::new(filter), mask, naming: Naming::new("default") })
    }

    pub fn record() -> Printer {
        Printer(Form::Record)
    }

    /// The text of a record, with line feeds.
    pub fn text(&mut self, record: &FlowRecord) -> String {
        match &mut self.0 {
            Form::Compact(style) => compact(record, *style),
            Form::Dict { style, is_first } => {
                let line = if std::mem::take(is_first) { "" } else { "------------\n" };
                format!("{line}{}", dict(record, *style))
            }
            Form::Table { style, rows } => {
                rows.push(cells(record, *style));
                String::new()
            }
            Form::Jsonpb { filter, mask, naming } => {
                let fitting = views(record).filter(|view| filter.accepts_view(*view));
                let line = |view| {
                    let flow = flow_of(view, naming);
                    let (node_name, time) = (flow.node_name.clone(), flow.time);
                    let flow = mask.as_ref().map_or_else(|| flow.clone(), |mask| mask.apply(&flow));
                    let response_types = Some(ResponseTypes::Flow(flow));
                    json::response(&GetFlowsResponse { node_name, time, response_types }) + "\n"
                };
                fitting.map(line).collect()
            }
            Form::Record => serde_json::to_string(record).unwrap_or_default() + "\n",
        }
    }

    /// What is left to print: columns are as wide as their widest cell.
    pub fn end(&mut self) -> String {
        let Form::Table { style, rows } = &self.0 else { return String::new() };
        let node = style.node.then_some("NODE");
        let head = ["TIMESTAMP"].into_iter().chain(node);
        let head: Vec<&str> = head.chain(["SOURCE", "DESTINATION", "PROTOCOL", "VERDICT", "WHY"]).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([head[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let aligned = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<_> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        let mut text = format!("{BOLD}{}{BOLD:#}\n", aligned(&mut head.iter().copied()));
        for row in rows {
            text.push_str(&aligned(&mut row.iter().map(String::as_str)));
            text.push('\n');
        }
        text
    }
}

fn compact(record: &FlowRecord, style: Style) -> String {
    let node = if style.node { format!(" [{}]", record.node) } else { String::new() };
    let (colour, verdict) = verdict(record);
    let more = more(record);
    let more = if more.is_empty() { more } else { format!(" {FAINT}({more}){FAINT:#}") };
    format!(
        "{FAINT}{}{node}:{FAINT:#} {} {} {} {} {colour}{verdict}{colour:#} {}{more}\n",
        style.time.text(record.time),
        place(&record.source, style),
        if record.reply { "<-" } else { "->" },
        place(&record.destination, style),
        record.protocol,
        why(record),
    )
}

fn dict(record: &FlowRecord, style: Style) -> String {
    let (colour, verdict) = verdict(record);
    let more = more(record);
    let mut rows = vec![("TIMESTAMP", style.time.text(record.time))];
    if style.node {
        rows.push(("NODE", record.node.to_string()));
    }
    rows.push(("SOURCE", place(&record.source, style)));
    rows.push(("DESTINATION", place(&record.destination, style)));
    rows.push(("PROTOCOL", record.protocol.to_string()));
    rows.push(("VERDICT", format!("{colour}{verdict}{colour:#}")));
    rows.push(("WHY", why(record)));
    if !more.is_empty() {
        rows.push(("SUMMARY", more));
    }
    rows.into_iter().map(|(name, value)| format!("{name:>11}: {value}\n")).collect()
}

fn cells(record: &FlowRecord, style: Style) -> Vec<String> {
    let node = style.node.then(|| record.node.to_string());
    let more = more(record);
    let more = if more.is_empty() { more } else { format!(" ({more})") };
    let head = [style.time.text(record.time)].into_iter().chain(node);
    head.chain([
        place(&record.source, style),
        place(&record.destination, style),
        record.protocol.to_string(),
        verdict(record).1.to_owned(),
        format!("{}{more}", why(record)),
    ])
    .collect()
}

fn verdict(record: &FlowRecord) -> (Colour, &'static str) {
    match (record.verdict, record.cut) {
        (FlowVerdict::Allowed, _) => (GOOD, "ALLOWED"),
        (FlowVerdict::Denied, false) => (BAD, "DENIED"),
        (FlowVerdict::Denied, true) => (BAD, "CUT"),
        (FlowVerdict::Unknown, _) => (WARN, "UNKNOWN"),
    }
}

/// A name and a port, as far as there are any.
fn place(end: &Endpoint, style: Style) -> String {
    let address = if end.ip.is_ipv6() { format!("[{}]", end.ip) } else { end.ip.to_string() };
    let dns = end.dns.as_deref().and_then(|names| names.first());
    let name = match (&*end.party, dns) {
        _ if style.numeric => address,
        (Party::Outside { name: None }, Some(name)) => name.to_string(),
        (Party::Outside { name: None }, None) => address,
        (party, _) => party.to_string(),
    };
    if end.port == 0 { name } else { format!("{name}:{}", end.port) }
}

/// What decided, in the order in which it was asked.
fn why(record: &FlowRecord) -> String {
    let decision = |(direction, decision): (&str, &Option<Decision>)| {
        let decision = decision.as_ref()?;
        let mut text = match &*decision.reason {
            // A rule names its list itself.
            rule @ Reason::Rule { .. } => rule.to_string(),
            reason => format!("{direction} {reason}"),
        };
        if let Some(near) = &decision.nearest {
            text.push_str(&format!(
                " (nearest: {} {}[{}]: {})",
                near.policy,
                list(near.list),
                near.rule,
                near.but
            ));
        }
        Some(text)
    };
    let mut words: Vec<_> =
        [("egress", &record.egress), ("ingress", &record.ingress)].into_iter().filter_map(decision).collect();
    if record.verdict == FlowVerdict::Unknown {
        words.push("the other end was not heard of".to_owned());
    }
    words.join("; ")
}

fn list(direction: podgate_policy::Direction) -> &'static str {
    match direction {
        podgate_policy::Direction::Egress => "egress",
        podgate_policy::Direction::Ingress => "ingress",
    }
}

/// What else is known.
fn more(record: &FlowRecord) -> String {
    let mut words = Vec::new();
    if record.protocol == Protocol::TCP && !record.tcp_flags.is_empty() {
        words.push(record.tcp_flags.to_string());
    }
    if let Some((kind, code)) = record.icmp {
        words.push(format!("type {kind} code {code}"));
    }
    if let Some(service) = &record.service {
        words.push(format!("via Service {service}"));
    }
    if let Some(staged) = &record.staged {
        let by = [&staged.egress, &staged.ingress].into_iter().flatten();
        let by = by
            .filter(|decision| decision.verdict == staged.verdict)
            .map(|decision| decision.reason.to_string());
        let by = by.collect::<Vec<_>>().join(", ");
        let verdict = super::verdict_word(staged.verdict);
        words.push(format!(
            "staged policies: would be {verdict}{}{by}",
            if by.is_empty() { "" } else { ": " }
        ));
    }
    if record.suppressed > 0 {
        words.push(format!("{} more like it", record.suppressed));
    }
    words.join("; ")
}

/// What is missing of the flows that were shown, for the foot of an answer.
pub fn losses(losses: &Losses) -> Option<String> {
    let all = [
        (losses.kernel, "the kernel's buffer was full"),
        (losses.reader, "they were gone before they were read"),
        (losses.disk, "the disk was too slow"),
        (losses.export, "an export was too slow"),
    ];
    let sum: u64 = all.iter().map(|(count, _)| count).sum();
    let mut words: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count}: {why}")).collect();
    // How many flows they have, nobody knows.
    if losses.nodes > 0 {
        words.push(format!("and all of {} nodes that can't be heard", losses.nodes));
    }
    if losses.suppressed > 0 {
        words.push(format!("{} denials were counted rather than reported one by one", losses.suppressed));
    }
    let since = if losses.since_start { " since the server started" } else { "" };
    (!words.is_empty()).then(|| format!("missing{since}: {sum} flows ({})", words.join("; ")))
}

/// Whether flows are missing altogether.
pub fn is_lossy(losses: &Losses) -> bool {
    losses.kernel + losses.reader + losses.nodes > 0
}

/// What nodes that are away mean; `None`: all is well.
pub fn nodes(status: &NodeStatusEvent) -> Option<String> {
    let names = status.node_names.join(", ");
    let more = if status.message.is_empty() { String::new() } else { format!(": {}", status.message) };
    match status.state_change() {
        NodeState::NodeUnavailable => {
            Some(format!("flows of these nodes are missing, they can't be heard: {names}{more}"))
        }
        NodeState::NodeError => Some(format!("these nodes answer with an error: {names}{more}")),
        NodeState::NodeGone => Some(format!("these nodes are gone: {names}{more}")),
        NodeState::NodeConnected | NodeState::UnknownNodeState => None,
    }
}

#[cfg(test)]
mod tests;
