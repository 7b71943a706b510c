//! What a probe tries: every source, every target, every family.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podgate_api::Protocol;

use super::Wire;
use super::report::{Place, PlaceKind, Target, TargetKind};
use crate::error::{Error, Result};
use crate::plan::{Plan, PodPlan};

/// Which connections to try.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Address families.
    pub families: Families,
    /// Sources by name, see [`Selection::names`]; empty: all.
    pub from: Vec<String>,
    /// Targets by name; empty: all.
    pub to: Vec<String>,
    /// A port that pods don't declare, tried on each: shows what a range of ports or a rule without ports
    /// lets through. `None`: one that is chosen.
    pub undeclared: Option<u16>,
}

/// Address families to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// IPv4 and IPv6.
    #[default]
    Both,
}

impl Families {
    /// Whether the address is of a selected family.
    pub fn has(self, ip: IpAddr) -> bool {
        match self {
            Families::V4 => ip.is_ipv4(),
            Families::V6 => ip.is_ipv6(),
            Families::Both => true,
        }
    }
}

/// A connection to try: from an address of the lab to a port of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// A pod's, a node's or an outside address.
    pub from: IpAddr,
    /// The same.
    pub to: IpAddr,
    /// How.
    pub wire: Wire,
    /// The port; 0 for ICMP.
    pub port: u16,
}

/// The port that is tried on every pod that doesn't use it.
const UNDECLARED: u16 = 4242;

#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) sources: Vec<Source>,
    pub(super) targets: Vec<Aim>,
    pub(super) trials: Vec<Trial>,
    pub(super) notes: Vec<String>,
}

/// A place with what is needed to connect from there.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) netns: String,
    pub(super) ips: Vec<IpAddr>,
    /// The namespace has several addresses: sockets must be bound to the one that is meant.
    pub(super) bind: bool,
}

/// A target with its addresses and the way that connections to it take.
#[derive(Debug)]
pub(super) struct Aim {
    pub(super) target: Target,
    pub(super) ips: Vec<IpAddr>,
    pub(super) route: Route,
}

/// What happens to a connection on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Nothing.
    Direct,
    /// It is translated to a backend of `plan.services[service].ports[port]`.
    ClusterIp { service: usize, port: usize },
    /// The same, on `plan.nodes[node]`.
    NodePort { service: usize, port: usize, node: usize },
}

#[derive(Debug)]
pub(super) struct Trial {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) source_ip: IpAddr,
    pub(super) target_ip: IpAddr,
}

impl Matrix {
    pub(super) fn new(plan: &Plan, selection: &Selection) -> Result<Matrix> {
        let mut notes = Vec::new();
        let mut sources = sources(plan);
        let mut targets = targets(plan, selection.undeclared.unwrap_or(UNDECLARED), &mut notes);
        for name in &selection.from {
            if !sources.iter().any(|s| Selection::names(name, &s.place.name, &s.place.group)) {
                return Err(Error::message(format!(
                    "no source is called {name:?}: use a pod, a workload, `namespace/`, a node or `outside`"
                )));
            }
        }
        for name in &selection.to {
            if !targets.iter().any(|t| Selection::names(name, &t.target.name, &t.target.group)) {
                return Err(Error::message(format!(
                    "no destination is called {name:?}: use a pod, a workload, a Service, `namespace/`, a node or `outside`"
                )));
            }
        }
        let wanted = |names: &[String], name: &str, group: &str| {
            names.is_empty() || names.iter().any(|n| Selection::names(n, name, group))
        };
        sources.retain(|s| wanted(&selection.from, &s.place.name, &s.place.group));
        targets.retain(|t| wanted(&selection.to, &t.target.name, &t.target.group));
        let mut trials = Vec::new();
        for (from, source) in sources.iter().enumerate() {
            for (to, aim) in targets.iter().enumerate() {
                if !makes_sense(source, aim) {
                    continue;
                }
                for (source_ip, target_ip) in pairs(&source.ips, &aim.ips) {
                    if selection.families.has(target_ip) {
                        trials.push(Trial { from, to, source_ip, target_ip });
                    }
                }
            }
        }
        if trials.is_empty() {
            return Err(Error::message(
                "nothing to probe: the lab has no pods, or the selection leaves none",
            ));
        }
        Ok(Matrix { sources, targets, trials, notes })
    }
}

