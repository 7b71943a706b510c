//! Cluster-scoped policies. Unknown fields are errors, as for NetworkPolicy, and every limit and rule of
//! the CRDs holds here as well.
//!
//! These policies both allow and deny, so that leaving out what can't be read would allow more as often as
//! less. What can't be read therefore becomes a value named `Unknown`, which closes its rule: an Accept rule
//! with it matches nothing, a Deny or Pass rule denies everything.

mod peer;
mod port;

use crate::cursor::{Cursor, quoted_list};
use crate::syntax::nearest;
use crate::tree::shorten;
use crate::{
    Action, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPort, ClusterPortMatch, ClusterRule,
    ClusterSubject, ClusterTier, Meta, Severity, Source,
};

use super::network_policy::Direction;

/// What differs between the kinds.
#[derive(Clone, Copy)]
struct Dialect {
    kind: ClusterPolicyKind,
    /// The most entries of a list of rules, peers or ports.
    most: usize,
    /// Actions, as written.
    actions: &'static [(&'static str, Action)],
    /// The field of a rule that narrows it to ports.
    ports: &'static str,
    /// Networks with address bits beyond their length are refused.
    masked_only: bool,
}

impl Dialect {
    fn new(kind: ClusterPolicyKind, api_version: &str) -> Self {
        const CLUSTER: &[(&str, Action)] =
            &[("Accept", Action::Accept), ("Deny", Action::Deny), ("Pass", Action::Pass)];
        const ADMIN: &[(&str, Action)] =
            &[("Allow", Action::Accept), ("Deny", Action::Deny), ("Pass", Action::Pass)];
        let (most, actions, ports) = match kind {
            ClusterPolicyKind::ClusterNetworkPolicy => (25, CLUSTER, "protocols"),
            ClusterPolicyKind::AdminNetworkPolicy => (100, ADMIN, "ports"),
            // Nothing comes after the Baseline tier of old to pass to.
            ClusterPolicyKind::BaselineAdminNetworkPolicy => (100, &ADMIN[..2], "ports"),
        };
        let masked_only = !api_version.ends_with("/v1alpha1") && !api_version.ends_with("/v1alpha2");
        Dialect { kind, most, actions, ports, masked_only }
    }
}

/// A policy without a readable tier or priority comes first in the Admin tier: no deny of it comes too late.
/// Its Accept rules match nothing there, since they could override denies that were to come before, and its
/// Pass rules deny, since they could skip such denies.
pub(super) fn cluster_policy(
    root: &Cursor<'_>,
    meta: Meta,
    kind: ClusterPolicyKind,
    api_version: &str,
) -> ClusterPolicy {
    let dialect = Dialect::new(kind, api_version);
    root.unknown_fields(&["apiVersion", "kind", "metadata", "spec", "status"], Severity::Warning);
    if kind == ClusterPolicyKind::BaselineAdminNetworkPolicy
        && let Some(metadata) = root.field("metadata")
        && let Some(name) = metadata.field("name")
        && meta.name != "default"
    {
        name.error(
            "a cluster has one BaselineAdminNetworkPolicy, named `default`",
            "name it `default`, and put its rules in the order in which they are to be asked",
        );
    }
    let mut policy = ClusterPolicy {
        meta,
        kind,
        tier: ClusterTier::Admin,
        priority: 0,
        subject: ClusterSubject::Unknown,
        ingress: Vec::new(),
        egress: Vec::new(),
    };
    let Some(spec) = root.field("spec") else {
        let help = "write `spec` with a `subject` and rules";
        root.missing(Severity::Error, "spec", "a policy without `spec` does nothing", help);
        return policy;
    };
    if !spec.expect_mapping() {
        policy.ingress.push(closed(&spec));
        policy.egress.push(closed(&spec));
        return policy;
    }
    let known: &[&str] = match kind {
        ClusterPolicyKind::ClusterNetworkPolicy => &["tier", "priority", "subject", "ingress", "egress"],
        ClusterPolicyKind::AdminNetworkPolicy => &["priority", "subject", "ingress", "egress"],
        ClusterPolicyKind::BaselineAdminNetworkPolicy => &["subject", "ingress", "egress"],
    };
    let meant = spec.unknown_fields(known, Severity::Error);
    let tier = match kind {
        ClusterPolicyKind::ClusterNetworkPolicy => tier(&spec),
        ClusterPolicyKind::AdminNetworkPolicy => Some(ClusterTier::Admin),
        ClusterPolicyKind::BaselineAdminNetworkPolicy => Some(ClusterTier::Baseline),
    };
    let priority = match kind {
        ClusterPolicyKind::BaselineAdminNetworkPolicy => Some(ClusterPolicy::NO_PRIORITY),
        _ => priority(&spec),
    };
    policy.subject = subject(&spec, dialect);
    policy.ingress = rules(&spec, Direction::Ingress, dialect, &meant);
    policy.egress = rules(&spec, Direction::Egress, dialect, &meant);
    match (tier, priority) {
        (Some(tier), Some(priority)) => (policy.tier, policy.priority) = (tier, priority),
        (tier, _) => {
            policy.tier = tier.unwrap_or(ClusterTier::Admin);
            for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                match rule.action {
                    Action::Accept => rule.peers.clear(),
                    Action::Deny => {}
                    Action::Pass => rule.action = Action::Deny,
                }
            }
        }
    }
    policy
}

