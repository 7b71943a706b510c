//! Everything between a node's kernel and the history: names, joining, totals, what is staged.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use podgate_api::Service;
use podgate_datapath::{DnsMessage, EdgeTotal, Event};
use podgate_flow::{
    Edge, EdgeMinute, Edges, FlowRecord, FlowVerdict, History, Joiner, Names, Observation, OwnerName, Party,
    PolicyVersion, Protocol, Timestamp, Totals,
};
use podgate_policy::{Cluster, DeciderId, Verdict};
use rustc_hash::FxHashSet;

use crate::dns::{BindingLimits, Dns, DnsCounts, Resolvers};
use crate::misses::Misses;
use crate::observation::{boot_time, count, observation, since_boot};
use crate::services::Services;
use crate::staged::Staging;

/// Addresses whose names are kept at hand; more of them, and all are looked up anew.
const NAMES_AT_HAND: usize = 65_536;
/// How often names of deciders are made to grow old.
const AGE_EVERY: Duration = Duration::from_secs(10);

/// See the module. One loop owns it; readers have the [`History`].
#[derive(Debug)]
pub struct Observer {
    names: Names,
    joiner: Joiner,
    history: Arc<History>,
    /// Addresses that have a name at hand which may be another's by now.
    stale: FxHashSet<IpAddr>,
    at_hand: FxHashSet<IpAddr>,
    services: Services,
    /// Service ports that have a name at hand.
    called: FxHashSet<(SocketAddr, Protocol)>,
    /// What came since the last turn.
    seen: Vec<Observation>,
    staging: Staging,
    misses: Misses,
    dns: Dns,
    edges: BTreeMap<Arc<str>, Edges>,
    /// Totals came since they were last told.
    has_counted: bool,
    aged: Timestamp,
    /// The wall clock at the last turn.
    turned: Timestamp,
    /// When the kernel's clock was zero, as of the last turn: the wall clock may be set.
    boot: Timestamp,
}

impl Observer {
    /// An observer that writes to a history.
    pub fn new(history: Arc<History>) -> Observer {
        Observer {
            names: Names::new(),
            joiner: Joiner::new(),
            history,
            stale: FxHashSet::default(),
            at_hand: FxHashSet::default(),
            services: Services::default(),
            called: FxHashSet::default(),
            seen: Vec::new(),
            staging: Staging::default(),
            misses: Misses::default(),
            dns: Dns::new(BindingLimits::default()),
            edges: BTreeMap::new(),
            has_counted: false,
            aged: Timestamp(0),
            turned: Timestamp(0),
            boot: boot_time(),
        }
    }

    /// The address book, for what the engine doesn't know: nodes, workloads, Services that aren't applied.
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

    /// Says that any address may have changed hands, nodes' included.
    pub fn touch_all(&mut self) {
        self.stale.extend(&self.at_hand);
        self.forget_called();
    }

    /// Adds or replaces a Service, for the names of what clients call.
    pub fn apply_service(&mut self, service: &Service) {
        if self.services.apply(service) {
            self.forget_called();
        }
    }

    /// Forgets a Service.
    pub fn delete_service(&mut self, namespace: &str, name: &str) {
        if self.services.delete(namespace, name) {
            self.forget_called();
        }
    }

    /// Says that a list of all Services begins.
    pub fn list_services(&mut self) {
        self.services.list();
    }

    /// Says that the list is complete: Services that weren't applied since it began are gone.
    pub fn sweep_services(&mut self) {
        if self.services.sweep() {
            self.forget_called();
        }
    }

    /// Takes a node's event. [`Observer::turn`] makes a record of it.
    pub fn event(&mut self, node: &Arc<str>, event: &Event, cluster: &Cluster) {
        self.find_names(event, cluster);
        if event.verdict == Verdict::Allowed {
            self.dns.keep(event.destination, event.ktime);
        }
        self.seen.extend(observation(event, node, self.boot, &self.names));
    }

    /// Takes a packet of a name server to a pod. [`Observer::turn_names`] tells what was learned.
    pub fn answer(&mut self, message: &DnsMessage, cluster: &Cluster) {
        self.dns.take(message, cluster);
    }

    /// Tells the engine what names have which addresses now, by the answers that came and those that ended. Call it
    /// after each reading of answers. `true`: commit and publish, at once, for a pod that has an answer goes there. The
    /// first engine is the one that enforces; others hear the same.
    pub fn turn_names(&mut self, clusters: &mut [&mut Cluster]) -> bool {
        self.dns.tell(since_boot(), clusters, &mut self.names)
    }

    /// Tells an engine that is new what names have which addresses.
    pub fn tell_names(&self, cluster: &mut Cluster) {
        self.dns.tell_all(cluster);
    }

    /// Says whose answers are believed.
    pub fn set_resolvers(&mut self, resolvers: Resolvers) {
        self.dns.set_resolvers(resolvers);
    }

    /// Says how long answers count, and how many.
    pub fn set_binding_limits(&mut self, limits: BindingLimits) {
        self.dns.set_limits(limits);
    }

