//! Suggestions as manifests, with comments that say where each rule comes from.

use std::collections::BTreeMap;

use ipnet::IpNet;
use podgate_api::{
    IpBlock, LabelSelector, Meta, NetworkPolicy, Operator, Peer, PodPeer, PolicyPort, PortMatch, Protocol,
    Requirement, Rule, Source,
};

use super::{SuggestedPeer, SuggestedPolicy, SuggestedPort, SuggestedRule, Suggestion};
use crate::manifest::{Document, comment, joined};

impl Suggestion {
    /// The policies as YAML that can be applied as it is.
    pub fn to_yaml(&self) -> String {
        let mut head = vec![
            "Policies for the manifests that podgate read: default-deny, and what was seen to be needed."
                .to_owned(),
            "Every rule was checked by the engine. Read the notes before you apply this.".to_owned(),
        ];
        if !self.left_out.is_empty() {
            head.push(String::new());
            head.push(
                "Policies of the input had no part in this, and allow what they allow as long as they are there:"
                    .to_owned(),
            );
            head.extend(self.left_out.iter().map(|name| format!("  {name}")));
        }
        if !self.notes.is_empty() {
            head.push(String::new());
            head.push("What the manifests don't tell:".to_owned());
            head.extend(self.notes.iter().map(|note| format!("- {note}")));
        }
        let head: Vec<String> = head.iter().map(|line| comment(line)).collect();
        let mut out = joined(&head);
        for policy in &self.policies {
            out.push_str("---\n");
            out.push_str(&policy.document().to_yaml());
        }
        out
    }
}

impl SuggestedPolicy {
    /// The policy, and what to read beside it.
    pub fn document(&self) -> Document {
        let rules = |rules: &Option<Vec<SuggestedRule>>| {
            rules.iter().flatten().map(SuggestedRule::rule).collect::<Vec<Rule>>()
        };
        let why = |rules: &Option<Vec<SuggestedRule>>| {
            rules.iter().flatten().map(|rule| rule.why.clone()).collect::<Vec<_>>()
        };
        Document {
            policy: NetworkPolicy {
                meta: Meta { name: self.name.clone(), namespace: self.namespace.clone(), ..Meta::default() },
                pod_selector: labels_selector(&self.subject),
                ingress_in_force: self.ingress.is_some(),
                egress_in_force: self.egress.is_some(),
                ingress: rules(&self.ingress),
                egress: rules(&self.egress),
            },
            about: vec![self.about.clone()],
            ingress: why(&self.ingress),
            egress: why(&self.egress),
        }
    }
}

impl SuggestedRule {
    fn rule(&self) -> Rule {
        let peers = match &self.peer {
            SuggestedPeer::Anyone => None,
            SuggestedPeer::AnyPod => Some(vec![pods(Some(LabelSelector::default()), None)]),
            SuggestedPeer::Pods { namespace, labels } => {
                Some(vec![pods(namespace.as_deref().map(namespace_named), Some(labels_selector(labels)))])
            }
            SuggestedPeer::Outside { networks } => {
                let net = |text: &str| -> IpNet { text.parse().expect("networks are written by this crate") };
                let block = |(network, holes): &(String, Vec<String>)| {
                    Peer::IpBlock(IpBlock {
                        cidr: net(network),
                        except: holes.iter().map(|hole| net(hole)).collect(),
                        source: Source::default(),
                    })
                };
                Some(networks.iter().map(block).collect())
            }
        };
        Rule {
            peers,
            ports: Some(self.ports.iter().map(SuggestedPort::port).collect()),
            source: Source::default(),
        }
    }
}

impl SuggestedPort {
    fn port(&self) -> PolicyPort {
        let protocol = Protocol::ALL.into_iter().find(|known| known.as_str() == self.protocol);
        PolicyPort {
            protocol: protocol.expect("protocols are written by this crate"),
            port: PortMatch::Range(self.first, self.last),
            source: Source::default(),
        }
    }
}

fn pods(namespaces: Option<LabelSelector>, pods: Option<LabelSelector>) -> Peer {
    Peer::Pods(PodPeer { namespaces, pods, source: Source::default() })
}

/// The selector of a namespace by its name.
pub fn namespace_named(name: &str) -> LabelSelector {
    labels_selector(&BTreeMap::from([(podgate_api::NAMESPACE_NAME_LABEL.to_owned(), name.to_owned())]))
}

/// The selector of exactly these labels.
pub fn labels_selector(labels: &BTreeMap<String, String>) -> LabelSelector {
    let one = |(key, value): (&String, &String)| Requirement {
        key: key.clone(),
        operator: Operator::In,
        values: vec![value.clone()],
    };
    LabelSelector::new(labels.iter().map(one).collect())
}
