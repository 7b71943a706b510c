//! From ends to pods and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_api::{LabelSelector, Service, ServiceType};
use rustc_hash::FxHashSet;

use super::{End, EndError, EndKind, NamedKind, nearest};
use crate::ip::IpSet;
use crate::world::{Family, PodId, VariantId, Workload, World};

/// What an end is in a [`World`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// What it is called: `shop/web[Deployment]`, `shop/svc/web`, `10.0.0.5 (shop/web-0)`.
    pub title: String,
    /// The pods, in the world's order; those in the host network too.
    pub pods: Vec<PodId>,
    /// Addresses outside, at most one set a family, IPv4 first. Where a pod has one of them, the pod is
    /// not meant unless `pods` names it.
    pub outside: Vec<IpSet>,
    /// The Service it was named by, as a place in [`World::services`]: its ports are translated.
    pub service: Option<usize>,
    /// What a reader should know about it.
    pub notes: Vec<String>,
}

impl Resolved {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.outside.iter().all(IpSet::is_empty)
    }

    /// The addresses outside of one family.
    pub fn outside(&self, family: Family) -> IpSet {
        let set = self.outside.iter().find(|set| set.family() == family);
        set.cloned().unwrap_or_else(|| IpSet::none(family))
    }

    /// The pods by variant, in the world's order: all of a variant's, or some.
    pub fn variants(&self, world: &World) -> Vec<(VariantId, Vec<PodId>)> {
        let mut groups: BTreeMap<VariantId, Vec<PodId>> = BTreeMap::new();
        for of_workload in self.pods.chunk_by(|a, b| world.pod(*a).workload == world.pod(*b).workload) {
            let workload = world.workload(world.pod(of_workload[0]).workload);
            let wanted: FxHashSet<PodId> = of_workload.iter().copied().collect();
            for variant in &workload.variants {
                let pods: Vec<PodId> =
                    world.variant(*variant).pods.iter().copied().filter(|pod| wanted.contains(pod)).collect();
                if !pods.is_empty() {
                    groups.insert(*variant, pods);
                }
            }
        }
        groups.into_iter().collect()
    }

    /// Adds what another end holds. Ports are translated for each end alone: the sum has no Service.
    pub fn add(&mut self, other: &Resolved) {
        let all: BTreeSet<PodId> = self.pods.iter().chain(&other.pods).copied().collect();
        self.pods = all.into_iter().collect();
        for set in &other.outside {
            match self.outside.iter_mut().find(|known| known.family() == set.family()) {
                Some(known) => *known = known.union(set),
                None => self.outside.push(set.clone()),
            }
        }
        self.outside.sort_by_key(IpSet::family);
        self.service = None;
    }

    /// Takes away what another end holds.
    pub fn remove(&mut self, other: &Resolved) {
        self.pods.retain(|pod| other.pods.binary_search(pod).is_err());
        for set in &mut self.outside {
            *set = set.difference(&other.outside(set.family()));
        }
        self.outside.retain(|set| !set.is_empty());
    }
}

impl World {
    /// The variant that a pod belongs to.
    pub fn variant_of(&self, pod: PodId) -> VariantId {
        let workload = self.workload(self.pod(pod).workload);
        let variants = workload.variants.iter().copied();
        let mut holding = variants.filter(|id| self.variant(*id).pods.contains(&pod));
        holding.next().expect("each pod of a workload is in one of its variants")
    }

    /// `namespace/name` of a pod.
    pub fn pod_name(&self, pod: PodId) -> String {
        let pod = self.pod(pod);
        format!("{}/{}", self.workload(pod.workload).namespace, pod.name)
    }

    /// What an end is here.
    ///
    /// # Errors
    /// When there is nothing of that name, with the nearest names; when a name can mean several things; when
    /// there is nothing to select.
    pub fn resolve(&self, end: &End) -> Result<Resolved, EndError> {
        match &end.kind {
            EndKind::Named { namespace, kind, name } => {
                self.named(end, namespace.as_deref(), kind.as_ref(), name)
            }
            EndKind::Namespace(namespace) => {
                self.known_namespace(namespace)?;
                let pods = self.pods_where(|workload| workload.namespace == *namespace);
                match pods.is_empty() {
                    true => Err(EndError::new(format!("namespace {namespace} has no pods"), "")),
                    false => Ok(Resolved { title: format!("{namespace}/*"), pods, ..Resolved::default() }),
                }
            }
            EndKind::Selected { namespace, selector } => self.selected(namespace.as_deref(), selector),
            EndKind::Address(ip) => Ok(self.address(*ip)),
            EndKind::Network(net) => Ok(self.network(*net)),
            EndKind::Internet => Ok(Resolved {
                title: "internet".to_owned(),
                outside: self.families.iter().map(|family| IpSet::public(*family)).collect(),
                ..Resolved::default()
            }),
            EndKind::All => Ok(Resolved {
                title: "all".to_owned(),
                pods: self.pods_where(|_| true),
                outside: self.families.iter().map(|family| IpSet::all(*family)).collect(),
                ..Resolved::default()
            }),
        }
    }

