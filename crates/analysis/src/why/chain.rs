//! Why one connection is allowed or denied: both sides, policy by policy.

use podgate_policy::{
    Connection, Direction, Effect, Explanation, PolicyRef, PolicyTrace, PortKey, Reason, RuleTrace, Side,
    Tier, Verdict,
};
use serde::Serialize;

use super::change::{self, Change, Wanted, place};
use super::family_name;
use super::judge::{Unit, UnitKind};
use super::rules::{Other, Written, key_text};
use crate::ends::{Ports, Resolved};
use crate::ports::PortSet;
use crate::world::{Family, World};

/// One connection with everything that was asked on the way to its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The pod or address that connects.
    pub from: String,
    /// The pod or address it connects to.
    pub to: String,
    /// `TCP/8080`: the pod's port.
    pub port: String,
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// Allowed or denied.
    pub verdict: Verdict,
    /// The source's side.
    pub egress: SideAnswer,
    /// The destination's side.
    pub ingress: SideAnswer,
    /// Rules that almost allow it, nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<NearMiss>,
    /// What keeps any NetworkPolicy from allowing it, and what has to change instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forbidden: Vec<String>,
    /// The smallest change found that allows it, verified by the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Usual mistakes that explain the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// What one side says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SideAnswer {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: String,
    /// The policies that were asked, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyStep>,
}

/// A policy that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStep {
    /// `NetworkPolicy` or a cluster-scoped kind.
    pub kind: String,
    /// `namespace/name`, or the name alone.
    pub policy: String,
    /// `Admin`, `NetworkPolicy` or `Baseline`.
    pub tier: Tier,
    /// The priority in the tier, where the kind has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// `file:line`.
    pub at: String,
    /// Nothing before it decided: it was asked.
    pub asked: bool,
    /// Its rules of the direction.
    pub rules: Vec<RuleStep>,
}

/// A rule that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleStep {
    /// `ingress[0]`, with the rule's name where it has one.
    pub rule: String,
    /// `file:line`.
    pub at: String,
    /// `allow`, `deny` or `pass`.
    pub effect: &'static str,
    /// The rule in words: `from pods with app=web: TCP/80`.
    pub says: String,
    /// Some peer of the rule is the other end.
    pub peer: bool,
    /// Some port of the rule is the connection's.
    pub port: bool,
    /// The rule matches.
    pub matches: bool,
    /// The rule made the verdict of this side.
    pub decides: bool,
}

/// A rule that almost allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NearMiss {
    /// `namespace/policy ingress[0]`.
    pub rule: String,
    /// `file:line`.
    pub at: String,
    /// What is missing.
    pub why: String,
}

impl World {
    /// Explains one connection: `ports` are those of the question that have the same verdict, `key` one of them.
    pub(crate) fn explain_pair(
        &self,
        from: &Unit,
        to: &Unit,
        key: PortKey,
        set: &PortSet,
        end: &Resolved,
        ports: &Ports,
    ) -> Explained {
        let connection = Connection { from: from.ip, to: to.ip, protocol: key.protocol(), port: key.port() };
        let mut explanation = self.cluster.explain(&connection);
        if from.ip == to.ip && end.service.is_some() {
            explanation.decision = self.cluster.evaluate_hairpin(from.ip, key.protocol(), key.port());
        }
        let (source, target) = (self.other(from), self.other(to));
        let verdict = explanation.decision.verdict;
        let mut explained = Explained {
            from: source.title.clone(),
            to: target.title.clone(),
            port: key_text(key),
            family: family_name(Family::of(from.ip)),
            verdict,
            egress: side(self, &explanation.decision.egress, &explanation.egress, Direction::Egress, &source),
            ingress: side(
                self,
                &explanation.decision.ingress,
                &explanation.ingress,
                Direction::Ingress,
                &target,
            ),
            near: Vec::new(),
            forbidden: Vec::new(),
            change: None,
            hints: Vec::new(),
        };
        if verdict == Verdict::Denied {
            explained.near = near(self, &explanation, key, &source, &target);
            explained.forbidden = forbidden(&explanation);
            if explained.forbidden.is_empty() {
                let wanted = Wanted {
                    from,
                    to,
                    ports: wanted_ports(self, to, set, key),
                    denied: denied(&explanation),
                };
                explained.change = change::smallest(self, &wanted);
            }
        }
        explained.hints = self.hints(&explanation, from, to, &connection, end, ports);
        if verdict == Verdict::Denied && explained.forbidden.is_empty() && explained.change.is_none() {
            explained.hints.push(self.no_change(from, to));
        }
        explained
    }

