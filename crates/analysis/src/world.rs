//! A cluster to ask questions about: the engine with the manifests' pods in it, and the names people use.

mod addresses;
mod hypotheses;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podgate_api::{
    ConnectivityTest, Gateway, Ingress, LabelSelector, Labels, Meta, Namespace, Node, Object, Pod, PodPhase,
    Route, Service, Source, Workload as ApiWorkload, WorkloadKind,
};
pub use podgate_policy::Family;
use podgate_policy::{Cluster, Identity, Settings};
use rustc_hash::FxHashMap;

/// Place of a workload in [`World::workloads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId(pub u32);

/// Place of a pod in [`World::pods`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodId(pub u32);

/// Place of a variant in [`World::variants`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariantId(pub u32);

/// What manifests don't say.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// The engine's settings.
    pub settings: Settings,
    /// Where pods without an address get one: as a cluster would give them, so that an `ipBlock` on a
    /// private range means what it would mean there. One network a family.
    pub pod_networks: Vec<IpNet>,
    /// Where nodes without an address get one.
    pub node_networks: Vec<IpNet>,
    /// Also put in pods that don't exist yet: one for each group of pods that some rule names, one with no
    /// label that matters in each namespace, and one in a namespace of its own. See [`Hypothesis`].
    pub hypotheses: bool,
}

impl Default for WorldOptions {
    fn default() -> Self {
        let net = |text: &str| text.parse().expect("a network written here");
        WorldOptions {
            settings: Settings::default(),
            pod_networks: vec![net("10.244.0.0/16"), net("fd00:10:244::/48")],
            node_networks: vec![net("172.30.0.0/16"), net("fd00:172:30::/64")],
            hypotheses: false,
        }
    }
}

/// A cluster to ask questions about.
#[derive(Debug)]
pub struct World {
    /// The engine, with all pods and policies, committed.
    pub cluster: Cluster,
    /// Everything that runs pods, sorted by namespace, name and kind; hypothetical ones come last.
    pub workloads: Vec<Workload>,
    /// Pods that take part in policy or share a node's addresses, sorted by workload and name. A workload
    /// without pods in the input gets those it would make, two at most: more would behave alike.
    pub pods: Vec<WorldPod>,
    /// Groups of pods of one workload that policy can't tell apart, sorted by workload.
    pub variants: Vec<Variant>,
    /// Services, sorted by namespace and name.
    pub services: Vec<Service>,
    /// Ingresses, sorted by namespace and name.
    pub ingresses: Vec<Ingress>,
    /// Gateways, sorted by namespace and name.
    pub gateways: Vec<Gateway>,
    /// Routes, sorted by namespace, name and kind.
    pub routes: Vec<Route>,
    /// Nodes, sorted by name.
    pub nodes: Vec<Node>,
    /// Namespace objects, sorted by name. [`World::known_namespaces`] also has those that are only mentioned.
    pub namespaces: Vec<Namespace>,
    /// Connectivity tests in order of the input.
    pub tests: Vec<ConnectivityTest>,
    /// Address families in use, IPv4 first.
    pub families: Vec<Family>,
    /// Addresses that are given to pods and nodes here because the input has none.
    pub invented: HashSet<IpAddr>,
    /// The objects of `pods`, in the same order.
    objects: Vec<Pod>,
    /// Labels of all namespaces that are declared or mentioned.
    known_namespaces: BTreeMap<String, Labels>,
}

/// A pod of a [`World`]. [`World::pod_object`] has the rest.
#[derive(Clone, Debug)]
pub struct WorldPod {
    /// Name; the namespace is the workload's.
    pub name: Arc<str>,
    /// The workload it belongs to.
    pub workload: WorkloadId,
    /// Addresses, primary first; the node's for a pod in the host network.
    pub ips: Vec<IpAddr>,
}

