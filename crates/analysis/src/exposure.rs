//! What is open: to the whole cluster, to pods that don't exist yet, to the internet and to it.
//!
//! Asked of a world with hypotheses: pods that don't exist yet are ends like any other, so what is said of
//! them is the engine's verdict too.

mod entries;

use podgate_api::LabelSelector;
use rustc_hash::FxHashMap;
use serde::Serialize;

pub use entries::{Entry, entries};

use crate::diff::place;
use crate::ip::IpSet;
use crate::joint::{CellId, End, EndId, Joint};
use crate::ports::PortSet;
use crate::reach::NamedPorts;
use crate::reach::names::{Namer, joined};
use crate::world::{Family, Hypothesis, HypothesisNamespaces, VariantId, World};

/// The address at which clouds tell virtual machines their secrets.
pub const METADATA: &str = "169.254.169.254";

/// What is open in a cluster.
#[derive(Debug, Serialize)]
pub struct Exposure {
    /// Ways in from outside.
    pub entries: Vec<Entry>,
    /// All workloads, sorted.
    pub workloads: Vec<WorkloadExposure>,
}

/// What is open at a workload.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadExposure {
    /// `namespace/name[Kind]`.
    pub workload: String,
    /// Where it is written.
    pub source: String,
    /// Policy has no say: its pods share their nodes' addresses.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host_network: bool,
    /// Who may connect to it.
    pub ingress: Openness,
    /// To whom it may connect.
    pub egress: Openness,
    /// The ports on which it reaches the cloud's metadata endpoint.
    pub metadata: NamedPorts,
}

/// What is open in one direction.
#[derive(Clone, Debug, Serialize)]
pub struct Openness {
    /// Some policy has a say.
    pub protected: bool,
    /// Ports that are open to any pod of any namespace.
    pub cluster: NamedPorts,
    /// Ports beyond those that are open to some pods, whether they exist or not.
    pub selected: Vec<Selected>,
    /// Addresses outside.
    pub outside: Vec<Outside>,
}

/// Pods that a selector describes.
#[derive(Clone, Debug, Serialize)]
pub struct Selected {
    /// In words.
    pub pods: String,
    /// What they are.
    #[serde(skip)]
    pub hypothesis: Hypothesis,
    /// Some pod of the input is one of them.
    pub exists: bool,
    /// Ports.
    #[serde(flatten)]
    pub ports: NamedPorts,
}

/// Addresses outside.
#[derive(Clone, Debug, Serialize)]
pub struct Outside {
    /// The addresses.
    pub addresses: Vec<String>,
    /// Some of them are of the internet.
    pub internet: bool,
    /// Ports.
    #[serde(flatten)]
    pub ports: NamedPorts,
}

impl Exposure {
    /// What is open in a world with hypotheses.
    pub fn new(world: &World) -> Exposure {
        let mut joint = Joint::new(world);
        let guesses = Guess::all(world);
        let columns = Columns::new(&mut joint);
        let namer = Namer::new(world);
        let mut workloads = Vec::new();
        for (number, variant) in world.variants.iter().enumerate() {
            let workload = world.workload(variant.workload);
            if workload.hypothesis.is_some() {
                continue;
            }
            let id = VariantId(number as u32);
            let end = EndId(id.0);
            let sides = variant.identities.iter().map(|(_, identity)| identity);
            let ingress = sides.clone().any(|identity| identity.ingress.is_some());
            let egress = sides.clone().any(|identity| identity.egress.is_some());
            let inward = |other: EndId| columns.cell(&joint, other, end);
            let outward = |other: EndId| columns.cell(&joint, end, other);
            workloads.push(WorkloadExposure {
                workload: world.variant_title(id),
                source: place(&workload.source),
                host_network: workload.host_network,
                ingress: openness(&joint, &namer, &guesses, ingress, &inward),
                egress: openness(&joint, &namer, &guesses, egress, &outward),
                metadata: NamedPorts(metadata(&joint, &outward)),
            });
        }
        Exposure { entries: entries(world), workloads }
    }
}

/// The pods that don't exist yet; the one that stands for any pod of any namespace first.
pub(crate) fn hypotheses(world: &World) -> Vec<(VariantId, &Hypothesis)> {
    let mut found: Vec<(VariantId, &Hypothesis)> = world
        .workloads
        .iter()
        .filter_map(|workload| Some((*workload.variants.first()?, workload.hypothesis.as_ref()?)))
        .collect();
    found.sort_by_key(|(variant, hypothesis)| (!is_any(hypothesis), *variant));
    found
}

fn is_any(hypothesis: &Hypothesis) -> bool {
    hypothesis.pods.is_none() && hypothesis.namespaces == HypothesisNamespaces::Any
}

/// All columns of a relation.
pub(crate) struct Columns(Vec<Vec<CellId>>);

impl Columns {
    pub(crate) fn new(joint: &mut Joint) -> Columns {
        let receivers = joint.receivers().len();
        Columns((0..receivers).map(|at| joint.column(at)).collect())
    }

    /// What one end reaches of another.
    pub(crate) fn cell(&self, joint: &Joint, from: EndId, to: EndId) -> CellId {
        self.0[joint.receiver_of(to)][joint.sender_of(from)]
    }
}

/// Pods that don't exist yet, with what is the same for all workloads.
struct Guess<'a> {
    variant: VariantId,
    hypothesis: &'a Hypothesis,
    /// Some pod of the input is one of them.
    exists: bool,
    /// Hypotheses that hold these pods too.
    wider: Vec<VariantId>,
}