    /// What came of the answers.
    pub fn dns_counts(&self) -> DnsCounts {
        self.dns.counts()
    }

    /// The addresses of names that rules ask for, for [`Observer::restore_names`] of the next process: what is in the
    /// kernel goes on, and so must this. It holds until the machine starts anew.
    pub fn saved_names(&self) -> String {
        self.dns.saved()
    }

    /// Takes in what the process before has saved. [`Observer::turn_names`] tells the engine.
    pub fn restore_names(&mut self, saved: &str) {
        self.dns.restore(saved, since_boot());
    }

    /// Takes an event of a node's staged instance, whose verdict is none.
    pub fn staged_event(&mut self, node: &Arc<str>, event: &Event, cluster: &Cluster) {
        self.find_names(event, cluster);
        if let Some(seen) = observation(event, node, self.boot, &self.names) {
            self.staging.would_be(seen, event.established);
        }
    }

    /// Adds what a node's kernel counted. Returns the edge that it was on, and how much it was; `None` when the
    /// node had no verdict to make.
    pub fn count(
        &mut self,
        node: &Arc<str>,
        total: &EdgeTotal,
        cluster: &Cluster,
    ) -> Option<(Arc<Edge>, Totals)> {
        self.find(total.source, cluster);
        self.find(total.destination, cluster);
        self.find_decider(total.egress, cluster);
        self.find_decider(total.ingress, cluster);
        // Connections that go on keep the names of where they go.
        if total.verdict == Verdict::Allowed {
            self.dns.keep(total.destination, since_boot());
        }
        let count = count(total, node, &self.names)?;
        let version = PolicyVersion(cluster.policy_version());
        let edges = self.edges.entry(node.clone()).or_insert_with(|| Edges::new(node.clone()));
        let edge = edges.count(version, &count, &self.names);
        self.has_counted = true;
        Some((edge, count.totals))
    }

    /// Makes records of what came, and puts them into the history. Returns them, and the minutes that ended.
    pub fn turn(
        &mut self,
        now: Timestamp,
        cluster: &Cluster,
    ) -> (Vec<Arc<FlowRecord>>, Vec<Arc<EdgeMinute>>) {
        self.boot = boot_time();
        let mut records = Vec::new();
        self.joiner.set_policy_version(PolicyVersion(cluster.policy_version()));
        // Nodes are read one after the other. In order of time, a connection's egress comes before its
        // ingress, so that a denial at the destination is shown with what the source's policies said.
        self.seen.sort_by_key(|half| half.time);
        for mut half in self.seen.drain(..) {
            self.staging.attach(&mut half);
            self.joiner.observe(now, half, &self.names, &mut records);
        }
        // Somebody set the clock back: what waits for its other half would wait that much longer.
        let due = if now < self.turned { Timestamp(u64::MAX) } else { now };
        self.turned = now;
        for half in self.staging.left_over(due) {
            self.joiner.observe(now, half, &self.names, &mut records);
        }
        self.joiner.expire(due, &self.names, &mut records);
        if now < self.aged || now.since(self.aged) >= AGE_EVERY {
            self.aged = now;
            self.names.age_deciders(now);
        }
        for record in &mut records {
            if record.verdict == FlowVerdict::Denied {
                self.misses.explain(record, cluster);
            }
        }
        let records: Vec<_> = records.into_iter().map(Arc::new).collect();
        self.history.push(now, records.iter().cloned());
        let minutes: Vec<_> = self.edges.values_mut().flat_map(|edges| edges.turn(now)).collect();
        if self.has_counted || !minutes.is_empty() {
            self.has_counted = false;
            self.history.push_minutes(now, minutes.iter().cloned());
            self.history.set_running(self.edges.values().flat_map(Edges::running).collect());
        }
        (records, minutes)
    }

    fn find_names(&mut self, event: &Event, cluster: &Cluster) {
        self.find(event.source, cluster);
        self.find(event.destination, cluster);
        self.find_decider(event.egress, cluster);
        self.find_decider(event.ingress, cluster);
        if let Some(at) = event.original_destination {
            self.find_service(at, Protocol(event.protocol), cluster);
        }
    }

    /// Has the name of the Service at hand that a client called.
    fn find_service(&mut self, at: SocketAddr, protocol: Protocol, cluster: &Cluster) {
        if self.called.contains(&(at, protocol)) {
            return;
        }
        if self.called.len() >= NAMES_AT_HAND {
            self.forget_called();
        }
        if let Some(service) = self.services.find(at, protocol, cluster.node_at(at.ip()).is_some()) {
            self.names.set_service(at, protocol, Some(Arc::new(service)));
            self.called.insert((at, protocol));
        }
    }

    fn forget_called(&mut self) {
        for (at, protocol) in self.called.drain() {
            self.names.set_service(at, protocol, None);
        }
    }

    /// Has the name of a decider at hand. The engine knows those that went a while ago, too.
    fn find_decider(&mut self, id: DeciderId, cluster: &Cluster) {
        if !self.names.knows(id)
            && let Some(decider) = cluster.decider(id)
        {
            self.names.add_deciders([(id, decider)]);
        }
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