/// Something that runs pods: a Deployment, another workload, or a pod of its own.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind, such as `Deployment`, or `Pod`.
    pub kind: String,
    /// Labels of its first pod.
    pub labels: Labels,
    /// Its pods share their nodes' addresses: policy has no say on their side.
    pub host_network: bool,
    /// Pods, as places in [`World::pods`].
    pub pods: Vec<PodId>,
    /// Variants, as places in [`World::variants`].
    pub variants: Vec<VariantId>,
    /// Where the workload (or its first pod) is written.
    pub source: Source,
    /// Set for pods that don't exist.
    pub hypothesis: Option<Hypothesis>,
}

impl Workload {
    /// `namespace/name[Kind]`.
    pub fn title(&self) -> String {
        format!("{}/{}[{}]", self.namespace, self.name, self.kind)
    }
}

/// Pods that don't exist yet: what they stand for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hypothesis {
    /// Which namespaces.
    pub namespaces: HypothesisNamespaces,
    /// Which pods in them; `None`: pods with labels that no policy names.
    pub pods: Option<LabelSelector>,
}

/// The namespaces of a [`Hypothesis`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HypothesisNamespaces {
    /// A namespace that exists or is mentioned.
    Named(String),
    /// Any namespace with such labels.
    Selected(LabelSelector),
    /// A namespace with labels that no policy names.
    Any,
}

/// Pods of one workload that policy can't tell apart.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The workload.
    pub workload: WorkloadId,
    /// The pods.
    pub pods: Vec<PodId>,
    /// What their addresses are to policy, by family; `None` where they have no such address. A pod in the
    /// host network is what its node's address is: no program judges it.
    pub identities: Vec<(Family, Identity)>,
}

impl Variant {
    /// What the addresses of one family are to policy.
    pub fn identity(&self, family: Family) -> Option<&Identity> {
        self.identities.iter().find(|(f, _)| *f == family).map(|(_, identity)| identity)
    }
}

impl World {
    /// Builds a world from objects. Objects that are there twice: the last counts, as when applied in order.
    pub fn new(objects: Vec<Object>, options: &WorldOptions) -> World {
        let mut sorted = Sorted::default();
        for object in objects {
            sorted.take(object);
        }
        let Sorted { mut nodes, mut pods, workloads, policies, mut rest } = sorted;
        addresses::give_to_nodes(&mut nodes, options, &mut rest.invented);
        let mut written: BTreeMap<(String, String, String), Source> = BTreeMap::new();
        expand(workloads, &nodes, &mut pods, &mut written);
        // The last of one name counts.
        let mut seen = HashSet::new();
        let mut kept: Vec<Pod> = Vec::with_capacity(pods.len());
        for pod in pods.into_iter().rev() {
            if seen.insert((pod.meta.namespace.clone(), pod.meta.name.clone())) {
                kept.push(pod);
            }
        }
        drop(seen);
        let mut pods = kept;
        pods.sort_by(|a, b| order(&a.meta).cmp(&order(&b.meta)));
        let hypotheses = if options.hypotheses {
            hypotheses::pods(&rest.namespaces, &pods, &policies)
        } else {
            Vec::new()
        };
        let mut guesses: FxHashMap<(String, String), Hypothesis> = FxHashMap::default();
        for (hypothesis, namespace, pod) in hypotheses {
            guesses.insert((pod.meta.namespace.clone(), pod.meta.name.clone()), hypothesis);
            rest.namespaces.extend(namespace);
            pods.push(pod);
        }
        addresses::give_to_pods(&mut pods, &nodes, &policies, options, &mut rest);

        let mut cluster = Cluster::new(options.settings);
        let Rows { mut workloads, pods, objects: pods_objects } = Rows::new(pods, &written, &mut guesses);
        let mut objects: Vec<Object> =
            Vec::with_capacity(rest.namespaces.len() + policies.len() + nodes.len());
        objects.extend(rest.namespaces.iter().cloned().map(Object::Namespace));
        objects.extend(nodes.iter().cloned().map(Object::Node));
        objects.extend(policies);
        cluster.apply_with_pods(objects, &pods_objects);
        cluster.commit();

        let known = cluster.namespaces().map(|known| (known.name.to_owned(), known.labels.to_labels()));
        let known_namespaces = known.collect();
        let variants = variants(&cluster, &mut workloads, &pods);
        rest.namespaces.retain(|namespace| !namespace.meta.name.starts_with('['));
        let mut world = World {
            cluster,
            workloads,
            pods,
            variants,
            services: last_of_each(rest.services, |o| &o.meta),
            ingresses: last_of_each(rest.ingresses, |o| &o.meta),
            gateways: last_of_each(rest.gateways, |o| &o.meta),
            routes: rest.routes,
            nodes,
            namespaces: last_of_each(rest.namespaces, |o| &o.meta),
            tests: rest.tests,
            families: rest.families,
            invented: rest.invented,
            objects: pods_objects,
            known_namespaces,
        };
        world.routes.sort_by(|a, b| (order(&a.meta), a.kind).cmp(&(order(&b.meta), b.kind)));
        world
    }

