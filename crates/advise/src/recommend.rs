//! Least-privilege policies from what was seen.
//!
//! ```text
//! Seen, objects -> Inventory (workloads, their labels) -> lessons (who, whom, ports) -> policies -> proof
//! ```
//!
//! Only connections that were let through teach. What is learned is who opened a connection to whom on which port of the
//! pod; replies, clients' ports and Service ports never become rules. The result is tried on the same flows before
//! anybody sees it, and says what it could not have seen.

mod draft;
mod inventory;
mod learn;
mod prove;
mod select;
mod statement;

use std::collections::BTreeMap;

use ipnet::IpNet;
use podgate_analysis::manifest::{Document, comment, joined};
use podgate_api::{Node, Object};
use podgate_policy::{Reason, Settings};
use serde::Serialize;

pub use inventory::{Group, Inventory, WorkloadKey};
pub use prove::Proof;
pub use select::Chosen;
pub use statement::Statement;

use crate::judge::{Judge, without_staged};
use crate::seen::Seen;

/// What to recommend for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only workloads of these namespaces get policies; empty: all but those that Kubernetes itself runs in.
    pub namespaces: Vec<String>,
    /// Blocks of addresses that belong to somebody, with their names: an address in one stands for all of it.
    pub known_blocks: Vec<(IpNet, String)>,
    /// The engine's settings.
    pub settings: Settings,
}

/// Policies made from flows.
#[derive(Clone, Debug)]
pub struct Recommendation {
    /// One for each workload, by namespace and name.
    pub policies: Vec<Recommended>,
    /// What the flows could not tell.
    pub statement: Statement,
    /// What the policies do to the same flows.
    pub proof: Proof,
}

/// The policy of one workload.
#[derive(Clone, Debug)]
pub struct Recommended {
    /// The workload.
    pub workload: WorkloadKey,
    /// The policy, and what to read beside it.
    pub document: Document,
    /// Connections that taught it.
    pub connections: u64,
    /// What a reader should look at before applying it.
    pub warnings: Vec<String>,
}

/// A warning about one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The workload.
    pub workload: String,
    /// What to look at.
    pub text: String,
}

/// Namespaces that Kubernetes runs itself in: policies there can take clusters down.
const OWN: [&str; 3] = ["kube-node-lease", "kube-public", "kube-system"];

impl Options {
    fn covers(&self, namespace: &str) -> bool {
        match self.namespaces.is_empty() {
            true => !OWN.contains(&namespace),
            false => self.namespaces.iter().any(|known| known == namespace),
        }
    }
}

impl Recommended {
    /// Adds a warning, and what the policy's reader sees of it.
    fn warn(&mut self, warning: String) {
        self.document.about.push(look_at(&warning));
        self.warnings.push(warning);
    }
}

/// A warning above a policy or a rule.
fn look_at(warning: &str) -> String {
    format!("Look at this: {warning}.")
}

impl Recommendation {
    /// Makes policies from what was seen, in a cluster with these objects. NetworkPolicies among them have no part in
    /// what is made; that it is right beside them and without them is proved.
    pub fn new(objects: Vec<Object>, seen: &Seen, options: &Options) -> Recommendation {
        let objects = without_staged(objects);
        let inventory = Inventory::new(&objects, seen);
        let nodes: Vec<Node> = objects
            .iter()
            .filter_map(|object| match object {
                Object::Node(node) => Some(node.clone()),
                _ => None,
            })
            .collect();
        let mut teacher = learn::Teacher::new(&inventory, &nodes, &options.known_blocks);
        let mut unlearned = BTreeMap::new();
        let mut judge = Judge::new(objects.clone(), options.settings, seen);
        for (key, tally) in seen.flows.iter().filter(|(_, tally)| tally.allowed > 0) {
            match judge.judge(key, tally) {
                Err(why) => *unlearned.entry(why).or_insert(0) += tally.allowed,
                // Needs no rule: a node and its own pods, and a pod and itself.
                Ok(decision) if matches!(decision.egress.reason, Reason::OwnNode | Reason::Itself) => {}
                Ok(_) => teacher.learn(key, tally),
            }
        }
        let mut policies = draft::policies(&inventory, &nodes, &teacher, seen, options);
        let proof = prove::Proof::new(&policies, objects, seen, &teacher, &inventory, options);
        for policy in &mut policies {
            let opened = proof.opened_by(policy, &inventory);
            if opened > 0 {
                policy.warn(format!(
                    "it would let through {} that {} denied: labels don't tell who is meant",
                    draft::connections(opened),
                    if opened == 1 { "was" } else { "were" }
                ));
            }
        }
        let statement = Statement::new(&inventory, &teacher, seen, &policies, unlearned, options);
        Recommendation { policies, statement, proof }
    }

    /// The policies as YAML that can be applied as it is, with what to read beside them.
    pub fn to_yaml(&self) -> String {
        let head: Vec<String> = self.head().iter().map(|line| comment(line)).collect();
        let mut out = joined(&head);
        for policy in &self.policies {
            out.push_str("---\n");
            out.push_str(&policy.document.to_yaml());
        }
        out
    }

    /// What to read before the policies are applied, a line each.
    pub fn head(&self) -> Vec<String> {
        let mut head = vec!["Policies for what was seen, by podgate recommend.".to_owned()];
        head.extend(self.statement.head());
        head.extend(self.proof.lines());
        head.extend(self.statement.lines());
        head
    }

    /// All warnings, by workload.
    pub fn warnings(&self) -> Vec<Warning> {
        let of = |policy: &Recommended| {
            let workload = policy.workload.to_string();
            let warning = move |text: &String| Warning { workload: workload.clone(), text: text.clone() };
            policy.warnings.iter().map(warning).collect::<Vec<_>>()
        };
        self.policies.iter().flat_map(of).collect()
    }
}
