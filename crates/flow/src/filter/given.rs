//! From filters by name to questions.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_policy::Direction;

use super::flags::Flag;
use super::{Denial, EndTerms, Family, Filter, NamePrefix, Terms};
use crate::{FlowVerdict, Protocol, TcpFlags};

/// A filter by name, with its value.
#[derive(Clone, Debug)]
pub struct Given {
    /// Which filter.
    pub flag: &'static Flag,
    /// Its value; of one without, anything.
    pub value: String,
    /// It must not fit.
    pub not: bool,
}

/// Why a filter can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableFilter {
    /// Its name.
    pub name: &'static str,
    /// The name with `not-` in front when it was turned round, else the same.
    pub written: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong, and what to write.
    pub why: String,
}

impl fmt::Display for UnusableFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}: {}", self.written, self.value, self.why)
    }
}

impl std::error::Error for UnusableFilter {}

impl Filter {
    /// What fits each of the filters; of one that is given several times, any of its values. Namespaces narrow the pods
    /// and Services that are given without one.
    ///
    /// # Errors
    /// When a value means nothing, or nothing could ever fit.
    pub fn of(given: &[Given]) -> Result<Filter, UnusableFilter> {
        Ok(Filter { any_of: terms(given, false)?, none_of: terms(given, true)?, ..Filter::default() })
    }
}

fn terms(given: &[Given], not: bool) -> Result<Vec<Terms>, UnusableFilter> {
    let mut pair = Pair::default();
    for given in given.iter().filter(|given| given.not == not) {
        pair.add(given.flag.name, &given.value).map_err(|why| given.wrong(why))?;
    }
    if !pair.narrow_verdicts() {
        let types = given.iter().find(|given| given.not == not && given.flag.name == "type");
        let why = "no flow of this type has the verdict that is asked for; leave one of the two out";
        return Err(types.expect("types narrow verdicts").wrong(why.to_owned()));
    }
    pair.narrow_names();
    let Pair { left, right, .. } = pair;
    Ok(match (left == Terms::default(), left == right) {
        (true, true) => Vec::new(),
        (false, true) => vec![left],
        (_, false) => vec![left, right],
    })
}

impl Given {
    fn wrong(&self, why: String) -> UnusableFilter {
        let written = if self.not { self.flag.not } else { self.flag.name };
        UnusableFilter { name: self.flag.name, written, value: self.value.clone(), why }
    }
}

/// Whether one end is asked, and which; `None`: either.
type Asked = Option<bool>;
const SOURCE: Asked = Some(true);
const DESTINATION: Asked = Some(false);

/// What asks the source, and what asks the destination, where a filter asks either.
#[derive(Default)]
struct Pair {
    left: Terms,
    right: Terms,
    namespaces: Vec<(Asked, String)>,
    /// Those that the types of events stand for; `None`: no type is given.
    of_types: Option<Vec<FlowVerdict>>,
}