    /// The workload of a number.
    pub fn workload(&self, id: WorkloadId) -> &Workload {
        &self.workloads[id.0 as usize]
    }

    /// The pod of a number.
    pub fn pod(&self, id: PodId) -> &WorldPod {
        &self.pods[id.0 as usize]
    }

    /// The pod object of a number, with its labels and ports.
    pub fn pod_object(&self, id: PodId) -> &Pod {
        &self.objects[id.0 as usize]
    }

    /// All pod objects, in the order of [`World::pods`].
    pub fn pod_objects(&self) -> &[Pod] {
        &self.objects
    }

    /// The pod that has an address.
    pub fn pod_object_at(&self, ip: IpAddr) -> Option<&Pod> {
        let owner = self.cluster.pod_at(ip)?;
        let of_namespace = [false, true].into_iter().flat_map(|guess| {
            let place =
                |w: &Workload| (w.hypothesis.is_some(), w.namespace.as_str()) < (guess, owner.namespace());
            let rest = &self.workloads[self.workloads.partition_point(place)..];
            rest.iter()
                .take_while(move |w| w.hypothesis.is_some() == guess && w.namespace == owner.namespace())
        });
        let mut pods = of_namespace.flat_map(|workload| workload.pods.iter().copied());
        pods.find(|pod| *self.pod(*pod).name == *owner.name()).map(|pod| self.pod_object(pod))
    }

    /// All namespaces that are declared or mentioned, with their labels, by name.
    pub fn known_namespaces(&self) -> impl Iterator<Item = (&str, &Labels)> {
        self.known_namespaces.iter().map(|(name, labels)| (name.as_str(), labels))
    }

    /// The labels of a namespace that is declared or mentioned.
    pub fn namespace_labels(&self, name: &str) -> Option<&Labels> {
        self.known_namespaces.get(name)
    }

    /// The variant of a number.
    pub fn variant(&self, id: VariantId) -> &Variant {
        &self.variants[id.0 as usize]
    }

    /// What a variant is called: its workload's title, with the pods in brackets when the workload has
    /// more than one variant.
    pub fn variant_title(&self, id: VariantId) -> String {
        let variant = self.variant(id);
        let workload = self.workload(variant.workload);
        if workload.variants.len() < 2 {
            return workload.title();
        }
        let names: Vec<&str> = variant.pods.iter().map(|pod| &*self.pod(*pod).name).collect();
        match names[..] {
            [first, second, _, ..] => {
                format!("{} ({first}, {second} and {} more)", workload.title(), names.len() - 2)
            }
            _ => format!("{} ({})", workload.title(), names.join(", ")),
        }
    }

    /// Pods that a Service selects, in their order: none for a Service without selector.
    pub fn selected_by(&self, service: &Service) -> Vec<PodId> {
        let Some(selector) = &service.selector else { return Vec::new() };
        let first = self.workloads.partition_point(|w| {
            w.hypothesis.is_none() && w.namespace.as_str() < service.meta.namespace.as_str()
        });
        let of_namespace = self.workloads[first..]
            .iter()
            .take_while(|w| w.hypothesis.is_none() && w.namespace == service.meta.namespace);
        let pods = of_namespace.flat_map(|workload| workload.pods.iter().copied());
        pods.filter(|pod| {
            let labels = &self.pod_object(*pod).meta.labels;
            selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        })
        .collect()
    }
}

