//! Tries the policies on the flows that taught them, beside the policies of the input and without those.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use podgate_api::{Meta, Object, Pod, load_text};
use podgate_flow::{Place, Protocol};
use podgate_policy::{Cluster, Connection, Reason, Verdict};
use serde::Serialize;

use super::inventory::{Inventory, WorkloadKey};
use super::learn::Teacher;
use super::{Options, Recommended};
use crate::judge::Judge;
use crate::replay::{Change, Replay};
use crate::seen::{DNS, End, Key, Seen, Tally};

/// What the policies do to the flows that were seen.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Connections that were let through, and still are.
    pub allowed: u64,
    /// Connections that were denied, and still are.
    pub denied: u64,
    /// What was let through and would be denied: nothing, or podgate is wrong. What no NetworkPolicy can say is in the
    /// statement.
    pub cut: Vec<Change>,
    /// What was denied, and these policies let through: workloads that share their labels share what they may.
    pub opened: Vec<Change>,
    /// Connections that were denied at one time and let through at another: policies changed.
    pub changed: u64,
    /// Where the engine selects other pods than were meant.
    pub selected: Vec<String>,
}

impl Proof {
    pub(super) fn new(
        policies: &[Recommended],
        objects: Vec<Object>,
        seen: &Seen,
        teacher: &Teacher<'_>,
        inventory: &Inventory,
        options: &Options,
    ) -> Proof {
        // What is printed is what is tried.
        let text: Vec<String> = policies.iter().map(|policy| policy.document.to_yaml()).collect();
        let read = load_text("recommended", &text.join("---\n"));
        let mut selected: Vec<String> = read.diagnostics.iter().map(ToString::to_string).collect();
        selected.extend(faults(policies, &read.objects, inventory));

        let with = |keep_policies: bool| {
            let mut all = objects.clone();
            all.retain(|object| keep_policies || !matches!(object, Object::NetworkPolicy(_)));
            all.extend(read.objects.iter().cloned());
            all
        };
        let taught = without(seen, |key, tally| tally.allowed > 0 && !teacher.left_out.contains(key));
        let mut alone = Judge::new(with(false), options.settings, seen);
        let alone = Replay::new(&taught, &mut alone);

        // Beside what is there: what the input's policies let through is not these policies' doing.
        let allowed = seen.flows.iter().filter(|(_, tally)| tally.allowed > 0);
        let let_through: BTreeSet<_> = allowed.map(|(key, tally)| kind(key, tally)).collect();
        let mut changed = 0;
        let mut before = Judge::new(objects.clone(), options.settings, seen);
        let mut refused = without(seen, |_, tally| tally.denied > 0 && tally.allowed == 0);
        refused.flows.retain(|key, tally| {
            if let_through.contains(&kind(key, tally)) {
                changed += tally.denied;
                return false;
            }
            before.judge(key, tally).is_ok_and(|decision| match decision.egress.reason {
                Reason::OwnNode | Reason::Itself => false,
                _ => {
                    decision.verdict == Verdict::Denied
                        || policies.iter().any(|policy| is_about(policy, inventory, key))
                }
            })
        });
        let mut beside = Judge::new(with(true), options.settings, seen);
        let beside = Replay::new(&refused, &mut beside);
        Proof {
            allowed: alone.kept.allowed,
            denied: beside.kept.denied,
            cut: alone.cut,
            opened: beside.opened,
            changed,
            selected,
        }
    }

    /// How many connections that were denied a policy lets through, beside others or alone: those of its workload, and of
    /// workloads that it can't tell from those that it means.
    pub(super) fn opened_by(&self, policy: &Recommended, inventory: &Inventory) -> u64 {
        let Some(chosen) = inventory.chosen(&policy.workload) else { return 0 };
        let own = [policy.workload.to_string()];
        let ends: BTreeSet<&String> = own.iter().chain(&chosen.shared).collect();
        let is_its = |change: &&Change| ends.contains(&change.flow.from) || ends.contains(&change.flow.to);
        self.opened.iter().filter(is_its).map(|change| change.flow.connections).sum()
    }

    /// Whether the policies do what they should.
    pub fn holds(&self) -> bool {
        self.cut.is_empty() && self.opened.is_empty() && self.selected.is_empty()
    }