impl Guess<'_> {
    fn all(world: &World) -> Vec<Guess<'_>> {
        let found = hypotheses(world);
        let known: FxHashMap<(&HypothesisNamespaces, Option<&LabelSelector>), VariantId> =
            found.iter().map(|(id, h)| ((&h.namespaces, h.pods.as_ref()), *id)).collect();
        let mut guesses = Vec::with_capacity(found.len());
        for (variant, hypothesis) in &found {
            let whole = (&hypothesis.namespaces, None);
            let anywhere = (&HypothesisNamespaces::Any, hypothesis.pods.as_ref());
            let wider = hypothesis.pods.iter().flat_map(|_| [whole, anywhere]);
            let wider = wider.filter_map(|key| known.get(&key).copied()).filter(|other| other != variant);
            let (wider, exists) = (wider.collect(), exists(world, hypothesis));
            guesses.push(Guess { variant: *variant, hypothesis, exists, wider });
        }
        guesses
    }
}

/// What is open in one direction; `cell` tells what is open towards another end.
fn openness(
    joint: &Joint,
    namer: &Namer,
    guesses: &[Guess<'_>],
    protected: bool,
    cell: &dyn Fn(EndId) -> CellId,
) -> Openness {
    let ports = |variant: VariantId| joint.any_ports(cell(EndId(variant.0)));
    let any = guesses.iter().find(|guess| is_any(guess.hypothesis));
    let cluster = any.map_or_else(PortSet::none, |any| ports(any.variant));
    let mut selected = Vec::new();
    let mut known: FxHashMap<CellId, PortSet> = FxHashMap::default();
    for guess in guesses.iter().filter(|guess| !is_any(guess.hypothesis)) {
        let found = cell(EndId(guess.variant.0));
        let of_cell = known.entry(found).or_insert_with(|| joint.any_ports(found).difference(&cluster));
        if of_cell.is_empty() {
            continue;
        }
        // What all pods of those namespaces may, or such pods of any namespace, isn't said of these again.
        let beyond = guess.wider.iter().fold(of_cell.clone(), |rest, wider| rest.difference(&ports(*wider)));
        if !beyond.is_empty() {
            selected.push(Selected {
                pods: in_words(guess.hypothesis),
                hypothesis: guess.hypothesis.clone(),
                exists: guess.exists,
                ports: NamedPorts(beyond),
            });
        }
    }
    let mut by_ports: Vec<(PortSet, Vec<IpSet>)> = Vec::new();
    for (number, end) in joint.ends.iter().enumerate() {
        let End::Outside(set) = end else { continue };
        let ports = joint.any_ports(cell(EndId(number as u32)));
        if ports.is_empty() {
            continue;
        }
        match by_ports.iter_mut().find(|(known, _)| *known == ports) {
            Some((_, sets)) => sets.push(set.clone()),
            None => by_ports.push((ports, vec![set.clone()])),
        }
    }
    let outside = by_ports.into_iter().map(|(ports, sets)| {
        let sets = joined(sets);
        let is_public = |set: &IpSet| !set.intersection(&IpSet::public(set.family())).is_empty();
        Outside {
            addresses: namer.addresses(&sets),
            internet: sets.iter().any(is_public),
            ports: NamedPorts(ports),
        }
    });
    Openness { protected, cluster: NamedPorts(cluster), selected, outside: outside.collect() }
}

/// `pods with app=web in namespaces with team=a`.
pub fn in_words(hypothesis: &Hypothesis) -> String {
    let namespaces = match &hypothesis.namespaces {
        HypothesisNamespaces::Named(name) => format!("namespace {name}"),
        HypothesisNamespaces::Any => "any namespace".to_owned(),
        HypothesisNamespaces::Selected(selector) => format!("namespaces with {selector}"),
    };
    match &hypothesis.pods {
        None => format!("any pod in {namespaces}"),
        Some(selector) => format!("pods with {selector} in {namespaces}"),
    }
}

/// Whether some pod of the input is what a hypothesis describes.
fn exists(world: &World, hypothesis: &Hypothesis) -> bool {
    let real =
        world.workloads.iter().filter(|workload| workload.hypothesis.is_none() && !workload.host_network);
    let mut of_pods = real.filter(|workload| {
        hypothesis.pods.as_ref().is_none_or(|selector| selector.matches(&workload.labels))
    });
    match &hypothesis.namespaces {
        HypothesisNamespaces::Any => of_pods.next().is_some(),
        HypothesisNamespaces::Named(name) => of_pods.any(|workload| workload.namespace == *name),
        HypothesisNamespaces::Selected(selector) => {
            let selected: Vec<&str> = world
                .known_namespaces()
                .filter(|(_, labels)| selector.matches(labels))
                .map(|(name, _)| name)
                .collect();
            of_pods.any(|workload| selected.contains(&workload.namespace.as_str()))
        }
    }
}

fn metadata(joint: &Joint, cell: &dyn Fn(EndId) -> CellId) -> PortSet {
    let address = METADATA.parse().expect("an address written here");
    let holds = |end: &End| matches!(end, End::Outside(set) if set.contains(address));
    match joint.ends.iter().position(holds) {
        Some(at) => joint.family_ports(cell(EndId(at as u32)), Family::V4).clone(),
        None => PortSet::none(),
    }
}

#[cfg(test)]
mod tests;
