//! NetworkPolicy: the one kind where a misread field opens or closes something, so that unknown fields
//! are errors and whatever can't be read allows nothing.

use ipnet::IpNet;

use crate::cursor::{Cursor, Value, quoted_list};
use crate::syntax::{is_strict_part, parse_cidr, port_name_fault};
use crate::tree::shorten;
use crate::{
    IpBlock, LabelSelector, Meta, NetworkPolicy, Peer, PodPeer, PolicyPort, PortMatch, Protocol, Rule,
    Severity,
};

use super::selector::selector;

/// Which way a list of rules looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    /// The list of rules, and the field of a rule that holds its peers.
    pub(super) const fn fields(self) -> (&'static str, &'static str) {
        match self {
            Direction::Ingress => ("ingress", "from"),
            Direction::Egress => ("egress", "to"),
        }
    }

    pub(super) const fn other(self) -> Direction {
        match self {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        }
    }
}

pub(super) fn network_policy(root: &Cursor<'_>, meta: Meta) -> NetworkPolicy {
    root.unknown_fields(&["apiVersion", "kind", "metadata", "spec", "status"], Severity::Warning);
    let mut policy = NetworkPolicy { meta, ..NetworkPolicy::default() };
    let Some(spec) = root.field("spec") else {
        root.missing(
            Severity::Warning,
            "spec",
            "a policy without `spec` denies all ingress of every pod of its namespace",
            "write `spec` with a `podSelector`",
        );
        policy.ingress_in_force = true;
        return policy;
    };
    if !spec.expect_mapping() {
        policy.pod_selector = LabelSelector::invalid();
        (policy.ingress_in_force, policy.egress_in_force) = (true, true);
        return policy;
    }
    let meant = spec.unknown_fields(&["podSelector", "policyTypes", "ingress", "egress"], Severity::Error);
    // A misspelt field is not an absent one: its default could be wider than what was meant.
    let misspelt = |name: &str| meant.contains(&name) && spec.field(name).is_none();

    policy.pod_selector = match spec.field("podSelector") {
        Some(found) => selector(&found, true),
        None if misspelt("podSelector") => LabelSelector::invalid(),
        None => {
            spec.missing(
                Severity::Warning,
                "podSelector",
                "a policy without `podSelector` selects every pod of its namespace",
                "write `podSelector: {}` to say so",
            );
            LabelSelector::default()
        }
    };
    policy.ingress = rules(&spec, Direction::Ingress);
    policy.egress = rules(&spec, Direction::Egress);
    let has_egress = !policy.egress.is_empty() || misspelt("egress");
    (policy.ingress_in_force, policy.egress_in_force) = match spec.field("policyTypes") {
        None if misspelt("policyTypes") => (true, true),
        None => (true, has_egress),
        Some(types) => policy_types(&types, has_egress),
    };
    policy
}

/// Whether ingress and egress are in force. What can't be read counts as both.
fn policy_types(types: &Cursor<'_>, has_egress: bool) -> (bool, bool) {
    if !types.expect_list() {
        return (true, true);
    }
    if types.is_empty() {
        return (true, has_egress);
    }
    if types.items().len() > 2 {
        types.error("more than two policy types", "write each of `Ingress` and `Egress` once at most");
    }
    types.items().fold((false, false), |(ingress, egress), item| match item.text() {
        Some("Ingress") => (true, egress),
        Some("Egress") => (ingress, true),
        Some(text) => {
            let guess = ["Ingress", "Egress"].into_iter().find(|name| name.eq_ignore_ascii_case(text));
            let help = match guess {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => "policy types are `Ingress` and `Egress`".to_owned(),
            };
            item.error(format!("unknown policy type `{}`", shorten(text)), help);
            match guess {
                Some("Ingress") => (true, egress),
                Some(_) => (ingress, true),
                None => (true, true),
            }
        }
        None => (true, true),
    })
}

