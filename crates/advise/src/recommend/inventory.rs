//! Workloads, from the input and from what was seen, and the labels that select each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podgate_api::{LabelSelector, Labels, Object, Pod, PodPhase, Service, TargetPort};
use podgate_flow::{OwnerName, Party, Protocol};

use super::select::{Chosen, choose};
use crate::seen::{End, Seen};

/// A workload by namespace, name and kind; a pod of its own has the kind `Pod`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
}

impl std::fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}[{}]", self.namespace, self.name, self.kind)
    }
}

/// What is known of a workload.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Labels of its pods, each set once.
    pub labels: BTreeSet<Labels>,
    /// Its own selector, where the input has it.
    pub selector: Option<LabelSelector>,
    /// Its pods share their nodes' addresses.
    pub host_network: bool,
    /// Names of its pods in the input.
    pub pods: BTreeSet<String>,
    /// Names of its pods that took part in something that was let through.
    pub seen: BTreeSet<String>,
    /// Something of it or to it was denied.
    pub was_denied: bool,
    /// It is written in the input.
    pub given: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Inventory {
    /// All workloads.
    pub groups: BTreeMap<WorkloadKey, Group>,
    /// The workload of each pod of the input.
    of_pod: BTreeMap<(String, String), WorkloadKey>,
    services: Vec<Service>,
    pods: Vec<Pod>,
    /// How each workload is selected; `None`: by nothing.
    chosen: BTreeMap<WorkloadKey, Option<Chosen>>,
}

impl Inventory {
    /// What the objects have, and the pods that were seen.
    pub fn new(objects: &[Object], seen: &Seen) -> Inventory {
        let mut inventory = Inventory::default();
        for object in objects {
            match object {
                Object::Workload(workload) => {
                    let key = WorkloadKey {
                        namespace: workload.meta.namespace.clone(),
                        name: workload.meta.name.clone(),
                        kind: workload.kind.as_str().to_owned(),
                    };
                    let group = inventory.groups.entry(key).or_default();
                    group.given = true;
                    group.selector = workload.selector.clone();
                    group.host_network |= workload.template.host_network;
                    group.labels.insert(workload.template.labels.clone());
                }
                Object::Pod(pod) if !matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed) => {
                    let (kind, name) = match &pod.owner {
                        Some(owner) => (owner.kind.clone(), owner.name.clone()),
                        None => ("Pod".to_owned(), pod.meta.name.clone()),
                    };
                    let key = WorkloadKey { namespace: pod.meta.namespace.clone(), name, kind };
                    let group = inventory.groups.entry(key.clone()).or_default();
                    group.given = true;
                    group.host_network |= pod.host_network;
                    group.labels.insert(pod.meta.labels.clone());
                    group.pods.insert(pod.meta.name.clone());
                    inventory.of_pod.insert((pod.meta.namespace.clone(), pod.meta.name.clone()), key);
                    inventory.pods.push(pod.clone());
                }
                Object::Service(service) => inventory.services.push(service.clone()),
                _ => {}
            }
        }
        // Who was only denied teaches nothing, and is somebody from whom others have to be told all the same.
        let flows = seen.flows.iter().chain(&seen.unclear);
        for (end, tally) in flows.flat_map(|(key, tally)| [(&key.from, tally), (&key.to, tally)]) {
            let Party::Pod { namespace, pod, labels, .. } = &*end.party else { continue };
            let Some(key) = inventory.workload_of(end) else { continue };
            let is_known = inventory.of_pod.contains_key(&(namespace.clone(), pod.clone()));
            let group = inventory.groups.entry(key).or_default();
            group.was_denied |= tally.denied > 0;
            if tally.allowed > 0 {
                group.seen.insert(pod.clone());
            }
            // What the input says of a workload counts: labels of pods that are gone may be older.
            if !is_known && !group.given && !labels.is_empty() {
                group.labels.insert(labels.clone());
            }
        }
        let all = inventory.groups.keys();
        inventory.chosen = all.map(|key| (key.clone(), inventory.choose(key))).collect();
        inventory
    }

    /// The workload of a pod at an end.
    pub fn workload_of(&self, end: &End) -> Option<WorkloadKey> {
        let Party::Pod { namespace, pod, owner, .. } = &*end.party else { return None };
        if let Some(known) = self.of_pod.get(&(namespace.clone(), pod.clone())) {
            return Some(known.clone());
        }
        let OwnerName { kind, name } =
            owner.clone().unwrap_or_else(|| OwnerName { kind: "Pod".to_owned(), name: pod.clone() });
        Some(WorkloadKey { namespace: namespace.clone(), name, kind })
    }

    /// The workloads behind a Service's address, each with its own port; `None`: it is no Service's.
    pub fn behind(&self, ip: IpAddr, protocol: Protocol, port: u16) -> Option<BTreeSet<(WorkloadKey, u16)>> {
        let service = self.services.iter().find(|service| service.cluster_ips.contains(&ip))?;
        let selector = service.selector.as_ref();
        let ports: Vec<_> = service
            .ports
            .iter()
            .filter(|known| known.port == port && known.protocol.number() == protocol.0)
            .collect();
        let mut found = BTreeSet::new();
        for pod in &self.pods {
            let selected = selector.is_some_and(|selector| {
                pod.meta.namespace == service.meta.namespace
                    && selector.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value))
            });
            let Some(key) = self.of_pod.get(&(pod.meta.namespace.clone(), pod.meta.name.clone())) else {
                continue;
            };
            for port in ports.iter().filter(|_| selected) {
                match &port.target {
                    TargetPort::Number(number) => drop(found.insert((key.clone(), *number))),
                    TargetPort::Name(name) => {
                        let named = pod.ports.iter().filter(|known| known.name == *name);
                        found.extend(named.map(|known| (key.clone(), known.port)));
                    }
                }
            }
        }
        Some(found)
    }

    /// How a workload's pods are selected: by its own selector where that means exactly its pods, otherwise by the
    /// fewest labels that do. `None` where it has no labels that last.
    pub fn chosen(&self, key: &WorkloadKey) -> Option<&Chosen> {
        self.chosen.get(key)?.as_ref()
    }

    fn choose(&self, key: &WorkloadKey) -> Option<Chosen> {
        let group = self.groups.get(key)?;
        let own: Vec<&Labels> = group.labels.iter().collect();
        let others: Vec<(&WorkloadKey, &Labels)> = self
            .groups
            .iter()
            .filter(|(other, group)| *other != key && other.namespace == key.namespace && !group.host_network)
            .flat_map(|(other, group)| group.labels.iter().map(move |labels| (other, labels)))
            .collect();
        choose(group.selector.as_ref(), &own, &others)
    }
}