fn required<'a>(parent: &'a Cursor<'a>, name: &str, help: &str) -> Option<Cursor<'a>> {
    let field = parent.field(name);
    if field.is_none() {
        parent.missing(Severity::Error, name, &format!("`{name}` is missing"), help);
    }
    field
}

fn tier(spec: &Cursor<'_>) -> Option<ClusterTier> {
    const TIERS: [(&str, ClusterTier); 2] =
        [("Admin", ClusterTier::Admin), ("Baseline", ClusterTier::Baseline)];
    let help = "write `tier: Admin` to come before NetworkPolicies, `tier: Baseline` to come after them";
    one_of(&required(spec, "tier", help)?, "tier", &TIERS)
}

/// The meaning of a word; reports any other.
fn one_of<T: Copy>(field: &Cursor<'_>, what: &str, words: &[(&str, T)]) -> Option<T> {
    let text = field.text()?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = match nearest(text, &names) {
            Some(guess) => format!("did you mean `{guess}`?"),
            None => format!("write {}", quoted_list(&names).replace(" and ", " or ")),
        };
        field.error(format!("unknown {what} `{}`", shorten(text)), help);
    }
    found.map(|(_, meaning)| *meaning)
}

fn priority(spec: &Cursor<'_>) -> Option<i32> {
    let help = "write a number from 0 to 1000; the lowest is asked first";
    let value = required(spec, "priority", help)?.int_within(0, 1000)?;
    i32::try_from(value).ok()
}

fn subject(spec: &Cursor<'_>, dialect: Dialect) -> ClusterSubject {
    let help = "write `subject: {namespaces: {}}` to mean every pod";
    let Some(field) = required(spec, "subject", help) else { return ClusterSubject::Unknown };
    match peer::selected(&field, "a subject", &["namespaces", "pods"], dialect) {
        Some(ClusterPeer::Pods { namespaces, pods, .. }) => ClusterSubject::Pods { namespaces, pods },
        _ => ClusterSubject::Unknown,
    }
}

/// A rule that denies everything: it stands for one that can't be read.
fn closed(at: &Cursor<'_>) -> ClusterRule {
    let source = at.source();
    ClusterRule {
        name: String::new(),
        action: Action::Deny,
        peers: vec![ClusterPeer::Unknown(source.clone())],
        ports: None,
        source,
    }
}

fn rules(spec: &Cursor<'_>, direction: Direction, dialect: Dialect, meant: &[&str]) -> Vec<ClusterRule> {
    let (name, _) = direction.fields();
    match spec.field(name) {
        Some(list) if list.expect_list() => {
            at_most(&list, dialect.most, "rules");
            list.items().map(|item| rule(&item, direction, dialect)).collect()
        }
        // Denies may be among what was written.
        Some(unreadable) => vec![closed(&unreadable)],
        None if meant.contains(&name) => vec![closed(spec)],
        None => Vec::new(),
    }
}

/// Reports the first entry beyond a limit.
fn at_most(list: &Cursor<'_>, most: usize, what: &str) {
    if let Some(item) = list.items().nth(most) {
        item.error(
            format!("more than {most} {what} in one list"),
            format!("keep at most {most} {what} here and move the rest to another rule or policy"),
        );
    }
}

