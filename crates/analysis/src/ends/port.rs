//! The port of a question: as written, and as each destination has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use podgate_api::{Protocol, Service, ServicePort, TargetPort};

use super::near::nearest;
use super::resolve::listed;
use super::{EndError, Resolved};
use crate::ports::PortSet;
use crate::world::{PodId, World};

/// A port as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSpec {
    /// `80`, `TCP/80`, `TCP/8000-8100`, or `UDP` for every port of it.
    Range {
        /// The protocol.
        protocol: Protocol,
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// `http` or `TCP/http`: the destination's port of this name.
    Name {
        /// The protocol, when written; otherwise any.
        protocol: Option<Protocol>,
        /// The name.
        name: String,
    },
    /// `ICMP`: echo requests, of the address family in question.
    Icmp,
}

const FORMS: &str =
    "write 80, TCP/80, UDP/53, TCP/8000-8100, TCP for all of its ports, a port's name such as http, or ICMP";

impl PortSpec {
    /// Reads a port.
    ///
    /// # Errors
    /// When the text has none of the forms of a port, or the port can't exist.
    pub fn parse(text: &str) -> Result<PortSpec, EndError> {
        let text = text.trim();
        let wrong = |why: &str| EndError::new(format!("{text} is no port: {why}"), FORMS);
        if text.is_empty() {
            return Err(EndError::new("a port is empty", FORMS));
        }
        if text.eq_ignore_ascii_case("icmp") || text.eq_ignore_ascii_case("icmpv6") {
            return Ok(PortSpec::Icmp);
        }
        if let Some(protocol) = protocol(text) {
            return Ok(PortSpec::Range { protocol, first: 1, last: u16::MAX });
        }
        // `80/TCP` is how container ports are written elsewhere; it can mean nothing else.
        let (protocol, port) = match text.split_once('/') {
            None => (None, text),
            Some((first, rest)) => match (protocol(first), protocol(rest)) {
                (Some(protocol), _) => (Some(protocol), rest),
                (None, Some(protocol)) => (Some(protocol), first),
                (None, None) => return Err(wrong("the protocols that have ports are TCP, UDP and SCTP")),
            },
        };
        if port.starts_with(|c: char| c.is_ascii_digit())
            && port.chars().all(|c| c.is_ascii_digit() || c == '-')
        {
            let (first, last) = port.split_once('-').unwrap_or((port, port));
            let number = |text: &str| match text.parse::<u32>() {
                Ok(0) => Err(wrong("ports start at 1")),
                Ok(number) => u16::try_from(number).map_err(|_| wrong("the last port is 65535")),
                Err(_) => Err(wrong("a range is written first-last")),
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                let message = format!("{text} is no port: the range ends before it starts");
                return Err(EndError::new(message, format!("write {last}-{first}")));
            }
            return Ok(PortSpec::Range { protocol: protocol.unwrap_or(Protocol::Tcp), first, last });
        }
        match is_port_name(port) {
            true => Ok(PortSpec::Name { protocol, name: port.to_owned() }),
            false => Err(wrong("a name has up to 15 of a-z, 0-9 and `-`, a letter among them")),
        }
    }
}

fn protocol(text: &str) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|protocol| protocol.as_str().eq_ignore_ascii_case(text))
}

/// IANA service names, as the API server checks them.
fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && text.contains(|c: char| c.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortSpec::Range { protocol, first: 1, last: u16::MAX } => write!(f, "{protocol}"),
            PortSpec::Range { protocol, first, last } if first == last => write!(f, "{protocol}/{first}"),
            PortSpec::Range { protocol, first, last } => write!(f, "{protocol}/{first}-{last}"),
            PortSpec::Name { protocol: Some(protocol), name } => write!(f, "{protocol}/{name}"),
            PortSpec::Name { protocol: None, name } => f.write_str(name),
            PortSpec::Icmp => f.write_str("ICMP"),
        }
    }
}

/// The ports in question at each part of a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// For each pod of the destination, sorted.
    pub pods: Vec<(PodId, PortSet)>,
    /// At addresses outside.
    pub outside: PortSet,
    /// How a Service's ports lead to pods.
    pub translations: Vec<Translation>,
    /// What a reader should know about them.
    pub notes: Vec<String>,
}

/// Where a port of a Service leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The protocol.
    pub protocol: Protocol,
    /// The Service's port.
    pub port: u16,
    /// Its name; empty when it has none.
    pub name: String,
    /// The pods' ports, sorted; more than one where they give a name different numbers.
    pub targets: Vec<u16>,
}

impl Ports {
    /// The ports at one pod.
    pub fn at(&self, pod: PodId) -> PortSet {
        let found = self.pods.binary_search_by_key(&pod, |(known, _)| *known);
        found.map_or_else(|_| PortSet::none(), |at| self.pods[at].1.clone())
    }

