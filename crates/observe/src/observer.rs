//! Everything between a node's kernel and the history: names, joining, totals, what is staged.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use podgate_datapath::Event;
use podgate_flow::{
    EdgeMinute, Edges, FlowRecord, History, Joiner, Names, Observation, OwnerName, Party, PolicyVersion,
    Timestamp,
};
use podgate_policy::{Cluster, Delta};
use rustc_hash::FxHashSet;

use crate::deciders;
use crate::observation::{boot_time, observation};
use crate::staged::Staging;

/// Addresses whose names are kept at hand; more of them, and all are looked up anew.
const NAMES_AT_HAND: usize = 65_536;
/// How long totals by minute stay in memory.
const KEEP_MINUTES: Duration = Duration::from_secs(3600);
/// How often deciders that are gone are looked for.
const RETIRE_EVERY: Duration = Duration::from_secs(10);

/// See the module. One loop owns it; readers have the [`History`].
#[derive(Debug)]
pub struct Observer {
    names: Names,
    joiner: Joiner,
    history: Arc<History>,
    version: PolicyVersion,
    /// Addresses that have a name at hand which may be another's by now.
    stale: FxHashSet<IpAddr>,
    at_hand: FxHashSet<IpAddr>,
    /// What came since the last turn.
    seen: Vec<Observation>,
    staging: Staging,
    edges: BTreeMap<Arc<str>, Edges>,
    retired: Timestamp,
}

impl Observer {
    /// An observer that writes to a history.
    pub fn new(history: Arc<History>) -> Observer {
        Observer {
            names: Names::new(),
            joiner: Joiner::new(),
            history,
            version: PolicyVersion::default(),
            stale: FxHashSet::default(),
            at_hand: FxHashSet::default(),
            seen: Vec::new(),
            staging: Staging::default(),
            edges: BTreeMap::new(),
            retired: Timestamp(0),
        }
    }

    /// The address book, for what the engine doesn't know: nodes, Services, workloads.
    pub fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    /// Where records go.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// Says that a pod came to an address, or left it.
    pub fn touch(&mut self, ip: IpAddr) {
        if self.at_hand.contains(&ip) {
            self.stale.insert(ip);
        }
    }

    /// Says what has just been published, so that what the kernel reports of it can be named.
    pub fn published(&mut self, cluster: &Cluster, delta: &Delta, version: PolicyVersion) {
        self.names.add_deciders(deciders::of(cluster, delta));
        self.version = version;
        self.joiner.set_policy_version(version);
    }

    /// Says what has been published to the staged instance.
    pub fn published_staged(&mut self, candidate: &Cluster, delta: &Delta) {
        self.names.add_deciders(deciders::of(candidate, delta));
    }

    /// Takes a node's event. [`Observer::turn`] makes a record of it.
    pub fn event(&mut self, node: &Arc<str>, event: &Event, cluster: &Cluster) {
        self.find(event.source, cluster);
        self.find(event.destination, cluster);
        self.seen.extend(observation(event, node, boot_time(), &self.names));
    }

    /// Takes an event of a node's staged instance, whose verdict is none.
    pub fn staged_event(&mut self, node: &Arc<str>, event: &Event, cluster: &Cluster) {
        self.find(event.source, cluster);
        self.find(event.destination, cluster);
        if let Some(seen) = observation(event, node, boot_time(), &self.names) {
            self.staging.would_be(seen, event.established);
        }
    }

    /// The totals of a node, to be counted up.
    pub fn edges(&mut self, node: &Arc<str>) -> &mut Edges {
        self.edges.entry(node.clone()).or_insert_with(|| Edges::new(node.clone(), KEEP_MINUTES))
    }

    /// Makes records of what came, and puts them into the history. Returns them, and the minutes that ended.
    pub fn turn(
        &mut self,
        now: Timestamp,
        cluster: &Cluster,
    ) -> (Vec<Arc<FlowRecord>>, Vec<Arc<EdgeMinute>>) {
        let mut records = Vec::new();
        // Nodes are read one after the other. In order of time, a connection's egress comes before its
        // ingress, so that a denial at the destination is shown with what the source's policies said.
        self.seen.sort_by_key(|half| half.time);
        for mut half in self.seen.drain(..) {
            self.staging.attach(&mut half);
            self.joiner.observe(now, half, &self.names, &mut records);
        }
        for half in self.staging.left_over(now) {
            self.joiner.observe(now, half, &self.names, &mut records);
        }
        self.joiner.expire(now, &self.names, &mut records);
        if now.since(self.retired) >= RETIRE_EVERY {
            self.retired = now;
            self.names.retire_deciders(now, |id| cluster.decider(id).is_some());
        }
        let records: Vec<_> = records.into_iter().map(Arc::new).collect();
        self.history.push(now, records.iter().cloned());
        let minutes = self.edges.values_mut().flat_map(|edges| edges.turn(now)).collect();
        (records, minutes)
    }

    /// Has the name of an address at hand, if anybody knows one.
    fn find(&mut self, ip: IpAddr, cluster: &Cluster) {
        let is_stale = self.stale.remove(&ip);
        if !is_stale && (self.at_hand.contains(&ip) || self.names.has_party(ip)) {
            return;
        }
        if self.at_hand.len() >= NAMES_AT_HAND {
            for ip in self.at_hand.drain() {
                self.names.set_party(ip, None);
            }
            self.stale.clear();
        }
        // A pod that is gone keeps its name until the address is another's: its last events come late.
        if let Some(party) = party_of(ip, cluster) {
            self.names.set_party(ip, Some(Arc::new(party)));
            self.at_hand.insert(ip);
        }
    }
}

/// Whose address it is, as far as the engine knows.
fn party_of(ip: IpAddr, cluster: &Cluster) -> Option<Party> {
    if let Some(pod) = cluster.pod_at(ip) {
        let labels: BTreeMap<String, String> =
            pod.labels().iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        return Some(Party::Pod {
            namespace: pod.namespace().to_owned(),
            pod: pod.name().to_owned(),
            owner: OwnerName::of_pod(pod.name(), &labels),
            node: pod.node().map(str::to_owned),
            labels,
        });
    }
    cluster.node_at(ip).map(|node| Party::Node { node: node.to_owned() })
}

#[cfg(test)]
mod tests;
