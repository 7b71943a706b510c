//! Peers and subjects of cluster-scoped policies.

use std::collections::HashSet;

use ipnet::IpNet;

use crate::cursor::{Cursor, quoted_list};
use crate::syntax::{Unusual, parse_cidr};
use crate::tree::shorten;
use crate::{Action, ClusterPeer, ClusterPolicyKind, LabelSelector, Severity};

use super::super::network_policy::Direction;
use super::super::selector::selector;
use super::{Dialect, required};

/// The most entries of `networks` and `domainNames`.
const MOST_NAMES: usize = 25;

pub(super) fn peer(
    item: &Cursor<'_>,
    direction: Direction,
    action: Option<Action>,
    dialect: Dialect,
) -> ClusterPeer {
    let fields: &[&str] = match (direction, dialect.kind) {
        (Direction::Ingress, _) => &["namespaces", "pods"],
        (Direction::Egress, ClusterPolicyKind::BaselineAdminNetworkPolicy) => {
            &["namespaces", "pods", "nodes", "networks"]
        }
        (Direction::Egress, _) => &["namespaces", "pods", "nodes", "networks", "domainNames"],
    };
    let found = selected(item, "a peer", fields, dialect);
    if let (Some(ClusterPeer::Domains { .. }), Some(Action::Deny | Action::Pass)) = (&found, action) {
        item.error(
            "`domainNames` can only be accepted: DNS never tells all addresses of a name",
            "deny all with a later rule, and accept the names that may be reached",
        );
        return ClusterPeer::Unknown(item.source());
    }
    found.unwrap_or_else(|| ClusterPeer::Unknown(item.source()))
}

/// Reads a mapping of which exactly one field is set; `None` after an error.
pub(super) fn selected(
    item: &Cursor<'_>,
    what: &str,
    fields: &[&str],
    dialect: Dialect,
) -> Option<ClusterPeer> {
    let choices = || quoted_list(fields).replace(" and ", " or ");
    if !item.node.is_null() && !item.expect_mapping() {
        return None;
    }
    if !item.unknown_fields(fields, Severity::Error).is_empty() {
        return None;
    }
    let mut set = fields.iter().filter_map(|name| Some((*name, item.field(name)?)));
    let Some((name, field)) = set.next() else {
        item.error(format!("{what} with nothing set"), format!("set one of {}", choices()));
        return None;
    };
    if let Some((second, at)) = set.next() {
        at.error(
            format!("`{name}` and `{second}` in one entry"),
            format!("set only one of {}; for both, make each an entry of its own", choices()),
        );
        return None;
    }
    let source = item.source();
    let valid = |found: LabelSelector| (!found.is_invalid()).then_some(found);
    Some(match name {
        "namespaces" => ClusterPeer::Pods {
            namespaces: valid(selector(&field, true))?,
            pods: LabelSelector::default(),
            source,
        },
        "pods" => {
            let (namespaces, pods) = namespaced_pods(&field, dialect)?;
            ClusterPeer::Pods { namespaces, pods, source }
        }
        "nodes" => ClusterPeer::Nodes { nodes: valid(selector(&field, true))?, source },
        "networks" => ClusterPeer::Networks {
            networks: names(&field, "networks", |item| network(item, dialect))?,
            source,
        },
        _ => ClusterPeer::Domains { names: names(&field, "domain names", domain)?, source },
    })
}

/// `pods`: the selectors of namespaces and of pods.
fn namespaced_pods(field: &Cursor<'_>, dialect: Dialect) -> Option<(LabelSelector, LabelSelector)> {
    const FIELDS: [&str; 2] = ["namespaceSelector", "podSelector"];
    if !field.expect_mapping() {
        return None;
    }
    let readable = field.unknown_fields(&FIELDS, Severity::Error).is_empty();
    let namespaces = match (field.field(FIELDS[0]), dialect.kind) {
        (Some(found), _) => Some(selector(&found, true)),
        (None, ClusterPolicyKind::ClusterNetworkPolicy) => Some(LabelSelector::default()),
        (None, _) => {
            let help = "write `namespaceSelector: {}` to mean every namespace";
            required(field, FIELDS[0], help);
            None
        }
    };
    let pods = required(field, FIELDS[1], "write `podSelector: {}` to mean every pod of the namespaces")
        .map(|found| selector(&found, true));
    let (namespaces, pods) = (namespaces?, pods?);
    (readable && !namespaces.is_invalid() && !pods.is_invalid()).then_some((namespaces, pods))
}

/// A list that is a set; `None` when an entry can't be read.
fn names<T>(list: &Cursor<'_>, what: &str, read: impl Fn(&Cursor<'_>) -> Option<T>) -> Option<Vec<T>> {
    if !list.expect_list() {
        return None;
    }
    if list.is_empty() {
        list.error(format!("no {what}"), "name at least one, or remove the peer");
        return None;
    }
    super::at_most(list, MOST_NAMES, what);
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut readable = true;
    for item in list.items() {
        if !seen.insert(item.raw()) {
            item.error(format!("`{}` is there twice", shorten(item.raw())), "keep one of the two");
        }
        match read(&item) {
            Some(value) => found.push(value),
            None => readable = false,
        }
    }
    readable.then_some(found)
}

fn network(item: &Cursor<'_>, dialect: Dialect) -> Option<IpNet> {
    match parse_cidr(item.text()?) {
        Ok(network) => {
            if let Some(unusual) = network.unusual {
                let refused = dialect.masked_only || unusual != Unusual::HostBits;
                let severity = if refused { Severity::Error } else { Severity::Warning };
                let message = format!("{unusual}: used as {}", network.net);
                item.report(severity, message, format!("write `{}`", network.net));
            }
            Some(network.net)
        }
        Err((message, help)) => {
            item.error(message, help);
            None
        }
    }
}

/// A domain's name, in lower case and without its final dot.
fn domain(item: &Cursor<'_>) -> Option<String> {
    let text = item.text()?;
    let name = text.strip_suffix('.').unwrap_or(text);
    let exact = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if exact.contains('.') && exact.split('.').all(is_label) {
        return Some(name.to_ascii_lowercase());
    }
    let help = if exact.contains('*') {
        "`*` stands for one or more whole labels, in front only, as in `*.example.com`"
    } else {
        "write a name of at least two labels, as in `example.com`, or `*.example.com` for the names below it"
    };
    item.error(format!("`{}` is no domain name", shorten(text)), help);
    None
}
