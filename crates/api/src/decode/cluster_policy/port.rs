//! Ports of cluster-scoped policies.

use crate::cursor::{Cursor, quoted_list};
use crate::syntax::port_name_fault;
use crate::tree::shorten;
use crate::{ClusterPortMatch, PortMatch, Protocol, Severity};

use super::super::network_policy::protocol;
use super::required;

/// An entry of `protocols`; `None` after an error.
pub(super) fn protocol_entry(item: &Cursor<'_>) -> Option<ClusterPortMatch> {
    let (name, field) = only_field(item, &["tcp", "udp", "sctp", "destinationNamedPort"])?;
    let protocol = match name {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return named(&field),
    };
    if !field.expect_mapping() || !field.unknown_fields(&["destinationPort"], Severity::Error).is_empty() {
        return None;
    }
    let Some(port) = field.field("destinationPort") else {
        field.error(
            format!("`{name}` with nothing set"),
            "name a port, or write `destinationPort: {range: {start: 1, end: 65535}}` to mean all",
        );
        return Some(ClusterPortMatch::Port(protocol, PortMatch::All));
    };
    let (name, field) = only_field(&port, &["number", "range"])?;
    let matches = match name {
        "number" => {
            let number = field.port()?;
            PortMatch::Range(number, number)
        }
        _ => {
            if !field.expect_mapping() || !field.unknown_fields(&["start", "end"], Severity::Error).is_empty()
            {
                return None;
            }
            range(&field)?
        }
    };
    Some(ClusterPortMatch::Port(protocol, matches))
}

/// An entry of v1alpha1's `ports`; `None` after an error.
pub(super) fn port_entry(item: &Cursor<'_>) -> Option<ClusterPortMatch> {
    let (name, field) = only_field(item, &["portNumber", "portRange", "namedPort"])?;
    if name == "namedPort" {
        return named(&field);
    }
    let fields: &[&str] =
        if name == "portNumber" { &["protocol", "port"] } else { &["protocol", "start", "end"] };
    if !field.expect_mapping() || !field.unknown_fields(fields, Severity::Error).is_empty() {
        return None;
    }
    let matches = if name == "portNumber" {
        let number = required(&field, "port", "name the port, as in `port: 80`").and_then(|port| port.port());
        number.map(|number| PortMatch::Range(number, number))
    } else {
        range(&field)
    };
    let protocol = protocol(field.field("protocol"));
    Some(ClusterPortMatch::Port(protocol?, matches?))
}

/// The field of a mapping that may have only one.
fn only_field<'a, 'n>(item: &'a Cursor<'a>, fields: &[&'n str]) -> Option<(&'n str, Cursor<'a>)> {
    if !item.node.is_null() {
        if !item.is_mapping() && item.int_or_text().is_some() {
            let help = format!("write one of {} below it", quoted_list(fields).replace(" and ", " or "));
            item.error(format!("expected a mapping, found `{}`", shorten(item.raw())), help);
        }
        if !item.is_mapping() {
            return None;
        }
    }
    if !item.unknown_fields(fields, Severity::Error).is_empty() {
        return None;
    }
    let choices = || quoted_list(fields).replace(" and ", " or ");
    let mut set = fields.iter().filter_map(|name| Some((*name, item.field(name)?)));
    let Some(first) = set.next() else {
        item.error("a port with nothing set", format!("set one of {}", choices()));
        return None;
    };
    if let Some((second, at)) = set.next() {
        let message = format!("`{}` and `{second}` in one entry", first.0);
        at.error(message, format!("set only one of {}; make each an entry of its own", choices()));
        return None;
    }
    Some(first)
}

fn named(field: &Cursor<'_>) -> Option<ClusterPortMatch> {
    let name = field.text()?;
    if let Some(fault) = port_name_fault(name) {
        field.error(format!("`{}` is no port name", shorten(name)), fault);
        return None;
    }
    Some(ClusterPortMatch::Named(name.to_owned()))
}

/// `start` and `end`.
fn range(field: &Cursor<'_>) -> Option<PortMatch> {
    let bound = |name: &str, help: &str| required(field, name, help).and_then(|port| port.port());
    let start = bound("start", "name the first port, as in `start: 8000`");
    let end = bound("end", "name the last port, as in `end: 8100`");
    let (start, end) = (start?, end?);
    if start >= end {
        field.error(
            format!("`start` {start} is not below `end` {end}"),
            "a range has at least two ports; write one port as a number, or swap the two",
        );
    }
    (start <= end).then_some(PortMatch::Range(start, end))
}