    /// An end as rules look at it.
    pub(super) fn other<'a>(&'a self, unit: &Unit) -> Other<'a> {
        match &unit.kind {
            UnitKind::Pods(_, pods) => {
                let owner = unit_pod(self, unit).unwrap_or(pods[0]);
                Other::new(self, unit.ip, self.pod_name(owner), !unit.stand.kind.pod)
            }
            UnitKind::Outside(_) => Other::new(self, unit.ip, unit.ip.to_string(), false),
        }
    }
}

/// The pod of a unit that has the unit's address.
fn unit_pod(world: &World, unit: &Unit) -> Option<crate::world::PodId> {
    let UnitKind::Pods(_, pods) = &unit.kind else { return None };
    pods.iter().copied().find(|pod| world.pod(*pod).ips.contains(&unit.ip))
}

/// The sides that deny by isolation.
fn denied(explanation: &Explanation) -> Vec<(Direction, &[PolicyTrace])> {
    let sides = [
        (Direction::Egress, &explanation.decision.egress, &explanation.egress),
        (Direction::Ingress, &explanation.decision.ingress, &explanation.ingress),
    ];
    let denied = sides.into_iter().filter(|(_, side, _)| side.verdict == Verdict::Denied);
    denied.map(|(direction, _, traces)| (direction, &traces[..])).collect()
}

/// The ports that a change should allow: all that were asked, unless any was: then the pods' own.
fn wanted_ports(world: &World, to: &Unit, set: &PortSet, key: PortKey) -> PortSet {
    let one = PortSet::range(key.protocol(), key.port(), key.port());
    if PortSet::named_protocols().is_subset(set) || set.is_all() {
        let declared = match &to.kind {
            UnitKind::Pods(_, pods) => {
                let ports = pods.iter().flat_map(|pod| &world.pod_object(*pod).ports);
                ports.fold(PortSet::none(), |all, port| all.union(&PortSet::port(port.protocol, port.port)))
            }
            UnitKind::Outside(_) => PortSet::none(),
        };
        return if declared.is_empty() { one } else { declared };
    }
    set.clone()
}

fn side(
    world: &World,
    side: &Side,
    traces: &[PolicyTrace],
    direction: Direction,
    subject: &Other,
) -> SideAnswer {
    let name = list_name(direction);
    let title = &subject.title;
    let reason = match &side.reason {
        Reason::NotIsolated if traces.is_empty() => format!("no policy selects {title} for {name}"),
        Reason::NotIsolated => {
            format!("no NetworkPolicy selects {title} for {name}, and no cluster-scoped rule matches")
        }
        Reason::NotAPod if subject.host_network => {
            format!("{title} is in the host network: no policy selects it")
        }
        Reason::NotAPod => format!("{title} is no pod: no policy selects it"),
        Reason::OwnNode => "a node and the pods on it always reach each other".to_owned(),
        Reason::Itself => "it is the same pod: NetworkPolicies have no say".to_owned(),
        Reason::IcmpEcho => "echo requests are let through by a setting".to_owned(),
        Reason::Rule(rule) => {
            let verb = if side.verdict == Verdict::Allowed { "allows" } else { "denies" };
            format!("{rule} {verb} it")
        }
        Reason::Isolated(policies) => isolated(policies, name),
    };
    let decider = match &side.reason {
        Reason::Rule(rule) => Some(rule),
        _ => None,
    };
    let mut asking = Asking::default();
    let policies = traces
        .iter()
        .map(|trace| {
            let asked = asking.next(side, trace);
            let text = Written::find(&world.cluster, &trace.policy);
            PolicyStep {
                kind: trace.policy.kind.clone(),
                policy: policy_name(&trace.policy),
                tier: trace.tier,
                priority: trace.priority,
                at: place(&trace.source),
                asked,
                rules: trace
                    .rules
                    .iter()
                    .map(|rule| RuleStep {
                        rule: rule_name(rule),
                        at: place(&rule.rule.source),
                        effect: match rule.effect {
                            Effect::Allow => "allow",
                            Effect::Deny => "deny",
                            Effect::Pass => "pass",
                        },
                        says: text.map_or_else(String::new, |text| text.rule(direction, rule.rule.index)),
                        peer: rule.peer,
                        port: rule.port,
                        matches: rule.matches,
                        decides: decider == Some(&rule.rule),
                    })
                    .collect(),
            }
        })
        .collect();
    SideAnswer { verdict: side.verdict, reason, policies }
}

/// Who is still asked: tiers come in order, and so do the policies of the Admin and the Baseline tier.
#[derive(Default)]
struct Asking {
    decided: bool,
    passed: Option<Tier>,
}

