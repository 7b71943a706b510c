//! The address book: from addresses and decider ids to the names that people use.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use podgate_policy::{Decider, DeciderId};
use rustc_hash::FxHashMap;

use crate::record::{Endpoint, Party, Reason, ServiceName};
use crate::{Basis, Protocol, Timestamp};

/// How long a decider keeps the name that it was told with. Its policy may have moved in its file since.
pub const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Names for addresses, Service ports and deciders.
#[derive(Debug, Default)]
pub struct Names {
    parties: FxHashMap<IpAddr, Arc<Party>>,
    services: FxHashMap<(SocketAddr, Protocol), Arc<ServiceName>>,
    dns: FxHashMap<IpAddr, Arc<[Box<str>]>>,
    deciders: FxHashMap<DeciderId, Known>,
}

#[derive(Debug)]
struct Known {
    reason: Arc<Reason>,
    /// When [`Names::age_deciders`] first met it.
    told: Option<Timestamp>,
}

impl Names {
    /// A book with nothing in it.
    pub fn new() -> Self {
        Names::default()
    }

    /// Replaces all addresses and Service ports.
    pub fn set_addresses(
        &mut self,
        parties: impl IntoIterator<Item = (IpAddr, Party)>,
        services: impl IntoIterator<Item = ((SocketAddr, Protocol), ServiceName)>,
    ) {
        self.parties = parties.into_iter().map(|(ip, party)| (ip, Arc::new(party))).collect();
        self.services = services.into_iter().map(|(at, service)| (at, Arc::new(service))).collect();
    }

    /// Says whose address it is from now on; `None`: nobody's that is known.
    pub fn set_party(&mut self, ip: IpAddr, party: Option<Arc<Party>>) {
        match party {
            Some(party) => drop(self.parties.insert(ip, party)),
            None => drop(self.parties.remove(&ip)),
        }
    }

    /// Says which Service has a port from now on.
    pub fn set_service(&mut self, at: SocketAddr, protocol: Protocol, service: Option<Arc<ServiceName>>) {
        match service {
            Some(service) => drop(self.services.insert((at, protocol), service)),
            None => drop(self.services.remove(&(at, protocol))),
        }
    }

    /// Says which names DNS gave to an address; empty: none any more.
    pub fn set_dns(&mut self, ip: IpAddr, names: Arc<[Box<str>]>) {
        match names.is_empty() {
            true => drop(self.dns.remove(&ip)),
            false => drop(self.dns.insert(ip, names)),
        }
    }

    /// Adds deciders, the others stay as they are.
    pub fn add_deciders(&mut self, new: impl IntoIterator<Item = (DeciderId, Decider)>) {
        let known = |decider: &Decider| Known { reason: Arc::new(Reason::of(decider)), told: None };
        self.deciders.extend(new.into_iter().map(|(id, decider)| (id, known(&decider))));
    }

    /// Forgets deciders that were told longer than [`KNOWN_FOR`] ago: who still needs one tells it again.
    pub fn age_deciders(&mut self, now: Timestamp) {
        self.deciders.retain(|_, known| now.since(*known.told.get_or_insert(now)) < KNOWN_FOR);
    }

    /// Whether a decider can be named.
    pub fn knows(&self, id: DeciderId) -> bool {
        self.deciders.contains_key(&id)
    }

    /// Whose address it is.
    pub fn party(&self, ip: IpAddr) -> Arc<Party> {
        static OUTSIDE: LazyLock<Arc<Party>> = LazyLock::new(|| Arc::new(Party::Outside { name: None }));
        self.parties.get(&ip).unwrap_or(&OUTSIDE).clone()
    }

    /// Whether anybody is known to have the address.
    pub fn has_party(&self, ip: IpAddr) -> bool {
        self.parties.contains_key(&ip)
    }

    /// Whether a pod has the address.
    pub fn is_pod(&self, ip: IpAddr) -> bool {
        self.parties.get(&ip).is_some_and(|party| matches!(**party, Party::Pod { .. }))
    }

    /// The address and port with their owner.
    pub fn endpoint(&self, at: SocketAddr) -> Endpoint {
        Endpoint {
            ip: at.ip(),
            port: at.port(),
            party: self.party(at.ip()),
            dns: self.dns.get(&at.ip()).cloned(),
        }
    }

    /// The Service port at an address.
    pub fn service(&self, at: SocketAddr, protocol: Protocol) -> Option<&Arc<ServiceName>> {
        self.services.get(&(at, protocol))
    }

    /// Why the kernel decided as it did.
    pub fn reason(&self, basis: Basis) -> Arc<Reason> {
        let plain = match basis {
            Basis::Decider(DeciderId::NOT_ISOLATED) => &PLAIN.not_isolated,
            Basis::Decider(DeciderId::ICMP_ECHO) => &PLAIN.icmp_echo,
            Basis::Decider(id) => match self.deciders.get(&id) {
                Some(known) => &known.reason,
                None => &PLAIN.forgotten,
            },
            Basis::OwnNode => &PLAIN.own_node,
            Basis::UnknownPod => &PLAIN.unknown_pod,
            Basis::Unreadable => &PLAIN.unreadable,
            Basis::TableFull => &PLAIN.table_full,
            Basis::Incomplete => &PLAIN.incomplete,
        };
        plain.clone()
    }
}

/// Reasons without anything to name, made once: most records have one.
struct Plain {
    not_isolated: Arc<Reason>,
    icmp_echo: Arc<Reason>,
    forgotten: Arc<Reason>,
    own_node: Arc<Reason>,
    unknown_pod: Arc<Reason>,
    unreadable: Arc<Reason>,
    table_full: Arc<Reason>,
    incomplete: Arc<Reason>,
}

static PLAIN: LazyLock<Plain> = LazyLock::new(|| Plain {
    not_isolated: Arc::new(Reason::NotIsolated),
    icmp_echo: Arc::new(Reason::IcmpEcho),
    forgotten: Arc::new(Reason::Forgotten),
    own_node: Arc::new(Reason::OwnNode),
    unknown_pod: Arc::new(Reason::UnknownPod),
    unreadable: Arc::new(Reason::Unreadable),
    table_full: Arc::new(Reason::TableFull),
    incomplete: Arc::new(Reason::Incomplete),
});

#[cfg(test)]
mod tests {
    use super::*;
    use podgate_policy::{Direction, PolicyRef};

    fn isolation(name: &str) -> Decider {
        let policy = PolicyRef { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: name.into() };
        Decider::Isolation { direction: Direction::Ingress, policies: vec![policy] }
    }

    #[test]
    fn deciders_are_named_until_they_are_old() {
        let mut names = Names::new();
        let id = DeciderId(100);
        names.add_deciders([(id, isolation("guard"))]);
        names.age_deciders(Timestamp(5));
        assert_eq!(names.reason(Basis::Decider(id)).to_string(), "isolated by shop/guard");
        names.age_deciders(Timestamp(4).after(KNOWN_FOR));
        assert!(names.knows(id));
        names.age_deciders(Timestamp(5).after(KNOWN_FOR));
        assert!(!names.knows(id));
        assert_eq!(*names.reason(Basis::Decider(id)), Reason::Forgotten);
    }

    #[test]
    fn the_two_fixed_deciders_need_no_book() {
        let names = Names::new();
        assert_eq!(*names.reason(Basis::Decider(DeciderId::NOT_ISOLATED)), Reason::NotIsolated);
        assert_eq!(*names.reason(Basis::Decider(DeciderId::ICMP_ECHO)), Reason::IcmpEcho);
    }
}