impl Pair {
    fn add(&mut self, flag: &str, text: &str) -> Result<(), String> {
        let (asked, name) = match flag.split_once('-') {
            Some(("from", name)) => (SOURCE, name),
            Some(("to", name)) => (DESTINATION, name),
            _ => (None, flag),
        };
        match name {
            "namespace" if text.is_empty() => return Err("write a namespace's name".to_owned()),
            "namespace" => self.namespaces.push((asked, text.to_owned())),
            "pod" => self.ends(asked, name_prefix(text)?, |end| &mut end.pods),
            "service" => self.ends(asked, name_prefix(text)?, |end| &mut end.services),
            "workload" => self.ends(asked, text.parse()?, |end| &mut end.workloads),
            "label" => self.ends(asked, text.parse()?, |end| &mut end.labels),
            "fqdn" => self.ends(asked, text.parse()?, |end| &mut end.fqdns),
            "ip" => self.ends(asked, block(text)?, |end| &mut end.ips),
            "port" => self.ends(asked, port(text)?, |end| &mut end.ports),
            "identity" => self.ends(asked, identity(text)?, |end| &mut end.identities),
            "snat-ip" => self.both(|terms| &mut terms.translated, &[block(text)?]),
            "verdict" => self.both(|terms| &mut terms.verdicts, &[verdict(text)?]),
            "drop-reason-desc" => self.both(|terms| &mut terms.denials, &[denial(text)?]),
            "policy" => self.both(|terms| &mut terms.policies, &[text.parse()?]),
            "rule" => self.both(|terms| &mut terms.rules, &[text.parse()?]),
            "protocol" => self.both(|terms| &mut terms.protocols, &protocols(text)?),
            "tcp-flags" => self.both(|terms| &mut terms.tcp_flags, &[tcp_flags(text)?]),
            "traffic-direction" => self.both(|terms| &mut terms.directions, &[direction(text)?]),
            "ipv4" => self.both(|terms| &mut terms.families, &[Family::V4]),
            "ipv6" => self.both(|terms| &mut terms.families, &[Family::V6]),
            "ip-version" => self.both(|terms| &mut terms.families, &[family(text)?]),
            "node-name" => self.both(|terms| &mut terms.nodes, &[text.parse()?]),
            "uuid" => self.both(|terms| &mut terms.ids, &[text.parse()?]),
            "type" => self.of_types.get_or_insert_default().extend_from_slice(verdicts_of_type(text)?),
            "staged" => self.each(|terms| terms.staged = true),
            "cut" => self.each(|terms| terms.cut = true),
            _ => unreachable!("every flag is read: {name}"),
        }
        Ok(())
    }

    fn each(&mut self, change: impl Fn(&mut Terms)) {
        change(&mut self.left);
        change(&mut self.right);
    }

    fn both<T: Clone>(&mut self, list: impl Fn(&mut Terms) -> &mut Vec<T>, values: &[T]) {
        self.each(|terms| list(terms).extend_from_slice(values));
    }

    fn ends<T: Clone>(&mut self, asked: Asked, value: T, list: impl Fn(&mut EndTerms) -> &mut Vec<T>) {
        match asked {
            SOURCE => self.both(|terms| list(&mut terms.source), &[value]),
            DESTINATION => self.both(|terms| list(&mut terms.destination), &[value]),
            None => {
                list(&mut self.left.source).push(value.clone());
                list(&mut self.right.destination).push(value);
            }
        }
    }

    /// Leaves of the verdicts those that the types stand for; whether any is left.
    fn narrow_verdicts(&mut self) -> bool {
        let Some(of_types) = self.of_types.take() else { return true };
        let asked = std::mem::take(&mut self.left.verdicts);
        let verdicts: Vec<FlowVerdict> = match asked.is_empty() {
            true if EVERY_VERDICT.iter().all(|verdict| of_types.contains(verdict)) => return true,
            true => of_types,
            false => asked.into_iter().filter(|verdict| of_types.contains(verdict)).collect(),
        };
        let is_any_left = !verdicts.is_empty();
        self.each(|terms| terms.verdicts.clone_from(&verdicts));
        is_any_left
    }

    /// Puts namespaces before the names of pods and Services that have none; without any, all pods of them are meant.
    fn narrow_names(&mut self) {
        let namespaces = std::mem::take(&mut self.namespaces);
        let of = |wanted: Asked| -> Vec<&str> {
            namespaces.iter().filter(|(asked, _)| *asked == wanted).map(|(_, name)| name.as_str()).collect()
        };
        for terms in [&mut self.left, &mut self.right] {
            narrow_end(&mut terms.source, &of(SOURCE));
            narrow_end(&mut terms.destination, &of(DESTINATION));
        }
        narrow_end(&mut self.left.source, &of(None));
        narrow_end(&mut self.right.destination, &of(None));
    }
}