impl Matrix {
    /// Just these connections, in their order.
    pub(super) fn of(plan: &Plan, wanted: &[Wanted]) -> Result<Matrix> {
        let sources = sources(plan);
        let mut targets: Vec<Aim> = Vec::new();
        let mut places: BTreeMap<(IpAddr, Wire, u16), usize> = BTreeMap::new();
        let mut trials = Vec::with_capacity(wanted.len());
        let unknown = |ip: IpAddr| Error::message(format!("{ip} is no address of lab {}", plan.lab));
        for Wanted { from, to, wire, port } in wanted.iter().copied() {
            let source = sources.iter().position(|source| source.ips.contains(&from));
            let source = source.ok_or_else(|| unknown(from))?;
            let at = match places.get(&(to, wire, port)) {
                Some(at) => *at,
                None => {
                    targets.push(aim(plan, to, wire, port).ok_or_else(|| unknown(to))?);
                    places.insert((to, wire, port), targets.len() - 1);
                    targets.len() - 1
                }
            };
            trials.push(Trial { from: source, to: at, source_ip: from, target_ip: to });
        }
        Ok(Matrix { sources, targets, trials, notes: Vec::new() })
    }
}

/// A target by its address.
fn aim(plan: &Plan, ip: IpAddr, wire: Wire, port: u16) -> Option<Aim> {
    let listens = |listen: &[(Protocol, u16)]| {
        wire == Wire::Echo
            || listen.iter().any(|(protocol, open)| wire_of(*protocol) == wire && *open == port)
    };
    let (name, group, kind, declared) =
        if let Some(pod) = plan.pods.iter().find(|pod| !pod.host_network && pod.ips.contains(&ip)) {
            (pod.key(), group_of(pod), TargetKind::Pod, listens(&pod.listen))
        } else if let Some(at) = plan.nodes.iter().position(|node| node.addresses.contains(&ip)) {
            let mut hosted = plan.pods.iter().filter(|pod| pod.host_network && pod.node == at);
            let name = plan.nodes[at].name.clone();
            (name.clone(), name, TargetKind::Node, hosted.any(|pod| listens(&pod.listen)))
        } else if plan.outside.addresses.contains(&ip) {
            (outside_name(ip), "outside".to_owned(), TargetKind::Outside, listens(&plan.outside.listen))
        } else {
            return None;
        };
    let target = Target { name, group, kind, wire, port, declared };
    Some(Aim { target, ips: vec![ip], route: Route::Direct })
}

impl Selection {
    /// Whether a name as a person writes it means this place or target: its full name, its workload with or
    /// without namespace, `namespace/` for all of a namespace, or `outside` for all outside addresses.
    pub fn names(wanted: &str, name: &str, group: &str) -> bool {
        let bare = |full: &str| full.rsplit_once('/').map(|(_, bare)| bare.to_owned());
        wanted == name
            || wanted == group
            || wanted
                .strip_suffix('/')
                .is_some_and(|namespace| name.split_once('/').is_some_and(|(of, _)| of == namespace))
            || bare(name).as_deref() == Some(wanted)
            || bare(group).as_deref() == Some(wanted)
    }
}

/// Whether connections of this kind exist in a cluster.
fn makes_sense(source: &Source, aim: &Aim) -> bool {
    let is_itself = source.place.name == aim.target.name;
    match (source.place.kind, aim.target.kind) {
        (PlaceKind::Pod, TargetKind::NodePort) => false,
        // A pod's own address never leaves the pod.
        (PlaceKind::Pod, TargetKind::Pod) => !is_itself,
        (PlaceKind::Pod, _) => true,
        (PlaceKind::Node, kind) => matches!(kind, TargetKind::Pod | TargetKind::Service),
        (PlaceKind::Outside, kind) => matches!(kind, TargetKind::Pod | TargetKind::NodePort),
    }
}

