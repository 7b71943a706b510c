//! From what is wanted to policies.

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::Protocol;

use super::wanted::{From, To, Want, Wanted};
use super::{SuggestedPeer, SuggestedPolicy, SuggestedPort, SuggestedRule};
use crate::labels::fewest;
use crate::ports::PortSet;
use crate::world::{Family, PodId, WorkloadId, World};

/// The pods of the cluster's DNS as nearly every cluster labels them.
pub(super) const DNS_LABEL: (&str, &str) = ("k8s-app", "kube-dns");
/// Where they run.
pub(super) const DNS_NAMESPACE: &str = "kube-system";

/// The policies that each namespace gets.
const DENY: &str = "default-deny";
const DNS: &str = "allow-dns";

/// Address ranges that are nobody's in public: pods, nodes, and the metadata of clouds are there.
const PRIVATE_V4: [&str; 8] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
];
const PRIVATE_V6: [&str; 4] = ["::1/128", "fc00::/7", "fe80::/10", "ff00::/8"];

/// Labels that select pods, and which.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub labels: BTreeMap<String, String>,
    /// All pods that they select.
    pub pods: BTreeSet<PodId>,
    /// They select pods of other workloads as well, because those have the same labels.
    pub shared: bool,
}

/// The fewest labels that select a workload's pods; `None` where it has no labels that last.
fn choose(world: &World, id: WorkloadId) -> Option<Chosen> {
    let workload = world.workload(id);
    let selectable = |other: &&crate::world::Workload| {
        other.hypothesis.is_none() && !other.host_network && other.namespace == workload.namespace
    };
    let labels = |pod: &PodId| &world.pod_object(*pod).meta.labels;
    let all: Vec<PodId> =
        world.workloads.iter().filter(selectable).flat_map(|other| other.pods.iter().copied()).collect();
    let own: Vec<_> = workload.pods.iter().map(labels).collect();
    let others: Vec<_> = all.iter().filter(|pod| !workload.pods.contains(pod)).map(labels).collect();
    let found = fewest(&own, &others)?;
    let selected = |pod: &PodId| found.labels.iter().all(|(key, value)| labels(pod).get(key) == Some(value));
    let pods: BTreeSet<PodId> = all.iter().copied().filter(selected).collect();
    let shared = pods.len() > workload.pods.len();
    Some(Chosen { labels: found.labels, pods, shared })
}

/// What is wanted, and with which labels it can be said.
pub(super) struct Draft<'a> {
    pub world: &'a World,
    pub covered: &'a BTreeSet<String>,
    pub wanted: Wanted,
    /// How each workload is selected.
    pub chosen: BTreeMap<WorkloadId, Chosen>,
}