fn rule(item: &Cursor<'_>, direction: Direction, dialect: Dialect) -> ClusterRule {
    if !item.expect_mapping() {
        return closed(item);
    }
    let (list, own) = direction.fields();
    let (_, foreign) = direction.other().fields();
    let mut readable = true;
    if let Some(field) = item.field(foreign) {
        field.error(format!("rules of `{list}` have no `{foreign}`"), format!("write `{own}`"));
        readable = false;
    }
    let known = ["name", "action", own, dialect.ports, foreign];
    readable &= item.unknown_fields(&known, Severity::Error).is_empty();

    let name = item.field("name").and_then(|field| {
        let name = field.text()?;
        if name.chars().count() > 100 {
            field.error("a rule's name has more than 100 characters", "shorten it to 100 characters or less");
        }
        Some(name.to_owned())
    });
    let words: Vec<&str> = dialect.actions.iter().map(|(word, _)| *word).collect();
    let help = format!("write {}", quoted_list(&words).replace(" and ", " or "));
    let action = required(item, "action", &help).and_then(|field| one_of(&field, "action", dialect.actions));

    let source = item.source();
    let mut peers = peers(item, own, direction, action, dialect);
    let mut ports = ports(item, dialect);
    if direction == Direction::Egress {
        refuse_named_ports_outside_of_pods(item, &peers, &mut ports, dialect);
    }
    if !readable || action.is_none() {
        peers.push(ClusterPeer::Unknown(source.clone()));
    }
    ClusterRule {
        name: name.unwrap_or_default(),
        action: action.unwrap_or(Action::Deny),
        peers,
        ports,
        source,
    }
}

fn peers(
    item: &Cursor<'_>,
    name: &str,
    direction: Direction,
    action: Option<Action>,
    dialect: Dialect,
) -> Vec<ClusterPeer> {
    let help = "say whom the rule is about, as in `- namespaces: {}` for every pod";
    let Some(list) = required(item, name, help).filter(Cursor::expect_list) else {
        return vec![ClusterPeer::Unknown(item.source())];
    };
    if list.is_empty() {
        list.error("a rule without peers matches nothing", help);
    }
    at_most(&list, dialect.most, "peers");
    list.items().map(|item| peer::peer(&item, direction, action, dialect)).collect()
}

fn ports(item: &Cursor<'_>, dialect: Dialect) -> Option<Vec<ClusterPort>> {
    let list = item.field(dialect.ports)?;
    let unknown = |source: Source| Some(vec![ClusterPort { matches: ClusterPortMatch::Unknown, source }]);
    if !list.expect_list() {
        return unknown(list.source());
    }
    if list.is_empty() {
        list.error(
            format!("an empty `{}` is neither every port nor none", dialect.ports),
            "remove the field to mean every port and protocol, or name a port",
        );
        return unknown(list.source());
    }
    at_most(&list, dialect.most, "ports");
    let read = |item: &Cursor<'_>| match dialect.kind {
        ClusterPolicyKind::ClusterNetworkPolicy => port::protocol_entry(item),
        _ => port::port_entry(item),
    };
    let entry = |item: Cursor<'_>| ClusterPort {
        matches: read(&item).unwrap_or(ClusterPortMatch::Unknown),
        source: item.source(),
    };
    Some(list.items().map(entry).collect())
}

/// Nodes, networks and domains have no port names: such a rule can't mean what it says.
fn refuse_named_ports_outside_of_pods(
    item: &Cursor<'_>,
    peers: &[ClusterPeer],
    ports: &mut Option<Vec<ClusterPort>>,
    dialect: Dialect,
) {
    let outside = peers.iter().any(|peer| {
        matches!(peer, ClusterPeer::Nodes { .. } | ClusterPeer::Networks { .. } | ClusterPeer::Domains { .. })
    });
    if !outside {
        return;
    }
    let Some(list) = item.field(dialect.ports) else { return };
    for (entry, port) in list.items().zip(ports.iter_mut().flatten()) {
        if matches!(port.matches, ClusterPortMatch::Named(_)) {
            entry.error(
                "a named port in a rule about `nodes`, `networks` or `domainNames`, which have no port names",
                "write the port's number, or move these peers to a rule of their own",
            );
            port.matches = ClusterPortMatch::Unknown;
        }
    }
}