    /// Pods of workloads that exist.
    fn pods_where(&self, wanted: impl Fn(&Workload) -> bool) -> Vec<PodId> {
        let workloads = self.real_workloads().filter(|workload| wanted(workload));
        let mut pods: Vec<PodId> = workloads.flat_map(|workload| workload.pods.iter().copied()).collect();
        pods.sort_unstable();
        pods
    }

    fn real_workloads(&self) -> impl Iterator<Item = &Workload> {
        self.workloads.iter().filter(|workload| workload.hypothesis.is_none())
    }

    fn named(
        &self,
        end: &End,
        namespace: Option<&str>,
        kind: Option<&NamedKind>,
        name: &str,
    ) -> Result<Resolved, EndError> {
        // `deploy/web`, as kubectl's users write it: the first word is a namespace where one is called so.
        if let (Some(first), None) = (namespace, kind)
            && let Some(kind) = NamedKind::parse(first)
            && !self.namespace_names().contains(first)
        {
            return self.named(end, None, Some(&kind), name);
        }
        let Some(namespace) = namespace.or(end.default_namespace.as_deref()) else {
            return self.named_anywhere(end, kind, name);
        };
        self.known_namespace(namespace)?;
        match kind {
            Some(NamedKind::Service) => self.service_end(namespace, name),
            Some(NamedKind::Pod) => self.pod_end(namespace, name),
            Some(NamedKind::Workload(kind)) => self.workload_end(namespace, kind, name),
            None => self.pod_or_workload(namespace, name),
        }
    }

    fn named_anywhere(&self, end: &End, kind: Option<&NamedKind>, name: &str) -> Result<Resolved, EndError> {
        let namespaces: Vec<&str> = self.namespace_names().into_iter().collect();
        let found: Vec<(&str, Resolved)> = namespaces
            .iter()
            .filter_map(|namespace| Some((*namespace, self.named(end, Some(namespace), kind, name).ok()?)))
            .collect();
        let word = kind.map(|kind| format!("{}/", NamedKind::short(kind.as_str()))).unwrap_or_default();
        match found.len() {
            1 => Ok(found.into_iter().next().expect("one was found").1),
            0 => {
                let names = self.real_workloads().map(|workload| workload.name.as_str());
                let near: BTreeSet<&str> = nearest(name, names).into_iter().collect();
                let near = self.real_workloads().filter(|workload| near.contains(workload.name.as_str()));
                let near: Vec<String> = near.take(3).map(|w| format!("{}/{}", w.namespace, w.name)).collect();
                let help = match near.is_empty() {
                    true => format!("write namespace/name; namespaces are {}", listed(&namespaces)),
                    false => format!("did you mean {}?", near.join(" or ")),
                };
                Err(EndError::new(format!("nothing is called {word}{name} in any namespace"), help))
            }
            _ => {
                let choices: Vec<String> =
                    found.iter().map(|(namespace, _)| format!("{namespace}/{word}{name}")).collect();
                let message = format!("{word}{name} is in {} namespaces", found.len());
                Err(EndError::new(message, format!("write {}", choices.join(" or "))))
            }
        }
    }

    /// Names of all namespaces that are declared or mentioned.
    fn namespace_names(&self) -> BTreeSet<&str> {
        let engine = self.known_namespaces().map(|(name, _)| name);
        let services = self.services.iter().map(|service| service.meta.namespace.as_str());
        engine.chain(services).filter(|name| !name.starts_with('[')).collect()
    }