impl<'a> Draft<'a> {
    pub fn new(
        world: &'a World,
        covered: &'a BTreeSet<String>,
        mut wanted: Wanted,
        notes: &mut BTreeSet<String>,
    ) -> Draft<'a> {
        let mut chosen = BTreeMap::new();
        let mut nameless = BTreeSet::new();
        for (number, workload) in world.workloads.iter().enumerate() {
            let id = WorkloadId(number as u32);
            if workload.hypothesis.is_some() || workload.host_network {
                continue;
            }
            match choose(world, id) {
                Some(choice) => {
                    if choice.shared && covered.contains(&workload.namespace) {
                        let others: BTreeSet<String> = choice
                            .pods
                            .iter()
                            .map(|pod| world.pod(*pod).workload)
                            .filter(|other| *other != id)
                            .map(|other| world.workload(other).title())
                            .collect();
                        let others: Vec<String> = others.into_iter().collect();
                        notes.insert(format!(
                            "no labels of {} tell it from {}: what one may, the other may as well",
                            workload.title(),
                            others.join(", ")
                        ));
                    }
                    chosen.insert(id, choice);
                }
                None => {
                    nameless.insert(id);
                    if covered.contains(&workload.namespace) {
                        notes.insert(format!(
                            "{} has no labels, so that no policy can name it: it may only ask DNS",
                            workload.title()
                        ));
                    }
                }
            }
        }
        for (from, to) in wanted.connections.keys() {
            if let (From::Workload(from), To::Workload(to)) = (from, to)
                && world.workload(*to).host_network
            {
                notes.insert(format!(
                    "{} is to reach {}, which shares its node's network: allow the nodes' addresses yourself",
                    world.workload(*from).title(),
                    world.workload(*to).title()
                ));
            }
        }
        // What can't be named can't be allowed.
        wanted.connections.retain(|(from, to), _| {
            let named = |id: &WorkloadId| chosen.contains_key(id);
            let from_named = match from {
                From::Workload(id) => named(id),
                From::AnyPod | From::Anyone => true,
            };
            let to_named = match to {
                To::Workload(id) => named(id),
                To::Outside => true,
            };
            from_named && to_named
        });
        Draft { world, covered, wanted, chosen }
    }

    pub fn policies(&self) -> Vec<SuggestedPolicy> {
        let mut policies = Vec::new();
        for namespace in self.covered {
            policies.push(SuggestedPolicy {
                namespace: namespace.clone(),
                name: DENY.to_owned(),
                about: "Nothing but what other policies allow.".to_owned(),
                subject: BTreeMap::new(),
                ingress: Some(Vec::new()),
                egress: Some(Vec::new()),
            });
            policies.push(SuggestedPolicy {
                namespace: namespace.clone(),
                name: DNS.to_owned(),
                about: "Everybody may ask the cluster's DNS. NodeLocal DNSCache needs its link-local address as well."
                    .to_owned(),
                subject: BTreeMap::new(),
                ingress: None,
                egress: Some(self.dns_rules()),
            });
            policies.extend(self.of_workloads(namespace));
        }
        policies
    }

    fn dns_rules(&self) -> Vec<SuggestedRule> {
        let usual = PortSet::port(Protocol::Udp, 53).union(&PortSet::port(Protocol::Tcp, 53));
        let usual_labels = BTreeMap::from([(DNS_LABEL.0.to_owned(), DNS_LABEL.1.to_owned())]);
        let mut peers: BTreeMap<BTreeMap<String, String>, PortSet> = BTreeMap::new();
        peers.insert(usual_labels.clone(), usual);
        for (id, ports) in &self.wanted.dns {
            let has_usual =
                self.world.workload(*id).labels.get(DNS_LABEL.0).is_some_and(|v| v == DNS_LABEL.1);
            let labels = match self.chosen.get(id) {
                _ if has_usual => usual_labels.clone(),
                Some(chosen) => chosen.labels.clone(),
                None => continue,
            };
            let known = peers.entry(labels).or_default();
            *known = known.union(ports);
        }
        peers
            .into_iter()
            .map(|(labels, ports)| SuggestedRule {
                why: Vec::new(),
                peer: SuggestedPeer::Pods { namespace: Some(DNS_NAMESPACE.to_owned()), labels },
                ports: written(&ports),
            })
            .collect()
    }

    fn of_workloads(&self, namespace: &str) -> Vec<SuggestedPolicy> {
        let ids: Vec<WorkloadId> = (0..self.world.workloads.len() as u32)
            .map(WorkloadId)
            .filter(|id| self.world.workload(*id).namespace == namespace && self.chosen.contains_key(id))
            .collect();
        let mut taken: BTreeSet<String> = [DENY, DNS].map(str::to_owned).into();
        let mut policies = Vec::new();
        for id in ids {
            let workload = self.world.workload(id);
            let ingress =
                self.rules(namespace, |(from, to)| (*to == To::Workload(id)).then(|| self.sender(*from)));
            let egress =
                self.rules(namespace, |(from, to)| (*from == From::Workload(id)).then(|| self.receiver(*to)));
            if ingress.is_empty() && egress.is_empty() {
                continue;
            }
            let kind = workload.kind.to_lowercase();
            let plain = format!("allow-{}", workload.name);
            let name = std::iter::once(plain.clone())
                .chain(std::iter::once(format!("{plain}-{kind}")))
                .chain((2..).map(|number| format!("{plain}-{kind}-{number}")))
                .find(|name| !taken.contains(name))
                .expect("numbers don't end");
            taken.insert(name.clone());
            policies.push(SuggestedPolicy {
                namespace: namespace.to_owned(),
                name,
                about: format!("What {} needs.", workload.title()),
                subject: self.chosen[&id].labels.clone(),
                ingress: (!ingress.is_empty()).then_some(ingress),
                egress: (!egress.is_empty()).then_some(egress),
            });
        }
        policies
    }

    /// A rule for each other end that `peer` finds.
    fn rules(
        &self,
        namespace: &str,
        peer: impl Fn(&(From, To)) -> Option<SuggestedPeer>,
    ) -> Vec<SuggestedRule> {
        let mut of_peer: BTreeMap<SuggestedPeer, Want> = BTreeMap::new();
        for (ends, want) in &self.wanted.connections {
            let Some(mut peer) = peer(ends) else { continue };
            if let SuggestedPeer::Pods { namespace: of, .. } = &mut peer
                && of.as_deref() == Some(namespace)
            {
                *of = None;
            }
            let known = of_peer.entry(peer).or_default();
            known.ports = known.ports.union(&want.ports);
            known.why.extend(want.why.iter().cloned());
        }
        of_peer
            .into_iter()
            .map(|(peer, want)| SuggestedRule {
                why: want.why.into_iter().collect(),
                peer,
                ports: written(&want.ports),
            })
            .collect()
    }

    fn sender(&self, from: From) -> SuggestedPeer {
        match from {
            From::Workload(id) => self.pods(id),
            From::AnyPod => SuggestedPeer::AnyPod,
            From::Anyone => SuggestedPeer::Anyone,
        }
    }

    fn receiver(&self, to: To) -> SuggestedPeer {
        match to {
            To::Workload(id) => self.pods(id),
            To::Outside => SuggestedPeer::Outside { networks: outside(self.world) },
        }
    }

    fn pods(&self, id: WorkloadId) -> SuggestedPeer {
        SuggestedPeer::Pods {
            namespace: Some(self.world.workload(id).namespace.clone()),
            labels: self.chosen[&id].labels.clone(),
        }
    }
}

/// Public addresses of the families in use: all without the private ranges.
pub(super) fn outside(world: &World) -> Vec<(String, Vec<String>)> {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let of = |family: &Family| match family {
        Family::V4 => ("0.0.0.0/0".to_owned(), texts(&PRIVATE_V4)),
        Family::V6 => ("::/0".to_owned(), texts(&PRIVATE_V6)),
    };
    world.families.iter().map(of).collect()
}

/// A port set as policies write it.
fn written(set: &PortSet) -> Vec<SuggestedPort> {
    let of = |protocol: Protocol| {
        set.of(protocol).into_iter().map(move |(first, last)| SuggestedPort {
            protocol: protocol.to_string(),
            first,
            last,
        })
    };
    Protocol::ALL.into_iter().flat_map(of).collect()
}