fn order(meta: &Meta) -> (&str, &str) {
    (&meta.namespace, &meta.name)
}

/// The input by kind.
#[derive(Default)]
struct Sorted {
    nodes: Vec<Node>,
    pods: Vec<Pod>,
    workloads: Vec<ApiWorkload>,
    policies: Vec<Object>,
    rest: Rest,
}

#[derive(Default)]
struct Rest {
    services: Vec<Service>,
    ingresses: Vec<Ingress>,
    gateways: Vec<Gateway>,
    routes: Vec<Route>,
    namespaces: Vec<Namespace>,
    tests: Vec<ConnectivityTest>,
    families: Vec<Family>,
    invented: HashSet<IpAddr>,
}

impl Sorted {
    fn take(&mut self, object: Object) {
        match object {
            Object::Namespace(o) => self.rest.namespaces.push(o),
            Object::Node(o) => self.nodes.push(o),
            Object::Pod(o) => {
                if !matches!(o.phase, PodPhase::Succeeded | PodPhase::Failed) {
                    self.pods.push(o);
                }
            }
            Object::Service(o) => self.rest.services.push(o),
            Object::Workload(o) => self.workloads.push(o),
            Object::NetworkPolicy(_) | Object::ClusterPolicy(_) => self.policies.push(object),
            Object::Ingress(o) => self.rest.ingresses.push(o),
            Object::Gateway(o) => self.rest.gateways.push(o),
            Object::Route(o) => self.rest.routes.push(o),
            Object::ConnectivityTest(o) => self.rest.tests.push(o),
        }
    }
}

/// Adds the pods of workloads that have none in the input.
fn expand(
    workloads: Vec<ApiWorkload>,
    nodes: &[Node],
    pods: &mut Vec<Pod>,
    written: &mut BTreeMap<(String, String, String), Source>,
) {
    let owned: HashSet<(String, String, String)> = pods
        .iter()
        .filter_map(|pod| {
            let owner = pod.owner.as_ref()?;
            Some((pod.meta.namespace.clone(), owner.name.clone(), owner.kind.clone()))
        })
        .collect();
    let nodes: Vec<&str> = nodes.iter().take(2).map(|node| node.meta.name.as_str()).collect();
    let mut last: BTreeMap<(String, String, &str), ApiWorkload> = BTreeMap::new();
    for workload in workloads {
        let meta = &workload.meta;
        last.insert((meta.namespace.clone(), meta.name.clone(), workload.kind.as_str()), workload);
    }
    let mut workloads: Vec<ApiWorkload> = last.into_values().collect();
    // Only a StatefulSet's pods are known by name before they are there.
    workloads.sort_by_key(|workload| workload.kind != WorkloadKind::StatefulSet);
    let mut names: HashSet<(String, String)> =
        pods.iter().map(|pod| (pod.meta.namespace.clone(), pod.meta.name.clone())).collect();
    for mut workload in workloads {
        let key =
            (workload.meta.namespace.clone(), workload.meta.name.clone(), workload.kind.as_str().to_owned());
        written.insert(key.clone(), workload.meta.source.clone());
        if owned.contains(&key) {
            continue;
        }
        // Scaled to zero today is not gone: policy must be right when it comes back.
        workload.replicas = workload.replicas.clamp(1, 2);
        let mut made = workload.expand(&nodes);
        let key = |pod: &Pod| (pod.meta.namespace.clone(), pod.meta.name.clone());
        if made.iter().any(|pod| names.contains(&key(pod))) {
            // A Deployment and a StatefulSet may have one name; their pods never do.
            for (number, pod) in made.iter_mut().enumerate() {
                let kind = workload.kind.as_str().to_lowercase();
                pod.meta.name = format!("{}-{kind}-{number}", workload.meta.name);
            }
        }
        names.extend(made.iter().map(key));
        pods.extend(made);
    }
}