    fn known_namespace(&self, name: &str) -> Result<(), EndError> {
        let known = self.namespace_names();
        if known.contains(name) {
            return Ok(());
        }
        let known: Vec<&str> = known.into_iter().collect();
        let help = match (nearest(name, known.iter().copied()).first(), known.is_empty()) {
            (Some(near), _) => format!("did you mean {near}?"),
            (None, false) => format!("namespaces are {}", listed(&known)),
            (None, true) => "the input has no namespace and no pod".to_owned(),
        };
        Err(EndError::new(format!("no namespace {name}"), help))
    }

    fn pod_end(&self, namespace: &str, name: &str) -> Result<Resolved, EndError> {
        self.find_pod(namespace, name)
            .map(|pod| self.one_pod(pod))
            .ok_or_else(|| self.nothing("pod", namespace, name))
    }

    fn find_pod(&self, namespace: &str, name: &str) -> Option<PodId> {
        let mut pods = self
            .real_workloads()
            .filter(|workload| workload.namespace == namespace)
            .flat_map(|workload| &workload.pods);
        pods.find(|pod| &*self.pod(**pod).name == name).copied()
    }

    fn one_pod(&self, pod: PodId) -> Resolved {
        let workload = self.workload(self.pod(pod).workload);
        let mut resolved = Resolved {
            title: format!("{}[Pod]", self.pod_name(pod)),
            pods: vec![pod],
            ..Resolved::default()
        };
        resolved.notes.extend(host_network_note(workload));
        resolved
    }

    fn workload_end(&self, namespace: &str, kind: &str, name: &str) -> Result<Resolved, EndError> {
        let mut same = self.real_workloads().filter(|workload| {
            workload.namespace == namespace
                && workload.name == name
                && workload.kind.eq_ignore_ascii_case(kind)
        });
        match same.next() {
            Some(workload) => Ok(whole(workload)),
            None => {
                let mut error = self.nothing(kind, namespace, name);
                let others: Vec<String> = self.of_name(namespace, name).map(suggestion).collect();
                if !others.is_empty() {
                    error.help = format!("there is {}", others.join(" and "));
                }
                Err(error)
            }
        }
    }

    fn of_name(&self, namespace: &str, name: &str) -> impl Iterator<Item = &Workload> {
        self.real_workloads().filter(move |workload| workload.namespace == namespace && workload.name == name)
    }

    fn pod_or_workload(&self, namespace: &str, name: &str) -> Result<Resolved, EndError> {
        let workloads: Vec<&Workload> =
            self.of_name(namespace, name).filter(|workload| workload.kind != "Pod").collect();
        match (self.find_pod(namespace, name), &workloads[..]) {
            (Some(pod), others) => {
                let mut resolved = self.one_pod(pod);
                if let Some(first) = others.first() {
                    resolved.notes.push(format!(
                        "{namespace}/{name} is a pod, and a {} as well: the pod is meant; write {} for the other",
                        first.kind,
                        suggestion(first)
                    ));
                }
                Ok(resolved)
            }
            (None, [only]) => Ok(whole(only)),
            (None, []) => {
                let mut error = self.nothing("pod or workload", namespace, name);
                if self.find_service(namespace, name).is_some() {
                    error.help =
                        format!("there is a Service of that name: write {namespace}/svc/{name} for its pods");
                }
                Err(error)
            }
            (None, several) => {
                let choices: Vec<String> = several.iter().map(|workload| suggestion(workload)).collect();
                let message = format!("{namespace}/{name} can mean {} workloads", several.len());
                Err(EndError::new(message, format!("write {}", choices.join(" or "))))
            }
        }
    }

    /// The error for a name that isn't there: near names, or what there is.
    fn nothing(&self, what: &str, namespace: &str, name: &str) -> EndError {
        let of_namespace: Vec<&Workload> =
            self.real_workloads().filter(|workload| workload.namespace == namespace).collect();
        let pods = of_namespace.iter().flat_map(|workload| &workload.pods).map(|pod| &*self.pod(*pod).name);
        let names = of_namespace.iter().map(|workload| workload.name.as_str()).chain(pods);
        let near = nearest(name, names);
        let help = if let Some((first, others)) = near.split_first() {
            let others: String = others.iter().map(|other| format!(" or {namespace}/{other}")).collect();
            format!("did you mean {namespace}/{first}{others}?")
        } else if of_namespace.is_empty() {
            format!("the namespace has no pods{}", self.elsewhere(name))
        } else {
            let known: BTreeSet<&str> = of_namespace.iter().map(|workload| workload.name.as_str()).collect();
            let known: Vec<&str> = known.into_iter().collect();
            format!("the namespace has {}{}", listed(&known), self.elsewhere(name))
        };
        EndError::new(format!("no {what} {name} in namespace {namespace}"), help)
    }