fn rules(spec: &Cursor<'_>, direction: Direction) -> Vec<Rule> {
    let (name, _) = direction.fields();
    match spec.list(name) {
        Some(list) => list.items().map(|item| rule(&item, direction)).collect(),
        // An egress list that can't be read must still count as egress.
        None if spec.field(name).is_some() => vec![nothing(spec)],
        None => Vec::new(),
    }
}

/// A rule that matches nothing.
fn nothing(at: &Cursor<'_>) -> Rule {
    Rule { peers: Some(Vec::new()), ports: None, source: at.source() }
}

fn rule(item: &Cursor<'_>, direction: Direction) -> Rule {
    if item.node.is_null() {
        item.warning(
            "an empty entry counts as `{}`: it allows everything",
            "write `- {}` to say so, or remove it",
        );
        return Rule { source: item.source(), ..Rule::default() };
    }
    if !item.expect_mapping() {
        return nothing(item);
    }
    let (_, own) = direction.fields();
    let (_, foreign) = direction.other().fields();
    let mut readable = true;
    if let Some(field) = item.field(foreign) {
        let (list, _) = direction.fields();
        field.error(format!("rules of `{list}` have no `{foreign}`"), format!("write `{own}`"));
        readable = false;
    }
    readable &= item.unknown_fields(&[own, "ports", foreign], Severity::Error).is_empty();
    let mut rule =
        Rule { peers: entries(item, own, peer), ports: entries(item, "ports", port), source: item.source() };
    if !readable {
        rule.peers = Some(Vec::new());
    }
    rule
}

/// The entries of a list that can be read; `None` when the list is absent or empty and so matches all.
fn entries<T>(rule: &Cursor<'_>, name: &str, read: impl Fn(&Cursor<'_>) -> Option<T>) -> Option<Vec<T>> {
    let list = rule.field(name)?;
    if !list.expect_list() {
        return Some(Vec::new());
    }
    (!list.is_empty()).then(|| list.items().filter_map(|item| read(&item)).collect())
}

fn peer(item: &Cursor<'_>) -> Option<Peer> {
    const FIELDS: [&str; 3] = ["podSelector", "namespaceSelector", "ipBlock"];
    let empty = || {
        let help = "select pods, as in `podSelector: {}` for all of this namespace; to allow any source or destination, remove the list";
        item.error("a peer with nothing set", help);
    };
    if item.node.is_null() {
        empty();
        return None;
    }
    if !item.expect_mapping() {
        return None;
    }
    let readable = item.unknown_fields(&FIELDS, Severity::Error).is_empty();
    let pods = item.field("podSelector").map(|found| selector(&found, true));
    let namespaces = item.field("namespaceSelector").map(|found| selector(&found, true));
    let block = item.field("ipBlock");
    let selects = pods.is_some() || namespaces.is_some();
    match block {
        None if selects => readable.then(|| Peer::Pods(PodPeer { namespaces, pods, source: item.source() })),
        None => {
            if readable {
                empty();
            }
            None
        }
        Some(block) => {
            let found = ip_block(&block, item);
            if selects {
                block.error("`ipBlock` can't be combined with selectors", "make it a list entry of its own");
                return None;
            }
            found.filter(|_| readable).map(Peer::IpBlock)
        }
    }
}

fn ip_block(block: &Cursor<'_>, item: &Cursor<'_>) -> Option<IpBlock> {
    if !block.expect_mapping() {
        return None;
    }
    let mut readable = block.unknown_fields(&["cidr", "except"], Severity::Error).is_empty();
    let cidr = match block.field("cidr") {
        Some(field) => network(&field),
        None => {
            block.missing(
                Severity::Error,
                "cidr",
                "`cidr` is missing",
                "name a network, as in `cidr: 10.0.0.0/8`",
            );
            None
        }
    };
    let mut except = Vec::new();
    if let Some(list) = block.field("except") {
        readable &= list.expect_list();
        for item in list.items() {
            let Some(hole) = network(&item) else {
                // Without its hole the block would allow what was to be cut out.
                readable = false;
                continue;
            };
            if let Some(cidr) = &cidr
                && !is_strict_part(&hole, cidr)
            {
                item.error(
                    format!("{hole} is no strict part of {cidr}"),
                    "except a smaller network inside `cidr`",
                );
                readable = false;
            }
            except.push(hole);
        }
    }
    let cidr = cidr?;
    readable.then(|| IpBlock { cidr, except, source: item.source() })
}

