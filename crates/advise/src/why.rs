//! The whole story of a connection that was seen: what was decided then, and every policy and rule that was asked.

use podgate_api::Object;
use podgate_flow::{Endpoint, FlowId, FlowRecord, FlowVerdict, Party, PolicyVersion};
use podgate_policy::{Effect, PolicyTrace, Reason, RuleRef, Settings, Tier, Verdict};
use serde::Serialize;

use crate::judge::{Judge, without_staged};
use crate::seen::{Key, Seen, Tally};

/// Remembers which policies were in force.
pub trait PolicyArchive {
    /// The policies of a version; `None`: nobody remembers them.
    fn policies(&self, version: PolicyVersion) -> Option<Vec<Object>>;
}

/// Which records are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one with this id.
    Id(FlowId),
    /// Connections from one end to another.
    Ends {
        /// Who opened them: `namespace/name` of a pod or workload, its name alone, a node, an address, a DNS name, or
        /// `outside`.
        from: String,
        /// Who was reached.
        to: String,
        /// The destination's port, before or after Service translation.
        port: Option<u16>,
    },
}

impl Wanted {
    /// Whether a record is asked about.
    pub fn fits(&self, record: &FlowRecord) -> bool {
        match self {
            Wanted::Id(id) => record.id == *id,
            Wanted::Ends { from, to, port } => {
                let ports = [Some(record.destination.port), record.asked.map(|asked| asked.port())];
                names(from, &record.source)
                    && (names(to, &record.destination) || names_service(to, record))
                    && port.is_none_or(|port| ports.contains(&Some(port)))
            }
        }
    }
}

fn names(name: &str, end: &Endpoint) -> bool {
    if end.ip.to_string() == name
        || end.dns.iter().flat_map(|names| names.iter()).any(|known| **known == *name)
    {
        return true;
    }
    match &*end.party {
        Party::Pod { namespace, pod, owner, .. } => {
            let bare = match name.split_once('/') {
                Some((wanted, _)) if wanted != namespace => return false,
                Some((_, bare)) => bare,
                None => name,
            };
            bare == pod || owner.as_ref().is_some_and(|owner| owner.name == bare)
        }
        Party::Node { node } => node == name,
        Party::Outside { name: given } => given.as_deref().unwrap_or("outside") == name || name == "outside",
    }
}

/// Whether it is the Service that the client asked.
fn names_service(name: &str, record: &FlowRecord) -> bool {
    record.service.as_ref().is_some_and(|service| match name.split_once('/') {
        Some((namespace, name)) => service.namespace == namespace && service.name == name,
        None => service.name == name,
    })
}

/// Which policies a story is told with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Those that were in force at that time.
    OfThatTime,
    /// The input's, which may be newer or older.
    OfTheInput,
}

/// See the module.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// What was recorded.
    pub record: FlowRecord,
    /// The same by the engine, policy by policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// Why the engine can't tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untold: Option<&'static str>,
}

/// A connection as the engine judges it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// By which policies.
    pub basis: Basis,
    /// Allowed or denied.
    pub verdict: Verdict,
    /// The record says otherwise: other policies were in force.
    pub differs: bool,
    /// The source's side.
    pub egress: Side,
    /// The destination's side.
    pub ingress: Side,
}

/// One side.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// Why.
    pub by: String,
    /// The policies that select this end, in the order in which they are asked.
    pub policies: Vec<Policy>,
}

/// A policy that is asked.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    /// Its name, with its kind where that is not NetworkPolicy.
    pub policy: String,
    /// Its tier.
    pub tier: Tier,
    /// Its rules of the direction.
    pub rules: Vec<Rule>,
}

/// A rule that is asked.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Its place in the list.
    pub index: u32,
    /// `file:line` of it, where known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// `allow`, `deny` or `pass`.
    pub effect: &'static str,
    /// Who and what that is about, in words.
    pub says: String,
    /// Some peer of it is the other end.
    pub peer: bool,
    /// Some port of it is the connection's.
    pub port: bool,
    /// It matches.
    pub matches: bool,
    /// It made the verdict of this side.
    pub decides: bool,
}

impl Story {
    /// Tells a record's story with the policies of its time, where the archive has them, or else with the input's.
    pub fn new(
        record: FlowRecord,
        objects: &[Object],
        archive: Option<&dyn PolicyArchive>,
        settings: Settings,
    ) -> Story {
        let archived = archive
            .filter(|_| !record.policy_version.is_unknown())
            .and_then(|archive| archive.policies(record.policy_version));
        let is_policy =
            |object: &Object| matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_));
        let (basis, objects) = match archived {
            Some(policies) => {
                // All of these were in force then, whatever is staged now.
                let others = objects.iter().filter(|object| !is_policy(object)).cloned();
                (Basis::OfThatTime, others.chain(policies).collect::<Vec<_>>())
            }
            None => (Basis::OfTheInput, without_staged(objects.to_vec())),
        };
        if basis == Basis::OfTheInput && !objects.iter().any(is_policy) {
            let untold =
                Some("the policies of that time are not known: name manifests with -f, or use --cluster");
            return Story { record, told: None, untold };
        }
        let (key, tally) = (Key::of(&record), Tally::of(&record));
        let seen = Seen { flows: [(key.clone(), tally.clone())].into(), ..Seen::default() };
        let mut judge = Judge::new(objects, settings, &seen);
        let explanation = match judge.explain(&key, &tally) {
            Ok(explanation) => explanation,
            Err(why) => return Story { record, told: None, untold: Some(why.as_str()) },
        };
        let recorded = match record.verdict {
            FlowVerdict::Allowed => Some(Verdict::Allowed),
            FlowVerdict::Denied => Some(Verdict::Denied),
            FlowVerdict::Unknown => None,
        };
        let decision = &explanation.decision;
        let told = Told {
            basis,
            verdict: decision.verdict,
            differs: recorded.is_some_and(|recorded| recorded != decision.verdict),
            egress: side(&judge, &decision.egress, &explanation.egress),
            ingress: side(&judge, &decision.ingress, &explanation.ingress),
        };
        Story { record, told: Some(told), untold: None }
    }
}

fn side(judge: &Judge, side: &podgate_policy::Side, traces: &[PolicyTrace]) -> Side {
    let says = |rule: &RuleRef| {
        judge.written(&rule.policy).map_or_else(String::new, |text| text.rule(rule.direction, rule.index))
    };
    let policies = traces
        .iter()
        .map(|trace| Policy {
            policy: trace.policy.to_string(),
            tier: trace.tier,
            rules: trace
                .rules
                .iter()
                .map(|rule| Rule {
                    index: rule.rule.index,
                    at: rule.rule.source.to_string(),
                    effect: match rule.effect {
                        Effect::Allow => "allow",
                        Effect::Deny => "deny",
                        Effect::Pass => "pass",
                    },
                    says: says(&rule.rule),
                    peer: rule.peer,
                    port: rule.port,
                    matches: rule.matches,
                    decides: matches!(&side.reason, Reason::Rule(decider) if *decider == rule.rule),
                })
                .collect(),
        })
        .collect();
    Side { verdict: side.verdict, by: side.reason.to_string(), policies }
}