    /// Adds the ports of another end, or of another port.
    pub fn add(&mut self, other: &Ports) {
        let mut all: BTreeMap<PodId, PortSet> = self.pods.drain(..).collect();
        for (pod, set) in &other.pods {
            let known = all.entry(*pod).or_default();
            *known = known.union(set);
        }
        self.pods = all.into_iter().collect();
        self.outside = self.outside.union(&other.outside);
        self.translations.extend(
            other.translations.iter().filter(|t| !self.translations.contains(t)).cloned().collect::<Vec<_>>(),
        );
        self.notes.extend(
            other.notes.iter().filter(|note| !self.notes.contains(note)).cloned().collect::<Vec<_>>(),
        );
    }
}

impl World {
    /// The ports in question at a destination; without `spec` every port, or every port of the Service.
    ///
    /// # Errors
    /// When the Service has no such port, or no pod of the destination has a port of that name.
    pub fn resolve_ports(&self, to: &Resolved, spec: Option<&PortSpec>) -> Result<Ports, EndError> {
        if let Some(at) = to.service
            && !self.services[at].ports.is_empty()
        {
            return self.service_ports(to, &self.services[at], spec);
        }
        let everywhere = |set: PortSet| Ports {
            pods: to.pods.iter().map(|pod| (*pod, set.clone())).collect(),
            outside: set.clone(),
            ..Ports::default()
        };
        match spec {
            None => Ok(everywhere(PortSet::all())),
            Some(PortSpec::Range { protocol, first: 1, last: u16::MAX }) => {
                Ok(everywhere(PortSet::protocol(*protocol)))
            }
            Some(PortSpec::Range { protocol, first, last }) => {
                Ok(everywhere(PortSet::range(protocol.number(), *first, *last)))
            }
            Some(PortSpec::Icmp) => Ok(everywhere(echo_requests())),
            Some(PortSpec::Name { protocol, name }) => self.named_ports(to, *protocol, name),
        }
    }

    fn named_ports(&self, to: &Resolved, protocol: Option<Protocol>, name: &str) -> Result<Ports, EndError> {
        if to.pods.is_empty() {
            return Err(EndError::new(
                format!("{} has no port called {name}: names are the pods' own", to.title),
                "write the port's number",
            ));
        }
        let mut ports = Ports::default();
        let mut missing: Vec<String> = Vec::new();
        for pod in &to.pods {
            let set = self
                .numbers(*pod, protocol, name)
                .into_iter()
                .fold(PortSet::none(), |set, (protocol, port)| set.union(&PortSet::port(protocol, port)));
            if set.is_empty() {
                missing.push(self.pod_name(*pod));
            }
            ports.pods.push((*pod, set));
        }
        if missing.len() == to.pods.len() {
            return Err(self.no_such_name(to, protocol, name));
        }
        if !missing.is_empty() {
            let names: Vec<&str> = missing.iter().map(String::as_str).collect();
            ports.notes.push(format!("no port called {name} at {}: left out", listed(&names)));
        }
        Ok(ports)
    }

    /// What a pod calls by a name.
    fn numbers(&self, pod: PodId, protocol: Option<Protocol>, name: &str) -> Vec<(Protocol, u16)> {
        let declared = self.pod_object(pod).ports.iter();
        let same = declared.filter(|port| port.name == name && protocol.is_none_or(|p| p == port.protocol));
        same.map(|port| (port.protocol, port.port)).collect()
    }

    fn no_such_name(&self, to: &Resolved, protocol: Option<Protocol>, name: &str) -> EndError {
        let declared: BTreeSet<(String, u16, Protocol)> = to
            .pods
            .iter()
            .flat_map(|pod| &self.pod_object(*pod).ports)
            .map(|port| (port.name.clone(), port.port, port.protocol))
            .collect();
        let of_protocol = protocol.map(|protocol| format!("{protocol} ")).unwrap_or_default();
        let message = format!("no pod of {} has a {of_protocol}port called {name}", to.title);
        if let Some(near) = nearest(name, declared.iter().map(|(name, ..)| name.as_str())).first()
            && *near != name
        {
            return EndError::new(message, format!("did you mean {near}?"));
        }
        let ports: Vec<String> = declared
            .iter()
            .map(|(name, port, protocol)| match name.is_empty() {
                true => format!("{protocol}/{port}"),
                false => format!("{name} ({protocol}/{port})"),
            })
            .collect();
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        EndError::new(
            message,
            match ports.is_empty() {
                true => "they declare no ports: write a number".to_owned(),
                false => format!("declared are {}", listed(&ports)),
            },
        )
    }