fn network(field: &Cursor<'_>) -> Option<IpNet> {
    match parse_cidr(field.text()?) {
        Ok(network) => {
            if let Some(unusual) = network.unusual {
                field.warning(
                    format!("{unusual}: used as {}", network.net),
                    format!("write `{}`", network.net),
                );
            }
            Some(network.net)
        }
        Err((message, help)) => {
            field.error(message, help);
            None
        }
    }
}

/// A `protocol`; TCP when absent, `None` after an error.
pub(super) fn protocol(field: Option<Cursor<'_>>) -> Option<Protocol> {
    let Some(field) = field else { return Some(Protocol::Tcp) };
    let text = field.text()?;
    let named = |p: &Protocol| p.as_str() == text;
    let found = Protocol::ALL.into_iter().find(named);
    if found.is_none() {
        let guess = Protocol::ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text));
        let help = match guess {
            Some(guess) => format!("write `{guess}`"),
            None => format!("protocols are {}", quoted_list(&Protocol::ALL.map(Protocol::as_str))),
        };
        field.error(format!("unknown protocol `{}`", shorten(text)), help);
    }
    found
}

fn port(item: &Cursor<'_>) -> Option<PolicyPort> {
    if item.node.is_null() {
        item.warning("an empty entry counts as `{}`: every TCP port", "write `- protocol: TCP` to say so");
        return Some(PolicyPort { protocol: Protocol::Tcp, port: PortMatch::All, source: item.source() });
    }
    if !item.is_mapping() && item.int_or_text().is_some() {
        item.error(
            "expected a mapping, found a lone port",
            format!("write `- port: {}`", shorten(item.raw())),
        );
    }
    if !item.is_mapping() {
        return None;
    }
    let readable = item.unknown_fields(&["protocol", "port", "endPort"], Severity::Error).is_empty();
    let protocol = protocol(item.field("protocol"));
    let matched = port_match(item);
    let (protocol, port) = (protocol?, matched?);
    readable.then(|| PolicyPort { protocol, port, source: item.source() })
}

fn port_match(item: &Cursor<'_>) -> Option<PortMatch> {
    let end = item.field("endPort");
    let Some(port) = item.field("port") else {
        if let Some(end) = end {
            end.error("`endPort` without `port`", "write the first port as `port`, or remove `endPort`");
            return None;
        }
        return Some(PortMatch::All);
    };
    match port.int_or_text()? {
        Value::Text(name) => {
            if let Some(fault) = port_name_fault(name) {
                let help = match name.parse::<u16>() {
                    Ok(number) => format!("remove the quotes: {number}"),
                    Err(_) => fault.to_owned(),
                };
                port.error(format!("`{}` is no port", shorten(name)), help);
                return None;
            }
            if let Some(end) = end {
                end.error("`endPort` needs a numeric `port`", "write both as numbers, or remove `endPort`");
                return None;
            }
            Some(PortMatch::Named(name.to_owned()))
        }
        Value::Int(_) => {
            let last = end.as_ref().map(Cursor::port);
            let first = port.port()?;
            let last = match last {
                None => first,
                Some(last) => last?,
            };
            if last < first {
                if let Some(end) = end {
                    end.error(
                        format!("`endPort` {last} is below `port` {first}"),
                        format!("write {first} or more, or swap the two"),
                    );
                }
                return None;
            }
            Some(PortMatch::Range(first, last))
        }
    }
}
