//! What chains, sets, counters and log prefixes are called.

use podgate_policy::Direction;

use super::ruleset::direction_name;
use super::table::{Key, Shape};
use crate::Reason;

/// Names of one epoch: all that one full start of the datapath made, beside what an earlier one left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) epoch: u32,
}

/// Which of the chains that are there for every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) v4: bool,
    pub(super) slot: usize,
    /// Whether the packet belongs to a connection that the kernel tracks.
    pub(super) tracked: bool,
}

impl View {
    pub(super) fn all() -> impl Iterator<Item = View> {
        let all = [true, false].into_iter().flat_map(|v4| [0, 1].map(|slot| (v4, slot)));
        all.flat_map(|(v4, slot)| [true, false].map(|tracked| View { v4, slot, tracked }))
    }

    fn name(self) -> String {
        let tracked = if self.tracked { "tracked" } else { "untracked" };
        format!("{}-s{}-{tracked}", family(self.v4), self.slot)
    }
}

fn family(v4: bool) -> &'static str {
    if v4 { "v4" } else { "v6" }
}

/// The counters, of all epochs.
pub(super) const COUNTERS: [&str; 9] = [
    "packets",
    "allowed",
    "own-node",
    "neighbour-discovery",
    "related",
    "to-itself",
    "no-conntrack",
    "unclassifiable",
    "events",
];
pub(super) const SUPPRESSED: &str = "suppressed";

pub(super) fn denied_counter(reason: Reason) -> String {
    format!("denied-{}", reason.name())
}

impl Names {
    pub(super) fn chain(self, name: &str) -> String {
        format!("e{}-{name}", self.epoch)
    }

    fn set(self, name: &str) -> String {
        format!("e{}-{name}", self.epoch)
    }

    /// The epoch that a name belongs to.
    pub(super) fn epoch_of(name: &str) -> Option<u32> {
        name.strip_prefix('e')?.split_once('-')?.0.parse().ok()
    }

    // === Chains ===

    pub(super) fn front(self, view: View) -> String {
        self.chain(&format!("{}-s{}", family(view.v4), view.slot))
    }

    pub(super) fn forged(self, view: View) -> String {
        self.chain(&format!("{}-s{}-forged", family(view.v4), view.slot))
    }

    pub(super) fn view(self, view: View) -> String {
        self.chain(&view.name())
    }

    fn in_view(self, view: View, name: &str) -> String {
        self.chain(&format!("{}-{name}", view.name()))
    }

    pub(super) fn kinds(self, view: View) -> String {
        self.in_view(view, "kinds")
    }

    pub(super) fn kind(self, view: View, kind: &str) -> String {
        self.in_view(view, kind)
    }

    pub(super) fn stage(self, view: View, kind: &str, direction: Direction) -> String {
        self.in_view(view, &format!("{kind}-{}", direction_name(direction)))
    }

    pub(super) fn itself(self, view: View) -> String {
        self.in_view(view, "itself")
    }

    pub(super) fn itself_kind(self, view: View, kind: &str) -> String {
        self.in_view(view, &format!("itself-{kind}"))
    }

    pub(super) fn itself_allow(self, view: View) -> String {
        self.in_view(view, "itself-allow")
    }

    pub(super) fn guard(self, view: View) -> String {
        self.in_view(view, "guard")
    }

    pub(super) fn unless_known(self, view: View, reason: Reason, direction: Direction) -> String {
        self.in_view(view, &format!("{}-{}", reason.name(), direction_name(direction)))
    }

    pub(super) fn odd(self, view: View) -> String {
        self.in_view(view, "odd")
    }

    pub(super) fn allow(self, view: View) -> String {
        self.in_view(view, "allow")
    }

    pub(super) fn allowed_event(self, slot: usize) -> String {
        self.chain(&format!("s{slot}-allowed"))
    }

    pub(super) fn deny(self, slot: usize, reason: Reason, direction: Direction) -> String {
        self.chain(&format!("s{slot}-deny-{}-{}", reason.name(), direction_name(direction)))
    }

    pub(super) fn limit(self, v4: bool, tracked: bool) -> String {
        let tracked = if tracked { "tracked" } else { "untracked" };
        self.chain(&format!("limit-{}-{tracked}", family(v4)))
    }

    // === Sets ===

    pub(super) fn class(self, v4: bool, slot: usize) -> String {
        self.set(&format!("class-{}-s{slot}", family(v4)))
    }

    pub(super) fn egress(self, v4: bool, slot: usize) -> String {
        self.set(&format!("egress-{}-s{slot}", family(v4)))
    }

    pub(super) fn ingress(self, v4: bool, slot: usize) -> String {
        self.set(&format!("ingress-{}-s{slot}", family(v4)))
    }

    pub(super) fn prefix(self, v4: bool, slot: usize) -> String {
        self.set(&format!("prefix-{}-s{slot}", family(v4)))
    }

    /// Addresses of this node's pods, twice each.
    pub(super) fn selves(self, v4: bool) -> String {
        self.set(&format!("selves-{}", family(v4)))
    }

    pub(super) fn unplaced(self, v4: bool) -> String {
        self.set(&format!("unplaced-{}", family(v4)))
    }

    pub(super) fn rate(self, v4: bool) -> String {
        self.set(&format!("rate-{}", family(v4)))
    }

    pub(super) fn rows(self) -> String {
        self.set("rows")
    }

    pub(super) fn open(self) -> String {
        self.set("open")
    }

    pub(super) fn shut(self) -> String {
        self.set("shut")
    }

    pub(super) fn open_ranges(self) -> String {
        self.set("open-ranges")
    }

    /// Tables that allow what they don't name.
    pub(super) fn else_open(self) -> String {
        self.set("else-open")
    }

    pub(super) fn sets(self) -> Vec<(String, Key, Shape)> {
        let mut sets = vec![
            (self.rows(), Key::Row, Shape::Map),
            (self.open(), Key::Port, Shape::Set),
            (self.open_ranges(), Key::Port, Shape::Ranges),
            (self.shut(), Key::Port, Shape::Ranges),
            (self.else_open(), Key::Table, Shape::Set),
        ];
        for v4 in [true, false] {
            sets.push((self.selves(v4), Key::Addresses { v4 }, Shape::Set));
            sets.push((self.unplaced(v4), Key::Address { v4 }, Shape::Set));
            sets.push((self.rate(v4), Key::Address { v4 }, Shape::Recent));
            for slot in [0, 1] {
                for map in [self.class(v4, slot), self.egress(v4, slot), self.ingress(v4, slot)] {
                    sets.push((map, Key::Address { v4 }, Shape::Map));
                }
                sets.push((self.prefix(v4, slot), Key::Address { v4 }, Shape::RangeMap));
            }
        }
        sets
    }

    // === Log prefixes ===

    pub(super) fn prefix_of_allowed(self, slot: usize) -> String {
        format!("podgate {} {slot} allowed", self.epoch)
    }

    pub(super) fn prefix_of_denied(
        self,
        slot: usize,
        reason: Reason,
        direction: Direction,
        state: char,
    ) -> String {
        let number = reason as u8;
        format!("podgate {} {slot} denied {} {number} {state}", self.epoch, direction_name(direction))
    }
}