    fn service_ports(
        &self,
        to: &Resolved,
        service: &Service,
        spec: Option<&PortSpec>,
    ) -> Result<Ports, EndError> {
        let title = format!("{}/svc/{}", service.meta.namespace, service.meta.name);
        let chosen: Vec<&ServicePort> = match spec {
            None => service.ports.iter().collect(),
            Some(PortSpec::Icmp) => {
                return Err(EndError::new(
                    format!("{title} answers no ICMP: a Service is TCP, UDP and SCTP ports"),
                    "ask about its pods, by their workload",
                ));
            }
            Some(PortSpec::Range { protocol, first, last }) if service.headless => {
                // DNS answers with the pods' addresses: nothing translates ports.
                let set = PortSet::range(protocol.number(), *first, *last);
                return Ok(Ports {
                    pods: to.pods.iter().map(|pod| (*pod, set.clone())).collect(),
                    notes: vec![format!(
                        "{title} is headless: clients reach the pods' own ports, nothing is translated"
                    )],
                    ..Ports::default()
                });
            }
            Some(PortSpec::Range { protocol, first, last }) => {
                let inside =
                    |port: &&ServicePort| port.protocol == *protocol && (*first..=*last).contains(&port.port);
                service.ports.iter().filter(inside).collect()
            }
            Some(PortSpec::Name { protocol, name }) => {
                let same =
                    |port: &&ServicePort| port.name == *name && protocol.is_none_or(|p| p == port.protocol);
                service.ports.iter().filter(same).collect()
            }
        };
        if chosen.is_empty() {
            return Err(self.no_service_port(to, service, &title, spec));
        }
        let mut ports =
            Ports { pods: to.pods.iter().map(|pod| (*pod, PortSet::none())).collect(), ..Ports::default() };
        for port in chosen {
            let mut numbers: BTreeSet<u16> = BTreeSet::new();
            for (pod, set) in &mut ports.pods {
                for target in self.targets(*pod, port) {
                    *set = set.union(&PortSet::port(port.protocol, target));
                    numbers.insert(target);
                }
            }
            if numbers.is_empty() {
                ports.notes.push(format!(
                    "port {} of {title} leads nowhere: no pod of it has a {} port called {}",
                    port.port,
                    port.protocol,
                    target_text(&port.target)
                ));
            }
            ports.translations.push(Translation {
                protocol: port.protocol,
                port: port.port,
                name: port.name.clone(),
                targets: numbers.into_iter().collect(),
            });
        }
        if ports.pods.iter().all(|(_, set)| set.is_empty()) {
            let message = ports.notes.pop().unwrap_or_default();
            return Err(EndError::new(
                message,
                "give the container port that name, or write its number as targetPort",
            ));
        }
        Ok(ports)
    }

    /// The ports of a pod to which a Service's port leads.
    pub fn targets(&self, pod: PodId, port: &ServicePort) -> Vec<u16> {
        match &port.target {
            TargetPort::Number(number) => vec![*number],
            TargetPort::Name(name) => {
                // The endpoints controller takes the first container port of the name.
                self.numbers(pod, Some(port.protocol), name)
                    .into_iter()
                    .take(1)
                    .map(|(_, port)| port)
                    .collect()
            }
        }
    }

    fn no_service_port(
        &self,
        to: &Resolved,
        service: &Service,
        title: &str,
        spec: Option<&PortSpec>,
    ) -> EndError {
        let asked = spec.map(PortSpec::to_string).unwrap_or_default();
        let leads = |port: &ServicePort| {
            let name = if port.name.is_empty() { String::new() } else { format!("{} ", port.name) };
            format!("{name}{}/{} (targetPort {})", port.protocol, port.port, target_text(&port.target))
        };
        let all: Vec<String> = service.ports.iter().map(leads).collect();
        let message = format!("{title} has no port {asked}: its ports are {}", all.join(", "));
        let pods_port = service.ports.iter().find(|port| {
            to.pods.iter().any(|pod| match spec {
                Some(PortSpec::Range { protocol, first, last }) => {
                    *protocol == port.protocol
                        && self.targets(*pod, port).iter().any(|target| (*first..=*last).contains(target))
                }
                Some(PortSpec::Name { name, .. }) => {
                    let targets = self.targets(*pod, port);
                    self.numbers(*pod, Some(port.protocol), name)
                        .iter()
                        .any(|(_, number)| targets.contains(number))
                }
                _ => false,
            })
        });
        let help = match pods_port {
            Some(port) => format!(
                "{asked} is the pods' port behind it: write {} to go through the Service, or name the pods to ask for {asked}",
                port.port
            ),
            None => String::new(),
        };
        EndError::new(message, help)
    }
}

/// Echo requests of ICMP and ICMPv6.
fn echo_requests() -> PortSet {
    PortSet::range(1, 8, 8).union(&PortSet::range(58, 128, 128))
}

fn target_text(target: &TargetPort) -> String {
    match target {
        TargetPort::Number(number) => number.to_string(),
        TargetPort::Name(name) => name.clone(),
    }
}