/// Workloads and pods before the engine has looked at them.
struct Rows {
    workloads: Vec<Workload>,
    pods: Vec<WorldPod>,
    /// In the order of `pods`.
    objects: Vec<Pod>,
}

impl Rows {
    fn new(
        pods: Vec<Pod>,
        written: &BTreeMap<(String, String, String), Source>,
        guesses: &mut FxHashMap<(String, String), Hypothesis>,
    ) -> Rows {
        let mut of_workload: BTreeMap<(bool, &str, &str, &str), Vec<usize>> = BTreeMap::new();
        for (at, pod) in pods.iter().enumerate() {
            let guess = guesses.contains_key(&(pod.meta.namespace.clone(), pod.meta.name.clone()));
            let (name, kind) = match &pod.owner {
                Some(owner) => (owner.name.as_str(), owner.kind.as_str()),
                None => (pod.meta.name.as_str(), "Pod"),
            };
            of_workload.entry((guess, pod.meta.namespace.as_str(), name, kind)).or_default().push(at);
        }
        let mut rows = Rows {
            workloads: Vec::with_capacity(of_workload.len()),
            pods: Vec::with_capacity(pods.len()),
            objects: Vec::with_capacity(pods.len()),
        };
        let mut order: Vec<usize> = Vec::with_capacity(pods.len());
        for ((_, namespace, name, kind), members) in of_workload {
            let id = WorkloadId(rows.workloads.len() as u32);
            let key = (namespace.to_owned(), name.to_owned(), kind.to_owned());
            let mut numbers = Vec::with_capacity(members.len());
            for pod in members.iter().map(|at| &pods[*at]) {
                numbers.push(PodId(rows.pods.len() as u32));
                rows.pods.push(WorldPod {
                    name: pod.meta.name.as_str().into(),
                    workload: id,
                    ips: pod.ips.clone(),
                });
            }
            let first = &pods[members[0]];
            order.extend(members);
            rows.workloads.push(Workload {
                hypothesis: guesses.remove(&(first.meta.namespace.clone(), first.meta.name.clone())),
                labels: first.meta.labels.clone(),
                host_network: first.host_network,
                source: written.get(&key).unwrap_or(&first.meta.source).clone(),
                pods: numbers,
                variants: Vec::new(),
                namespace: key.0,
                name: key.1,
                kind: key.2,
            });
        }
        let mut pods: Vec<Option<Pod>> = pods.into_iter().map(Some).collect();
        rows.objects.extend(order.into_iter().filter_map(|at| pods[at].take()));
        rows
    }
}

fn variants(cluster: &Cluster, workloads: &mut [Workload], pods: &[WorldPod]) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    for (number, workload) in workloads.iter_mut().enumerate() {
        let first = variants.len();
        for id in &workload.pods {
            let mut identities: Vec<(Family, Identity)> = Vec::new();
            for ip in &pods[id.0 as usize].ips {
                let family = Family::of(*ip);
                if identities.iter().any(|(known, _)| *known == family) {
                    continue;
                }
                let identity = if workload.host_network {
                    cluster.class_of(*ip).map(|class| Identity {
                        class,
                        egress: None,
                        ingress: None,
                        node: None,
                    })
                } else {
                    cluster.identity(*ip).map(|identity| Identity { node: None, ..identity })
                };
                identities.extend(identity.map(|identity| (family, identity)));
            }
            match variants[first..].iter_mut().find(|variant| variant.identities == identities) {
                Some(variant) => variant.pods.push(*id),
                None => {
                    workload.variants.push(VariantId(variants.len() as u32));
                    variants.push(Variant {
                        workload: WorkloadId(number as u32),
                        pods: vec![*id],
                        identities,
                    });
                }
            }
        }
    }
    variants
}

/// Sorted by namespace and name; the last of those with one name.
fn last_of_each<T>(mut objects: Vec<T>, meta: fn(&T) -> &Meta) -> Vec<T> {
    objects.reverse();
    objects.sort_by(|a, b| order(meta(a)).cmp(&order(meta(b))));
    objects.dedup_by(|later, first| order(meta(later)) == order(meta(first)));
    objects
}

#[cfg(test)]
mod tests;