/// Source and target addresses of the same family: every target address, from the first source address.
fn pairs<'a>(from: &'a [IpAddr], to: &'a [IpAddr]) -> impl Iterator<Item = (IpAddr, IpAddr)> + 'a {
    to.iter().filter_map(|target| {
        let source = from.iter().find(|ip| ip.is_ipv4() == target.is_ipv4())?;
        Some((*source, *target))
    })
}

fn group_of(pod: &PodPlan) -> String {
    match &pod.owner {
        Some((_, owner)) => format!("{}/{owner}", pod.namespace),
        None => pod.key(),
    }
}

fn outside_name(ip: IpAddr) -> String {
    format!("outside/{ip}")
}

fn sources(plan: &Plan) -> Vec<Source> {
    let pods = plan.pods.iter().filter(|pod| !pod.host_network).map(|pod| Source {
        place: Place { name: pod.key(), group: group_of(pod), kind: PlaceKind::Pod },
        netns: pod.netns.clone(),
        ips: pod.ips.clone(),
        bind: false,
    });
    let nodes = plan.nodes.iter().map(|node| Source {
        place: Place { name: node.name.clone(), group: node.name.clone(), kind: PlaceKind::Node },
        netns: node.netns.clone(),
        ips: node.addresses.clone(),
        bind: true,
    });
    let outside = plan.outside.addresses.iter().map(|ip| Source {
        place: Place { name: outside_name(*ip), group: "outside".to_owned(), kind: PlaceKind::Outside },
        netns: plan.outside.netns.clone(),
        ips: vec![*ip],
        bind: true,
    });
    pods.chain(nodes).chain(outside).collect()
}

fn wire_of(protocol: Protocol) -> Wire {
    match protocol {
        Protocol::Tcp => Wire::Tcp,
        Protocol::Udp => Wire::Udp,
        Protocol::Sctp => Wire::Sctp,
    }
}

/// All that can be tried at one address that somebody answers on: the ports it listens on, one that it
/// doesn't, and an echo.
fn ports_of(listen: impl IntoIterator<Item = (Protocol, u16)>, undeclared: u16) -> Vec<(Wire, u16, bool)> {
    let declared: BTreeSet<(Wire, u16)> =
        listen.into_iter().map(|(protocol, port)| (wire_of(protocol), port)).collect();
    // TCP only: a closed UDP port answers by ICMP errors, which every kernel sends at a limited rate.
    let free =
        (undeclared..=u16::MAX).chain(1..undeclared).find(|port| !declared.contains(&(Wire::Tcp, *port)));
    let declared = declared.into_iter().map(|(wire, port)| (wire, port, true));
    declared.chain(free.map(|port| (Wire::Tcp, port, false))).chain([(Wire::Echo, 0, true)]).collect()
}

