//! What a record knows and the Hubble API has no field for.

use podgate_flow::{Decision, FlowRecord, PolicyVersion, Reason};
use podgate_policy::Verdict;

use super::{direction_number, policy, tier_word};
use crate::proto::flow;
use crate::proto::podgate::v1;

/// A record's details.
pub fn details(record: &FlowRecord) -> v1::Details {
    let version = record.policy_version;
    let staged = record.staged.as_ref().map(|staged| v1::Staged {
        verdict: verdict_number(staged.verdict).into(),
        egress: staged.egress.as_ref().map(|decision| decision_of(decision, version)),
        ingress: staged.ingress.as_ref().map(|decision| decision_of(decision, version)),
    });
    v1::Details {
        egress: record.egress.as_ref().map(|decision| decision_of(decision, version)),
        ingress: record.ingress.as_ref().map(|decision| decision_of(decision, version)),
        staged,
        policy_version: if version.is_unknown() { String::new() } else { version.to_string() },
        suppressed: record.suppressed,
        cut: record.cut,
        asked: record.asked.map(|at| at.to_string()).unwrap_or_default(),
        service_port: record.service.as_ref().map_or(0, |service| service.port.into()),
    }
}

fn verdict_number(verdict: Verdict) -> flow::Verdict {
    match verdict {
        Verdict::Allowed => flow::Verdict::Forwarded,
        Verdict::Denied => flow::Verdict::Dropped,
    }
}

fn decision_of(decision: &Decision, version: PolicyVersion) -> v1::Decision {
    let policies = match &*decision.reason {
        Reason::Rule { policy: by, .. } => vec![policy(by, version)],
        Reason::Isolated { policies } => policies.iter().map(|by| policy(by, version)).collect(),
        _ => Vec::new(),
    };
    let rule = match &*decision.reason {
        Reason::Rule { tier, list, rule, written, .. } => Some(v1::Rule {
            tier: tier_word(*tier).to_owned(),
            list: direction_number(*list).into(),
            index: *rule,
            written: written.clone(),
        }),
        _ => None,
    };
    let nearest = decision.nearest.as_ref().map(|near| v1::NearMiss {
        policy: Some(policy(&near.policy, version)),
        list: direction_number(near.list).into(),
        index: near.rule,
        but: near.but.clone(),
    });
    v1::Decision {
        verdict: verdict_number(decision.verdict).into(),
        reason: reason_word(&decision.reason).to_owned(),
        policies,
        rule,
        nearest,
    }
}

/// The reasons without anything to name, by the words that flow records have for them.
const PLAIN: [(&str, Reason); 10] = [
    ("not-isolated", Reason::NotIsolated),
    ("icmp-echo", Reason::IcmpEcho),
    ("own-node", Reason::OwnNode),
    ("unknown-pod", Reason::UnknownPod),
    ("unreadable", Reason::Unreadable),
    ("table-full", Reason::TableFull),
    ("incomplete", Reason::Incomplete),
    ("not-a-pod", Reason::NotAPod),
    ("itself", Reason::Itself),
    ("forgotten", Reason::Forgotten),
];

fn reason_word(reason: &Reason) -> &'static str {
    match reason {
        Reason::Rule { .. } => "rule",
        Reason::Isolated { .. } => "isolated",
        plain => PLAIN.iter().find(|(_, reason)| reason == plain).map_or("forgotten", |(word, _)| word),
    }
}

/// The reason that a word stands for, when it names nothing.
pub(crate) fn plain_reason(word: &str) -> Option<Reason> {
    PLAIN.iter().find(|(name, _)| *name == word).map(|(_, reason)| reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_the_words_of_flow_records() {
        for (word, reason) in PLAIN {
            let told = serde_json::to_value(&reason).unwrap();
            assert_eq!(told["reason"], word);
            assert_eq!((reason_word(&reason), plain_reason(word)), (word, Some(reason)));
        }
    }
}
