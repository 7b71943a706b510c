//! The address book: from addresses and decider ids to the names that people use.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use podgate_policy::{Decider, DeciderId};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::record::{Endpoint, Party, Reason, ServiceName};
use crate::{Basis, Timestamp};

/// How long a decider that is gone can still be named. Events wait at most a few tens of milliseconds in
/// the kernel's ring; this leaves room for a machine that stops for a while.
pub const RETIRED_FOR: Duration = Duration::from_secs(60);

/// Names for addresses, Service ports and deciders.
#[derive(Debug, Default)]
pub struct Names {
    parties: FxHashMap<IpAddr, Party>,
    services: FxHashMap<(SocketAddr, u8), ServiceName>,
    deciders: FxHashMap<DeciderId, Known>,
}

#[derive(Debug)]
struct Known {
    decider: Decider,
    /// When it went; `None` while in force.
    retired: Option<Timestamp>,
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
        services: impl IntoIterator<Item = ((SocketAddr, u8), ServiceName)>,
    ) {
        self.parties = parties.into_iter().collect();
        self.services = services.into_iter().collect();
    }

    /// Makes exactly these deciders current. Others stay known for [`RETIRED_FOR`], so that events which
    /// were in flight while policy changed get the name of the policy that made their verdict.
    pub fn set_deciders(&mut self, now: Timestamp, current: impl IntoIterator<Item = (DeciderId, Decider)>) {
        let mut seen = FxHashSet::default();
        for (id, decider) in current {
            seen.insert(id);
            self.deciders.insert(id, Known { decider, retired: None });
        }
        self.deciders.retain(|id, known| {
            if seen.contains(id) {
                return true;
            }
            now.since(*known.retired.get_or_insert(now)) < RETIRED_FOR
        });
    }

    /// Adds deciders, the others stay as they are.
    pub fn add_deciders(&mut self, new: impl IntoIterator<Item = (DeciderId, Decider)>) {
        self.deciders.extend(new.into_iter().map(|(id, decider)| (id, Known { decider, retired: None })));
    }

    /// Whose address it is.
    pub fn party(&self, ip: IpAddr) -> Party {
        self.parties.get(&ip).cloned().unwrap_or(Party::Outside { name: None })
    }

    /// Whether a pod has the address.
    pub fn is_pod(&self, ip: IpAddr) -> bool {
        matches!(self.parties.get(&ip), Some(Party::Pod { .. }))
    }

    /// The address and port with their owner.
    pub fn endpoint(&self, at: SocketAddr) -> Endpoint {
        Endpoint { ip: at.ip(), port: at.port(), party: self.party(at.ip()) }
    }

    /// The Service port at an address, by IANA protocol number.
    pub fn service(&self, at: SocketAddr, protocol: u8) -> Option<&ServiceName> {
        self.services.get(&(at, protocol))
    }

    /// Why the kernel decided as it did.
    pub fn reason(&self, basis: Basis) -> Reason {
        match basis {
            Basis::Decider(DeciderId::NOT_ISOLATED) => Reason::NotIsolated,
            Basis::Decider(DeciderId::ICMP_ECHO) => Reason::IcmpEcho,
            Basis::Decider(id) => match self.deciders.get(&id) {
                Some(known) => Reason::of(&known.decider),
                None => Reason::Forgotten,
            },
            Basis::OwnNode => Reason::OwnNode,
            Basis::UnknownPod => Reason::UnknownPod,
            Basis::Unreadable => Reason::Unreadable,
            Basis::TableFull => Reason::TableFull,
            Basis::Incomplete => Reason::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podgate_policy::{Direction, PolicyRef};

    fn isolation(name: &str) -> Decider {
        let policy = PolicyRef { kind: "NetworkPolicy".into(), namespace: "shop".into(), name: name.into() };
        Decider::Isolation { direction: Direction::Ingress, policies: vec![policy] }
    }

    #[test]
    fn a_retired_decider_is_named_for_a_while() {
        let mut names = Names::new();
        let (old, new) = (DeciderId(100), DeciderId(200));
        names.set_deciders(Timestamp(0), [(old, isolation("old"))]);
        names.set_deciders(Timestamp(1), [(new, isolation("new"))]);
        let named = |names: &Names, id| names.reason(Basis::Decider(id)).to_string();
        assert_eq!(named(&names, old), "isolated by shop/old");
        assert_eq!(named(&names, new), "isolated by shop/new");

        names.set_deciders(Timestamp(1).after(RETIRED_FOR), [(new, isolation("new"))]);
        assert_eq!(names.reason(Basis::Decider(old)), Reason::Forgotten);
        assert_eq!(named(&names, new), "isolated by shop/new");
    }

    #[test]
    fn a_decider_that_comes_back_does_not_age() {
        let mut names = Names::new();
        let id = DeciderId(100);
        names.set_deciders(Timestamp(0), [(id, isolation("a"))]);
        names.set_deciders(Timestamp(1), []);
        names.set_deciders(Timestamp(2), [(id, isolation("a"))]);
        names.set_deciders(Timestamp(2).after(RETIRED_FOR), []);
        assert_ne!(names.reason(Basis::Decider(id)), Reason::Forgotten);
    }

    #[test]
    fn the_two_fixed_deciders_need_no_book() {
        let names = Names::new();
        assert_eq!(names.reason(Basis::Decider(DeciderId::NOT_ISOLATED)), Reason::NotIsolated);
        assert_eq!(names.reason(Basis::Decider(DeciderId::ICMP_ECHO)), Reason::IcmpEcho);
    }
}