fn targets(plan: &Plan, undeclared: u16, notes: &mut Vec<String>) -> Vec<Aim> {
    let mut aims = Vec::new();
    for pod in plan.pods.iter().filter(|pod| !pod.host_network) {
        for (wire, port, declared) in ports_of(pod.listen.iter().copied(), undeclared) {
            let (name, group) = (pod.key(), group_of(pod));
            let target = Target { name, group, kind: TargetKind::Pod, wire, port, declared };
            aims.push(Aim { target, ips: pod.ips.clone(), route: Route::Direct });
        }
    }
    for (service, plan_service) in plan.services.iter().enumerate() {
        let name = format!("{}/{}", plan_service.namespace, plan_service.name);
        if plan_service.headless {
            continue;
        }
        for (port, plan_port) in plan_service.ports.iter().enumerate() {
            if plan_port.backends.is_empty() {
                notes.push(format!(
                    "Service {name} port {} {}: no pod answers on it, so it is not tried",
                    plan_port.protocol, plan_port.port
                ));
                continue;
            }
            let target = |kind, target: &str, port| Target {
                name: target.to_owned(),
                group: name.clone(),
                kind,
                wire: wire_of(plan_port.protocol),
                port,
                declared: true,
            };
            aims.push(Aim {
                target: target(TargetKind::Service, &name, plan_port.port),
                ips: plan_service.cluster_ips.clone(),
                route: Route::ClusterIp { service, port },
            });
            let Some(node_port) = plan_port.node_port else { continue };
            for (node, plan_node) in plan.nodes.iter().enumerate() {
                let on_node = |(index, _): &(u32, u16)| plan.pod(*index).is_some_and(|pod| pod.node == node);
                if plan_service.external_local && !plan_port.backends.iter().any(on_node) {
                    continue;
                }
                aims.push(Aim {
                    target: target(TargetKind::NodePort, &format!("{name}@{}", plan_node.name), node_port),
                    ips: plan_node.addresses.clone(),
                    route: Route::NodePort { service, port, node },
                });
            }
        }
    }
    for (at, node) in plan.nodes.iter().enumerate() {
        let hosted = plan.pods.iter().filter(|pod| pod.host_network && pod.node == at);
        for (wire, port, declared) in ports_of(hosted.flat_map(|pod| pod.listen.clone()), undeclared) {
            let (name, group) = (node.name.clone(), node.name.clone());
            let target = Target { name, group, kind: TargetKind::Node, wire, port, declared };
            aims.push(Aim { target, ips: node.addresses.clone(), route: Route::Direct });
        }
    }
    for ip in &plan.outside.addresses {
        for (wire, port, declared) in ports_of(plan.outside.listen.iter().copied(), undeclared) {
            let (name, group) = (outside_name(*ip), "outside".to_owned());
            let target = Target { name, group, kind: TargetKind::Outside, wire, port, declared };
            aims.push(Aim { target, ips: vec![*ip], route: Route::Direct });
        }
    }
    aims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_pods_workloads_namespaces_nodes_and_the_outside() {
        for (wanted, name, group, means) in [
            ("shop/web-0", "shop/web-0", "shop/web", true),
            ("web-0", "shop/web-0", "shop/web", true),
            ("shop/web", "shop/web-0", "shop/web", true),
            ("web", "shop/web-0", "shop/web", true),
            ("shop/", "shop/web-0", "shop/web", true),
            ("sho/", "shop/web-0", "shop/web", false),
            ("we", "shop/web-0", "shop/web", false),
            ("shop", "shop/web-0", "shop/web", false),
            ("node-1", "node-1", "node-1", true),
            ("outside", "outside/192.0.2.1", "outside", true),
            ("192.0.2.1", "outside/192.0.2.1", "outside", true),
            ("outside", "shop/web-0", "shop/web", false),
        ] {
            assert_eq!(Selection::names(wanted, name, group), means, "{wanted} and {name} of {group}");
        }
    }

    #[test]
    fn an_address_is_tried_on_what_listens_what_does_not_and_by_echo() {
        let listen = [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Tcp, 80)];
        assert_eq!(
            ports_of(listen, 4242),
            [(Wire::Tcp, 80, true), (Wire::Udp, 53, true), (Wire::Tcp, 4242, false), (Wire::Echo, 0, true)]
        );
        assert_eq!(
            ports_of([(Protocol::Tcp, 65535)], 65535),
            [(Wire::Tcp, 65535, true), (Wire::Tcp, 1, false), (Wire::Echo, 0, true)],
            "the undeclared port wraps around"
        );
    }

    #[test]
    fn families_are_paired() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (from, to) = ([ip("10.0.0.1"), ip("fd00::1")], [ip("fd00::2"), ip("10.0.0.2")]);
        let paired: Vec<_> = pairs(&from, &to).collect();
        assert_eq!(paired, [(from[1], to[0]), (from[0], to[1])]);
        assert_eq!(pairs(&from[..1], &to[..1]).count(), 0);
    }
}