    fn elsewhere(&self, name: &str) -> String {
        let mut others = self.real_workloads().filter(|workload| workload.name == name);
        others.next().map_or_else(String::new, |other| format!("; there is {}", suggestion(other)))
    }

    fn find_service(&self, namespace: &str, name: &str) -> Option<usize> {
        self.services.iter().position(|s| s.meta.namespace == namespace && s.meta.name == name)
    }

    fn service_end(&self, namespace: &str, name: &str) -> Result<Resolved, EndError> {
        let Some(at) = self.find_service(namespace, name) else {
            let of_namespace = self.services.iter().filter(|service| service.meta.namespace == namespace);
            let known: Vec<&str> = of_namespace.map(|service| service.meta.name.as_str()).collect();
            let help = match (nearest(name, known.iter().copied()).first(), known.is_empty()) {
                (Some(near), _) => format!("did you mean {namespace}/svc/{near}?"),
                (None, false) => format!("its Services are {}", listed(&known)),
                (None, true) => "the namespace has no Services".to_owned(),
            };
            return Err(EndError::new(format!("no Service {name} in namespace {namespace}"), help));
        };
        let service = &self.services[at];
        let pods = self.pods_behind(service)?;
        let workloads = pods.iter().map(|pod| self.workload(self.pod(*pod).workload));
        let notes: BTreeSet<String> = workloads.filter_map(host_network_note).collect();
        Ok(Resolved {
            title: format!("{namespace}/svc/{name}"),
            pods,
            service: Some(at),
            notes: notes.into_iter().collect(),
            ..Resolved::default()
        })
    }

    /// The pods behind a Service; an error says why there are none.
    fn pods_behind(&self, service: &Service) -> Result<Vec<PodId>, EndError> {
        let title = format!("{}/svc/{}", service.meta.namespace, service.meta.name);
        if service.kind == ServiceType::ExternalName {
            return Err(EndError::new(
                format!("{title} is a DNS alias (ExternalName): no traffic goes to it"),
                "ask about the address that the name stands for",
            ));
        }
        let Some(selector) = &service.selector else {
            return Err(EndError::new(
                format!("{title} has no selector, so its endpoints are not in the input"),
                "ask about the endpoints' addresses",
            ));
        };
        let pods = self.selected_by(service);
        if !pods.is_empty() {
            return Ok(pods);
        }
        let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let near = self.real_workloads().find(|workload| {
            workload.namespace == service.meta.namespace
                && selector.iter().any(|(key, value)| workload.labels.get(key) == Some(value))
        });
        let help = match near {
            Some(near) => {
                let missing = selector.iter().find(|(key, value)| near.labels.get(*key) != Some(value));
                let (key, _) = missing.expect("a workload with all labels would be selected");
                let has =
                    near.labels.get(key).map_or_else(|| format!("no label {key}"), |v| format!("{key}={v}"));
                format!("{} comes nearest, and has {has}", near.title())
            }
            None => "no pod of its namespace has one of these labels".to_owned(),
        };
        Err(EndError::new(format!("{title} selects no pod (its selector is {})", labels.join(",")), help))
    }

    fn selected(&self, namespace: Option<&str>, selector: &LabelSelector) -> Result<Resolved, EndError> {
        if let Some(namespace) = namespace {
            self.known_namespace(namespace)?;
        }
        let inside = |workload: &Workload| namespace.is_none_or(|name| workload.namespace == name);
        let pods: Vec<PodId> = self
            .pods_where(inside)
            .into_iter()
            .filter(|pod| selector.matches(&self.pod_object(*pod).meta.labels))
            .collect();
        let shown = selector.to_string();
        let title = match namespace {
            Some(namespace) => format!("{namespace}/* with {shown}"),
            None => format!("pods with {shown}"),
        };
        if !pods.is_empty() {
            return Ok(Resolved { title, pods, ..Resolved::default() });
        }
        let place =
            namespace.map_or_else(|| "in any namespace".to_owned(), |name| format!("in namespace {name}"));
        let help = selector
            .requirements()
            .iter()
            .find_map(|requirement| {
                let values: BTreeSet<&str> = self
                    .real_workloads()
                    .filter(|workload| inside(workload))
                    .filter_map(|workload| workload.labels.get(&requirement.key).map(String::as_str))
                    .collect();
                let met = values.iter().any(|value| requirement.matches(Some(value)));
                (!met && !requirement.values.is_empty()).then(|| match values.is_empty() {
                    true => format!("no pod there has a label {}", requirement.key),
                    false => {
                        let values: Vec<&str> = values.into_iter().collect();
                        format!("the label {} is {} there", requirement.key, listed(&values))
                    }
                })
            })
            .unwrap_or_default();
        Err(EndError::new(format!("no pod {place} has the labels {shown}"), help))
    }