    /// In words, a line each.
    pub fn lines(&self) -> Vec<String> {
        let number = |changes: &[Change]| changes.iter().map(|change| change.flow.connections).sum::<u64>();
        let mut lines = vec![format!(
            "Tried on the same flows: of {} that were let through {} would be denied; of {} that were denied {} would be \
             let through.",
            self.allowed + number(&self.cut),
            number(&self.cut),
            self.denied + number(&self.opened),
            number(&self.opened)
        )];
        if self.changed > 0 {
            lines.push(format!(
                "{} denials are of connections that were let through at other times: policies changed in between.",
                self.changed
            ));
        }
        let one = |what: &str, change: &Change| {
            let flow = &change.flow;
            format!("  {what}: {} to {}, {} {}", flow.from, flow.to, flow.protocol, flow.port)
        };
        lines.extend(self.cut.iter().map(|change| one("would be denied", change)));
        lines.extend(self.opened.iter().map(|change| one("would be let through", change)));
        lines.extend(self.selected.iter().map(|fault| format!("  {fault}")));
        lines
    }
}

/// The flows that are wanted, with what was denied and let through.
fn without(seen: &Seen, is_wanted: impl Fn(&Key, &Tally) -> bool) -> Seen {
    let flows = seen.flows.iter().filter(|(key, tally)| is_wanted(key, tally));
    let flows = flows.map(|(key, tally)| {
        let mut tally = tally.clone();
        tally.unknown = 0;
        if tally.allowed > 0 {
            tally.denied = 0;
        }
        (key.clone(), tally)
    });
    Seen { flows: flows.collect(), unclear: Default::default(), ..seen.clone() }
}

/// What policies can't tell apart: the pods of a workload, and the two ways to ask DNS.
fn kind(key: &Key, tally: &Tally) -> (Place, Place, Option<Protocol>, u16) {
    let place = |end: &End| Place::of(end.ip, &end.party);
    let is_dns = key.port == DNS || tally.asked_dns;
    (place(&key.from), place(&key.to), (!is_dns).then_some(key.protocol), key.port)
}

fn is_about(policy: &Recommended, inventory: &Inventory, key: &Key) -> bool {
    [&key.from, &key.to].into_iter().any(|end| inventory.workload_of(end).as_ref() == Some(&policy.workload))
}

/// Asks the engine which pods each policy selects, and compares with the workload's.
fn faults(policies: &[Recommended], objects: &[Object], inventory: &Inventory) -> Vec<String> {
    let mut cluster = Cluster::new(Default::default());
    cluster.apply_all(objects.to_vec());
    let mut pods: Vec<(&WorkloadKey, IpAddr)> = Vec::new();
    for (key, group) in inventory.groups.iter().filter(|(_, group)| !group.host_network) {
        for labels in &group.labels {
            let number = pods.len() as u32;
            // Addresses that nobody has: reserved by RFC 1112, section 4.
            let ip = IpAddr::V4(Ipv4Addr::from(0xf000_0001 + number));
            let meta = Meta {
                name: format!("pod-{number}"),
                namespace: key.namespace.clone(),
                labels: labels.clone(),
                ..Meta::default()
            };
            cluster.apply_pod(&Pod { meta, ips: vec![ip], ..Pod::default() });
            pods.push((key, ip));
        }
    }
    cluster.commit();
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let mut faults = BTreeSet::new();
    for (key, ip) in pods {
        let asked = cluster.explain(&Connection { from: stranger, to: ip, protocol: 6, port: 1 });
        for policy in policies {
            let meta = &policy.document.policy.meta;
            let selects = asked
                .ingress
                .iter()
                .any(|trace| trace.policy.name == meta.name && trace.policy.namespace == meta.namespace);
            let is_own = policy.workload == *key;
            if is_own && !selects {
                faults.insert(format!("{}/{} does not select all pods of {key}", meta.namespace, meta.name));
            }
            let is_told = inventory
                .chosen(&policy.workload)
                .is_some_and(|chosen| chosen.shared.contains(&key.to_string()));
            if !is_own && selects && !is_told {
                faults.insert(format!("{}/{} also selects pods of {key}", meta.namespace, meta.name));
            }
        }
    }
    faults.into_iter().collect()
}