fn narrow_end(end: &mut EndTerms, namespaces: &[&str]) {
    if namespaces.is_empty() {
        return;
    }
    if end.pods.is_empty() && end.services.is_empty() {
        end.pods.push(NamePrefix { namespace: None, prefix: String::new() });
    }
    for list in [&mut end.pods, &mut end.services] {
        let narrowed = list.iter().flat_map(|name| match &name.namespace {
            Some(_) => vec![name.clone()],
            None => {
                let within = |namespace: &&str| NamePrefix {
                    namespace: Some((*namespace).to_owned()),
                    prefix: name.prefix.clone(),
                };
                namespaces.iter().map(within).collect()
            }
        });
        *list = narrowed.collect();
    }
}

const EVERY_VERDICT: [FlowVerdict; 3] = [FlowVerdict::Allowed, FlowVerdict::Denied, FlowVerdict::Unknown];

/// What Cilium reports as events of several types is one flow here: who asks for drops gets what was denied, and who
/// asks for traces what was not.
fn verdicts_of_type(text: &str) -> Result<&'static [FlowVerdict], String> {
    match text.split(':').next().unwrap_or_default() {
        "policy-verdict" => Ok(&EVERY_VERDICT),
        "drop" => Ok(&[FlowVerdict::Denied]),
        "trace" => Ok(&[FlowVerdict::Allowed, FlowVerdict::Unknown]),
        _ => Err("podgate has no flows of such a type; write policy-verdict, drop or trace".to_owned()),
    }
}

fn name_prefix(text: &str) -> Result<NamePrefix, String> {
    if text.is_empty() {
        return Err("write the beginning of a name".to_owned());
    }
    text.parse()
}

fn block(text: &str) -> Result<IpNet, String> {
    let read = match text.contains('/') {
        true => text.parse().ok(),
        false => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    read.ok_or_else(|| "write an address, or a block such as 10.0.0.0/8".to_owned())
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "write a number from 0 to 65535".to_owned())
}

fn identity(text: &str) -> Result<u32, String> {
    match text {
        "host" | "reserved:host" => Ok(super::identity::HOST),
        "world" | "reserved:world" => Ok(super::identity::WORLD),
        number => number.parse().map_err(|_| "write a number, host or world".to_owned()),
    }
}

fn verdict(text: &str) -> Result<FlowVerdict, String> {
    match text.to_ascii_uppercase().as_str() {
        "ALLOWED" | "FORWARDED" => Ok(FlowVerdict::Allowed),
        "DENIED" | "DROPPED" => Ok(FlowVerdict::Denied),
        "UNKNOWN" => Ok(FlowVerdict::Unknown),
        _ => Err("write ALLOWED (or FORWARDED), DENIED (or DROPPED), or UNKNOWN".to_owned()),
    }
}

fn denial(text: &str) -> Result<Denial, String> {
    let text = text.to_ascii_uppercase();
    Denial::ALL.into_iter().find(|denial| denial.name() == text).ok_or_else(|| {
        let names = Denial::ALL.map(Denial::name);
        format!("podgate drops nothing for this; write {}", names.join(", "))
    })
}

/// `icmp` is that of both versions of IP.
fn protocols(text: &str) -> Result<Vec<Protocol>, String> {
    match text.to_ascii_lowercase().as_str() {
        "icmp" => Ok(vec![Protocol::ICMP, Protocol::ICMPV6]),
        "icmpv4" => Ok(vec![Protocol::ICMP]),
        other => other.parse().map(|protocol| vec![protocol]),
    }
}

fn tcp_flags(text: &str) -> Result<TcpFlags, String> {
    match text.parse::<TcpFlags>()? {
        flags if flags.is_empty() => Err("write flags, such as SYN,ACK".to_owned()),
        flags => Ok(flags),
    }
}

fn direction(text: &str) -> Result<Direction, String> {
    match text.to_ascii_lowercase().as_str() {
        "ingress" => Ok(Direction::Ingress),
        "egress" => Ok(Direction::Egress),
        _ => Err("write ingress or egress".to_owned()),
    }
}

fn family(text: &str) -> Result<Family, String> {
    match text.to_ascii_lowercase().trim_start_matches("ip").trim_start_matches('v') {
        "4" => Ok(Family::V4),
        "6" => Ok(Family::V6),
        _ => Err("write v4 or v6".to_owned()),
    }
}

#[cfg(test)]
mod tests;