    fn address(&self, ip: IpAddr) -> Resolved {
        let alone =
            || Resolved { title: ip.to_string(), outside: vec![IpSet::address(ip)], ..Resolved::default() };
        if let Some(pod) = self.pod_with(ip) {
            let name = self.pod_name(pod);
            let mut resolved = Resolved { title: format!("{ip} ({name})"), ..self.one_pod(pod) };
            resolved.notes.push(match self.invented.contains(&ip) {
                true => format!("{ip} is the address made up here for pod {name}, whose manifest has none"),
                false => format!("{ip} is pod {name}"),
            });
            return resolved;
        }
        if let Some(node) = self.nodes.iter().find(|node| node.addresses.contains(&ip)) {
            let mut resolved = alone();
            resolved.title = format!("{ip} (node {})", node.meta.name);
            resolved.notes.push(format!(
                "{ip} is node {0}: no policy selects it; {0} and the pods on it always reach each other",
                node.meta.name
            ));
            return resolved;
        }
        let behind = self.services.iter().position(|service| service.cluster_ips.contains(&ip));
        if let Some(at) = behind {
            let service = &self.services[at];
            let name = format!("{}/svc/{}", service.meta.namespace, service.meta.name);
            let note =
                format!("{ip} is the ClusterIP of {name}: policy never sees it, it sees the pods behind it");
            return match self.pods_behind(service) {
                Ok(pods) => Resolved {
                    title: format!("{ip} ({name})"),
                    pods,
                    service: Some(at),
                    notes: vec![note],
                    ..Resolved::default()
                },
                Err(error) => Resolved { notes: vec![note, error.to_string()], ..alone() },
            };
        }
        alone()
    }

    fn pod_with(&self, ip: IpAddr) -> Option<PodId> {
        let pod = self.cluster.pod_at(ip)?;
        self.find_pod(pod.namespace(), pod.name())
    }

    fn network(&self, net: IpNet) -> Resolved {
        let mut made_up = 0_usize;
        let mut pods: Vec<PodId> = Vec::new();
        for workload in self.real_workloads().filter(|workload| !workload.host_network) {
            for pod in &workload.pods {
                match self.pod(*pod).ips.iter().find(|ip| net.contains(*ip)) {
                    Some(ip) if self.invented.contains(ip) => made_up += 1,
                    Some(_) => pods.push(*pod),
                    None => {}
                }
            }
        }
        pods.sort_unstable();
        let mut notes = Vec::new();
        match pods.len() {
            0 => {}
            1 => notes.push(format!("{net} holds the address of pod {}", self.pod_name(pods[0]))),
            many => notes.push(format!("{net} holds the addresses of {many} pods")),
        }
        if made_up > 0 {
            notes.push(format!(
                "no pod is counted to {net}: the manifests say no addresses, those in use here are made up"
            ));
        }
        Resolved { title: net.to_string(), pods, outside: vec![IpSet::net(net)], service: None, notes }
    }
}

fn whole(workload: &Workload) -> Resolved {
    Resolved {
        title: workload.title(),
        pods: workload.pods.clone(),
        notes: host_network_note(workload).into_iter().collect(),
        ..Resolved::default()
    }
}

fn host_network_note(workload: &Workload) -> Option<String> {
    workload.host_network.then(|| {
        format!(
            "{} is in the host network: no policy selects its pods, as subject or as peer; their address is the node's",
            workload.title()
        )
    })
}

/// `shop/deploy/web`.
fn suggestion(workload: &Workload) -> String {
    format!("{}/{}/{}", workload.namespace, NamedKind::short(&workload.kind), workload.name)
}

/// The first names, and how many more there are.
pub(super) fn listed(names: &[&str]) -> String {
    const MOST: usize = 8;
    match names.len() {
        0..=MOST => names.join(", "),
        many => format!("{} and {} more", names[..MOST].join(", "), many - MOST),
    }
}