impl Asking {
    fn next(&mut self, side: &Side, trace: &PolicyTrace) -> bool {
        let in_order = trace.tier != Tier::NetworkPolicy;
        let (decided_at, by_rule) = match &side.reason {
            Reason::Rule(rule) => (rule.tier, Some(rule)),
            Reason::Isolated(_) => (Tier::NetworkPolicy, None),
            _ => (Tier::Baseline, None),
        };
        let asked = trace.tier <= decided_at && !self.decided && self.passed != Some(trace.tier);
        if asked && in_order {
            self.decided = by_rule.is_some_and(|rule| rule.policy == trace.policy);
            let pass = trace.rules.iter().find(|rule| rule.matches).map(|rule| rule.effect);
            if pass == Some(Effect::Pass) {
                self.passed = Some(trace.tier);
            }
        }
        asked
    }
}

fn isolated(policies: &[PolicyRef], name: &str) -> String {
    const MOST: usize = 5;
    let named: Vec<String> = policies.iter().take(MOST).map(ToString::to_string).collect();
    let more = match policies.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let rule = if policies.len() == 1 { "no rule of it allows" } else { "no rule of them allows" };
    format!("isolated for {name} by {}{more}, and {rule} it", named.join(", "))
}

fn policy_name(policy: &PolicyRef) -> String {
    match policy.namespace.as_str() {
        "" => policy.name.clone(),
        namespace => format!("{namespace}/{}", policy.name),
    }
}

fn rule_name(rule: &RuleTrace) -> String {
    let list = list_name(rule.rule.direction);
    match rule.rule.name.as_str() {
        "" => format!("{list}[{}]", rule.rule.index),
        name => format!("{list}[{}] \"{name}\"", rule.rule.index),
    }
}

pub(super) fn list_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "egress",
        Direction::Ingress => "ingress",
    }
}

/// Rules of NetworkPolicies that miss by little, on the sides that deny.
fn near(
    world: &World,
    explanation: &Explanation,
    key: PortKey,
    source: &Other,
    target: &Other,
) -> Vec<NearMiss> {
    /// Farther off than this a rule for the port is about somebody else, and another rule about something else.
    const FAR: u32 = 5;
    const SLIP: u32 = 3;
    const MOST: usize = 2;
    let mut all = Vec::new();
    for (direction, traces) in denied(explanation) {
        let other = if direction == Direction::Egress { target } else { source };
        let mut found: Vec<(u32, NearMiss)> = Vec::new();
        for trace in traces.iter().filter(|trace| trace.tier == Tier::NetworkPolicy) {
            let Some(text) = Written::find(&world.cluster, &trace.policy) else { continue };
            for rule in trace.rules.iter().filter(|rule| !rule.matches) {
                let index = rule.rule.index;
                let mut distance = 0;
                let mut reasons: Vec<String> = Vec::new();
                if rule.peer {
                    reasons.push("the peer matches".to_owned());
                } else if let Some(miss) = text.peer_miss(direction, index, other) {
                    distance += miss.distance;
                    reasons.push(miss.text);
                }
                if rule.port {
                    if text.has_ports(direction, index) {
                        reasons.insert(0, "the port matches".to_owned());
                    }
                } else if let Some(miss) = text.port_miss(direction, index, key, target) {
                    distance += 2;
                    reasons.push(miss);
                }
                if rule.peer && rule.port {
                    distance = 1;
                    reasons = vec![
                        "the peer and the port match, but not together: a port's name means nothing at a block".to_owned(),
                    ];
                }
                let far = if rule.port { FAR } else { SLIP };
                if distance > 0 && (distance <= far || rule.peer) {
                    let name = format!("{} {}", policy_name(&trace.policy), rule_name(rule));
                    let at = place(&rule.rule.source);
                    found.push((distance, NearMiss { rule: name, at, why: reasons.join("; ") }));
                }
            }
        }
        found.sort_by_key(|(distance, _)| *distance);
        all.extend(found.into_iter().take(MOST).map(|(_, near)| near));
    }
    all
}

/// Rules of cluster-scoped policies that deny, whatever NetworkPolicies say.
fn forbidden(explanation: &Explanation) -> Vec<String> {
    let sides = [&explanation.decision.egress, &explanation.decision.ingress];
    let rules = sides.into_iter().filter(|side| side.verdict == Verdict::Denied);
    rules
        .filter_map(|side| match &side.reason {
            Reason::Rule(rule) if rule.tier == Tier::Admin => Some(format!(
                "no NetworkPolicy can allow it: {rule} ({}) denies it before NetworkPolicies are asked; that rule has to change, \
                 or an Accept or Pass rule has to come before it",
                place(&rule.source)
            )),
            Reason::Rule(rule) => Some(format!(
                "{rule} ({}) denies it; that rule has to change, or a NetworkPolicy has to select the pod for {}: \
                 it then decides alone, in place of the Baseline tier",
                place(&rule.source),
                list_name(rule.direction)
            )),
            _ => None,
        })
        .collect()
}
