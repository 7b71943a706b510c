//! The rules: made once, whatever the policies are. Policies are in the sets that rules look into.
//!
//! ```text
//! postrouting  own node? -> judge -> v4 or v6, of the slot in force
//! v4           related? tracked or not?
//!  tracked     itself? -> kinds: ports, icmp, other
//!   ports      source isolated? -> egress;  destination isolated? -> ingress;  allowed
//!    egress    program of the source, class of the other end -> table -> holds (protocol, port)?
//! ```
//!
//! Registers don't outlive a rule, so each rule that asks for a table starts from the addresses again. Addresses
//! and ports of tracked packets are their connection's: the same for both directions, after Service DNAT and
//! before masquerade.

use podgate_policy::Direction;

use super::names::{Names, View, denied_counter};
use super::rule::{
    ADDRESS, CLASS, Compare, Ct, ENTRY, Header, Meta, OTHER, PORT, PROGRAM, PROTOCOL, ROW, Rate, Rule, TABLE,
    Verdict, Way,
};
use crate::Reason;
use crate::publish::layout::{CLOSED, DEFAULT_ANY, DEFAULT_POD, DEFAULT_V6, ITSELF};

/// The table that allows everything: the one that is asked for most.
pub(super) const ALLOWS_ALL: u32 = 1;

/// How deep a packet's protocol is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ports,
    Icmp,
    Other,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Ports, Kind::Icmp, Kind::Other];

    fn name(self) -> &'static str {
        match self {
            Kind::Ports => "ports",
            Kind::Icmp => "icmp",
            Kind::Other => "other",
        }
    }
}

const DIRECTIONS: [Direction; 2] = [Direction::Egress, Direction::Ingress];
const PORT_PROTOCOLS: [u8; 3] = [6, 17, 132];

/// A chain and its rules.
pub(super) type Chain = (String, Vec<Rule>);

/// Everything that stays as it is while a datapath lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    pub(super) names: Names,
    /// The log group that events go to.
    pub(super) group: u16,
    pub(super) rate: Option<Rate>,
}

/// All chains but the base chains, `judge`, `forged` and the contents of guards.
pub(super) fn chains(fixed: &Fixed) -> Vec<Chain> {
    let mut chains = Vec::new();
    for v4 in [true, false] {
        chains.extend(limit(fixed, v4));
    }
    chains.push((fixed.names.chain("limit"), limit_front(fixed)));
    for slot in [0, 1] {
        for direction in DIRECTIONS {
            for reason in Reason::ALL {
                chains.push(deny(fixed, slot, reason, direction));
            }
        }
        chains.push(allowed_event(fixed, slot));
        for v4 in [true, false] {
            chains.extend(front(fixed, v4, slot));
            for tracked in [true, false] {
                let view = View { v4, slot, tracked };
                chains.extend(of_view(fixed, view));
            }
        }
    }
    chains
}

// === Loading what rules compare ===

impl View {
    fn source(self, rule: Rule) -> Rule {
        let to = ADDRESS;
        match (self.tracked, self.v4) {
            (true, true) => rule.ct_of(Ct::Source4, Way::Original, to),
            (true, false) => rule.ct_of(Ct::Source6, Way::Original, to),
            (false, true) => rule.payload(Header::Network, 12, 4, to),
            (false, false) => rule.payload(Header::Network, 8, 16, to),
        }
    }

    /// The other end's address is where the connection's replies come from: after Service DNAT.
    fn destination_to(self, rule: Rule, to: u32) -> Rule {
        match (self.tracked, self.v4) {
            (true, true) => rule.ct_of(Ct::Source4, Way::Reply, to),
            (true, false) => rule.ct_of(Ct::Source6, Way::Reply, to),
            (false, true) => rule.payload(Header::Network, 16, 4, to),
            (false, false) => rule.payload(Header::Network, 24, 16, to),
        }
    }

    fn destination(self, rule: Rule) -> Rule {
        self.destination_to(rule, ADDRESS)
    }

    fn own(self, rule: Rule, direction: Direction) -> Rule {
        match direction {
            Direction::Egress => self.source(rule),
            Direction::Ingress => self.destination(rule),
        }
    }

    fn peer(self, rule: Rule, direction: Direction) -> Rule {
        match direction {
            Direction::Egress => self.destination(rule),
            Direction::Ingress => self.source(rule),
        }
    }

    fn program(self, names: Names, direction: Direction) -> Rule {
        let map = match direction {
            Direction::Egress => names.egress(self.v4, self.slot),
            Direction::Ingress => names.ingress(self.v4, self.slot),
        };
        self.own(Rule::new(), direction).clear(ROW).look_up(&map, ADDRESS, PROGRAM)
    }

    /// Program and, of the other end's pod, class.
    fn program_and_class(self, names: Names, direction: Direction) -> Rule {
        let rule = self.peer(self.program(names, direction), direction);
        rule.look_up(&names.class(self.v4, self.slot), ADDRESS, CLASS)
    }

    /// What is in a table under the packet's protocol and port.
    fn port_key(self, rule: Rule, kind: Kind) -> Rule {
        let rule = rule.meta(Meta::L4Protocol, PROTOCOL);
        match (kind, self.tracked) {
            (Kind::Ports, true) => rule.ct_of(Ct::PortSource, Way::Reply, PORT),
            (Kind::Ports, false) => rule.payload(Header::Transport, 2, 2, PORT),
            // The type of the message that began the exchange, in front of its code.
            (Kind::Icmp, true) => {
                rule.ct_of(Ct::PortDestination, Way::Original, PORT).bits(PORT, &[0xff, 0], &[0, 0])
            }
            (Kind::Icmp, false) => rule.payload(Header::Transport, 0, 1, PORT),
            (Kind::Other, _) => rule.set(PORT, &[0, 0]),
        }
    }

    /// The class that stands for a default row.
    fn default_class(self, class: u32) -> u32 {
        if self.v4 { class } else { class | DEFAULT_V6 }
    }

    fn icmp(self) -> u8 {
        if self.v4 { 1 } else { 58 }
    }

    /// A later fragment. Where connections are tracked the kernel has put fragments together.
    fn is_fragment(self, rule: Rule) -> Rule {
        match self.v4 {
            true => rule.payload(Header::Network, 6, 2, OTHER).any_bit(OTHER, &[0x1f, 0xff]),
            false => rule.fragment_header(2, OTHER).any_bit(OTHER, &[0xff, 0xf8]),
        }
    }
}

fn of_protocol(protocol: u8) -> Rule {
    Rule::new().meta(Meta::L4Protocol, OTHER).equal(OTHER, &[protocol])
}

// === Before the judgement ===

/// The rules of the postrouting hook.
pub(super) fn postrouting() -> Vec<Rule> {
    vec![
        Rule::new().count("packets"),
        // The packet has a full socket of this network namespace: the node sent it. The source address would
        // prove nothing, a pod can forge it.
        Rule::new().meta(Meta::Cgroup, OTHER).count("own-node").then(Verdict::Accept),
        Rule::new().goto(JUDGE),
    ]
}

/// A pod that reaches itself through a Service leaves by the device it came in by. One that only claims to be the
/// destination comes in elsewhere, which is known only here: it is judged as any other.
pub(super) fn forward(names: Names) -> Vec<Rule> {
    let rule = |v4: bool| {
        let (family, offset, length) = if v4 { (2, 12, 8) } else { (10, 8, 32) };
        Rule::new()
            .meta(Meta::NfProtocol, OTHER)
            .equal(OTHER, &[family])
            .payload(Header::Network, offset, length, ADDRESS)
            .within(&names.selves(v4), ADDRESS)
            .without_way_back()
            .goto(FORGED)
    };
    vec![rule(true), rule(false)]
}

/// The chains that lead to the slot in force.
pub(super) const JUDGE: &str = "judge";
pub(super) const FORGED: &str = "forged";

/// What they hold. Replacing it is what makes a slot the one in force.
pub(super) fn dispatch(names: Names, slot: usize) -> [Chain; 2] {
    let to = |chain: &str| {
        let rule = |v4: bool| {
            let family = if v4 { 2 } else { 10 };
            let front = View { v4, slot, tracked: true };
            let target = match chain {
                JUDGE => names.front(front),
                _ => names.forged(front),
            };
            Rule::new().meta(Meta::NfProtocol, OTHER).equal(OTHER, &[family]).goto(&target)
        };
        (chain.to_owned(), vec![rule(true), rule(false)])
    };
    [to(JUDGE), to(FORGED)]
}

fn front(fixed: &Fixed, v4: bool, slot: usize) -> Vec<Chain> {
    const RELATED: u32 = 4;
    let [tracked, untracked] = [true, false].map(|tracked| View { v4, slot, tracked });
    let mut rules = Vec::new();
    if !v4 {
        // RFC 4861 has receivers drop discovery with another hop limit than 255, RFC 3810 multicast listener
        // messages with another than 1. What differs isn't discovery but a tunnel that looks like it.
        for (first, last, hop_limit) in [(133, 137, 255), (130, 132, 1), (143, 143, 1)] {
            rules.push(
                of_protocol(58)
                    .payload(Header::Transport, 0, 1, OTHER)
                    .compare(OTHER, Compare::AtLeast, &[first])
                    .compare(OTHER, Compare::AtMost, &[last])
                    .payload(Header::Network, 7, 1, OTHER)
                    .equal(OTHER, &[hop_limit])
                    .count("neighbour-discovery")
                    .then(Verdict::Accept),
            );
        }
    }
    rules.push(
        of_protocol(tracked.icmp())
            .ct(Ct::State, OTHER)
            .any_bit(OTHER, &RELATED.to_ne_bytes())
            .count("related")
            .then(Verdict::Accept),
    );
    rules.push(Rule::new().ct(Ct::Direction, OTHER).goto(&fixed.names.view(tracked)));
    rules.push(Rule::new().count("no-conntrack").goto(&fixed.names.kinds(untracked)));
    let forged = vec![
        Rule::new().ct(Ct::Direction, OTHER).goto(&fixed.names.kinds(tracked)),
        Rule::new().goto(&fixed.names.kinds(untracked)),
    ];
    vec![(fixed.names.front(tracked), rules), (fixed.names.forged(tracked), forged)]
}

fn of_view(fixed: &Fixed, view: View) -> Vec<Chain> {
    let names = fixed.names;
    let mut chains = Vec::new();
    if view.tracked {
        let destination = if view.v4 { ADDRESS + 1 } else { ADDRESS + 4 };
        let both = view.destination_to(view.source(Rule::new()), destination);
        let rules = vec![
            both.within(&names.selves(view.v4), ADDRESS).goto(&names.itself(view)),
            Rule::new().goto(&names.kinds(view)),
        ];
        chains.push((names.view(view), rules));
        chains.extend(itself(fixed, view));
    }
    chains.push((names.kinds(view), kinds(names, view)));
    chains.push((names.guard(view), Vec::new()));
    for direction in DIRECTIONS {
        let own = view.own(Rule::new(), direction);
        let is_known = own.look_up(&names.class(view.v4, view.slot), ADDRESS, CLASS).then(Verdict::Return);
        for reason in [Reason::UnknownPod, Reason::TableFull] {
            let deny = Rule::new().goto(&names.deny(view.slot, reason, direction));
            chains.push((names.unless_known(view, reason, direction), vec![is_known.clone(), deny]));
        }
    }
    chains.push((names.odd(view), odd(names, view)));
    chains.push((names.allow(view), allow(names, view)));
    for kind in Kind::ALL {
        let stage = |direction| names.stage(view, kind.name(), direction);
        let mut rules: Vec<Rule> = DIRECTIONS
            .into_iter()
            .map(|direction| view.program(names, direction).jump(&stage(direction)))
            .collect();
        rules.push(Rule::new().goto(&names.allow(view)));
        chains.push((names.kind(view, kind.name()), rules));
        for direction in DIRECTIONS {
            chains.extend(judge(names, view, kind, direction));
        }
    }
    chains
}

/// Sorts by what can be known of the packet's port.
fn kinds(names: Names, view: View) -> Vec<Rule> {
    let mut rules = vec![Rule::new().jump(&names.guard(view))];
    if !view.tracked {
        rules.push(view.is_fragment(Rule::new()).goto(&names.odd(view)));
    }
    rules.extend(by_kind(view, |kind| names.kind(view, kind.name())));
    rules.push(Rule::new().goto(&names.odd(view)));
    rules
}

fn by_kind(view: View, chain: impl Fn(Kind) -> String) -> Vec<Rule> {
    let mut rules: Vec<Rule> = PORT_PROTOCOLS
        .into_iter()
        .map(|protocol| {
            of_protocol(protocol).payload(Header::Transport, 0, 4, ADDRESS).goto(&chain(Kind::Ports))
        })
        .collect();
    rules.push(of_protocol(view.icmp()).payload(Header::Transport, 0, 4, ADDRESS).goto(&chain(Kind::Icmp)));
    let other = PORT_PROTOCOLS.into_iter().chain([view.icmp()]);
    let other = other.fold(Rule::new().meta(Meta::L4Protocol, OTHER), |rule, protocol| {
        rule.compare(OTHER, Compare::NotEqual, &[protocol])
    });
    rules.push(other.goto(&chain(Kind::Other)));
    rules
}

/// Later fragments, and headers that can't be read: closed where the pod is isolated.
fn odd(names: Names, view: View) -> Vec<Rule> {
    let mut rules = vec![Rule::new().count("unclassifiable")];
    for reason in [Reason::Fragment, Reason::Unparsable] {
        for direction in DIRECTIONS {
            let isolated = view.program(names, direction);
            let rule = if reason == Reason::Fragment { view.is_fragment(isolated) } else { isolated };
            rules.push(rule.goto(&names.deny(view.slot, reason, direction)));
        }
    }
    rules.push(Rule::new().goto(&names.allow(view)));
    rules
}

/// What guards hold: what is to be closed though no program says so.
pub(super) fn guard(names: Names, view: View, cidrs: &[(Vec<u8>, Vec<u8>)], any_unplaced: bool) -> Vec<Rule> {
    let mut rules = Vec::new();
    for direction in DIRECTIONS {
        let own = || view.own(Rule::new(), direction);
        if any_unplaced {
            let chain = names.unless_known(view, Reason::TableFull, direction);
            rules.push(own().within(&names.unplaced(view.v4), ADDRESS).jump(&chain));
        }
        let chain = names.unless_known(view, Reason::UnknownPod, direction);
        for (network, mask) in cidrs {
            let zero = vec![0; mask.len()];
            rules.push(own().bits(ADDRESS, mask, &zero).equal(ADDRESS, network).jump(&chain));
        }
    }
    rules
}

// === The judgement ===

/// One direction of a packet: returns when it is allowed.
fn judge(names: Names, view: View, kind: Kind, direction: Direction) -> Vec<Chain> {
    let own = names.stage(view, kind.name(), direction);
    let rows = names.rows();
    let class = |class: u32, rule: Rule| rule.set(CLASS, &view.default_class(class).to_ne_bytes());
    let program = || view.program(names, direction);
    let of_pod = || view.program_and_class(names, direction);
    let of_class = || of_pod().clear(ENTRY).look_up(&rows, ROW, TABLE);
    // In its chain it is known that the other end is a pod.
    let of_any_pod = || class(DEFAULT_POD, program()).clear(ENTRY).look_up(&rows, ROW, TABLE);
    let of_prefix = || {
        let rule = view.peer(program(), direction);
        rule.look_up(&names.prefix(view.v4, view.slot), ADDRESS, CLASS)
            .clear(ENTRY)
            .look_up(&rows, ROW, TABLE)
    };
    let of_any = || class(DEFAULT_ANY, program()).clear(ENTRY).look_up(&rows, ROW, TABLE);
    let deny_to = |reason| names.deny(view.slot, reason, direction);
    let table = |load: &dyn Fn() -> Rule| ask_table(names, view, kind, load, &deny_to(Reason::Policy));
    // A program that found no room has no rows at all.
    let no_row = || {
        let closed = program().equal(PROGRAM, &CLOSED.to_ne_bytes());
        [closed.goto(&deny_to(Reason::TableFull)), Rule::new().goto(&deny_to(Reason::NoRow))]
    };
    let [class_chain, pod_chain, prefix_chain, any_chain] =
        ["class", "pod", "prefix", "any"].map(|step| format!("{own}-{step}"));
    let main = vec![
        // Asked for most, so it comes first.
        view.port_key(of_class(), kind).within(&names.open(), ENTRY).then(Verdict::Return),
        of_class().goto(&class_chain),
        of_pod().goto(&pod_chain),
        of_prefix().goto(&prefix_chain),
        Rule::new().goto(&any_chain),
    ];
    let mut of_pods = table(&of_any_pod);
    of_pods.extend(no_row());
    let mut of_others = table(&of_any);
    of_others.extend(no_row());
    vec![
        (class_chain, ask_table_for_ranges(names, view, kind, &of_class, &deny_to(Reason::Policy))),
        (pod_chain, of_pods),
        (prefix_chain, table(&of_prefix)),
        (any_chain, of_others),
        (own, main),
    ]
}

/// Asks the table that `load` finds, when it finds one.
fn ask_table(names: Names, view: View, kind: Kind, load: &dyn Fn() -> Rule, deny: &str) -> Vec<Rule> {
    let port = view.port_key(load(), kind);
    let mut rules = vec![port.within(&names.open(), ENTRY).then(Verdict::Return)];
    rules.extend(ask_table_for_ranges(names, view, kind, load, deny));
    rules
}

/// As [`ask_table`], after single ports were asked for.
fn ask_table_for_ranges(
    names: Names,
    view: View,
    kind: Kind,
    load: &dyn Fn() -> Rule,
    deny: &str,
) -> Vec<Rule> {
    let port = || view.port_key(load(), kind);
    vec![
        load().equal(TABLE, &ALLOWS_ALL.to_ne_bytes()).then(Verdict::Return),
        port().within(&names.open_ranges(), ENTRY).then(Verdict::Return),
        port().within(&names.shut(), ENTRY).goto(deny),
        load().within(&names.else_open(), ENTRY).then(Verdict::Return),
        load().goto(deny),
    ]
}

/// A pod that reaches itself through a Service: allowed, but for what its programs say of that.
fn itself(fixed: &Fixed, view: View) -> Vec<Chain> {
    let names = fixed.names;
    let allow = vec![Rule::new().count("allowed").then(Verdict::Accept)];
    let mut rules = vec![Rule::new().count("to-itself"), Rule::new().jump(&names.guard(view))];
    rules.extend(by_kind(view, |kind| names.itself_kind(view, kind.name())));
    rules.push(Rule::new().goto(&names.itself_allow(view)));
    let mut chains = vec![(names.itself(view), rules), (names.itself_allow(view), allow)];
    for kind in Kind::ALL {
        let mut rules = Vec::new();
        for direction in DIRECTIONS {
            let chain = format!("{}-{}", names.itself_kind(view, kind.name()), direction_name(direction));
            rules.push(view.program(names, direction).jump(&chain));
            chains.extend(judge_itself(names, view, kind, direction, chain));
        }
        rules.push(Rule::new().goto(&names.itself_allow(view)));
        chains.push((names.itself_kind(view, kind.name()), rules));
    }
    chains
}

fn judge_itself(names: Names, view: View, kind: Kind, direction: Direction, chain: String) -> Vec<Chain> {
    let rows = names.rows();
    let of_class = || {
        let rule = view.program_and_class(names, direction);
        rule.bits(CLASS, &[0xff; 4], &ITSELF.to_ne_bytes()).clear(ENTRY).look_up(&rows, ROW, TABLE)
    };
    let of_any = || {
        let default = view.default_class(DEFAULT_POD) | ITSELF;
        let rule = view.program(names, direction).set(CLASS, &default.to_ne_bytes());
        rule.clear(ENTRY).look_up(&rows, ROW, TABLE)
    };
    let deny = names.deny(view.slot, Reason::Policy, direction);
    let [class_chain, any_chain] = ["class", "any"].map(|step| format!("{chain}-{step}"));
    let closed = view.program(names, direction).equal(PROGRAM, &CLOSED.to_ne_bytes());
    let main = vec![
        closed.goto(&names.deny(view.slot, Reason::TableFull, direction)),
        of_class().goto(&class_chain),
        of_any().goto(&any_chain),
    ];
    vec![
        (class_chain, ask_table(names, view, kind, &of_class, &deny)),
        (any_chain, ask_table(names, view, kind, &of_any, &deny)),
        (chain, main),
    ]
}

pub(super) fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "egress",
        Direction::Ingress => "ingress",
    }
}

// === After the judgement ===

/// Only the first packet of a connection of a pod has an event.
fn allow(names: Names, view: View) -> Vec<Rule> {
    const CONFIRMED: u32 = 8;
    let mut rules = vec![Rule::new().count("allowed")];
    if view.tracked {
        let class = names.class(view.v4, view.slot);
        rules.push(
            Rule::new().ct(Ct::Status, OTHER).any_bit(OTHER, &CONFIRMED.to_ne_bytes()).then(Verdict::Accept),
        );
        for direction in DIRECTIONS {
            let own = view.own(Rule::new(), direction);
            rules.push(own.look_up(&class, ADDRESS, CLASS).goto(&names.allowed_event(view.slot)));
        }
    }
    rules.push(Rule::new().then(Verdict::Accept));
    rules
}

fn allowed_event(fixed: &Fixed, slot: usize) -> Chain {
    let prefix = fixed.names.prefix_of_allowed(slot);
    let rule = Rule::new().count("events").log(fixed.group, &prefix).then(Verdict::Accept);
    (fixed.names.allowed_event(slot), vec![rule])
}

/// The log's prefix tells what user space can't know: reason, direction, slot and state of the connection.
fn deny(fixed: &Fixed, slot: usize, reason: Reason, direction: Direction) -> Chain {
    const ESTABLISHED: u32 = 2;
    let names = fixed.names;
    let log = |rule: Rule, state| {
        let prefix = names.prefix_of_denied(slot, reason, direction, state);
        rule.count("events").log(fixed.group, &prefix).then(Verdict::Drop)
    };
    let mut rules = vec![Rule::new().count(&denied_counter(reason))];
    if fixed.rate.is_some() {
        rules.push(Rule::new().jump(&names.chain("limit")));
    }
    let reply = Rule::new().ct(Ct::Direction, OTHER).equal(OTHER, &[Way::Reply as u8]);
    let established = Rule::new().ct(Ct::State, OTHER).any_bit(OTHER, &ESTABLISHED.to_ne_bytes());
    rules.push(log(reply, 'r'));
    rules.push(log(established, 'e'));
    rules.push(log(Rule::new().ct(Ct::Direction, OTHER), 'n'));
    rules.push(log(Rule::new(), 'u'));
    (names.deny(slot, reason, direction), rules)
}

/// Withholds events of sources that cause too many; the packets are denied all the same.
fn limit_front(fixed: &Fixed) -> Vec<Rule> {
    let rule = |v4: bool, tracked: bool| {
        let family = if v4 { 2 } else { 10 };
        let rule = Rule::new().meta(Meta::NfProtocol, OTHER).equal(OTHER, &[family]);
        let rule = if tracked { rule.ct(Ct::Direction, OTHER) } else { rule };
        rule.goto(&fixed.names.limit(v4, tracked))
    };
    vec![rule(true, true), rule(true, false), rule(false, true), rule(false, false)]
}

fn limit(fixed: &Fixed, v4: bool) -> Vec<Chain> {
    let chain = |tracked| {
        let view = View { v4, slot: 0, tracked };
        let rules = fixed.rate.map(|rate| {
            let over = view.source(Rule::new()).over_rate(&fixed.names.rate(v4), ADDRESS, rate);
            over.count("suppressed").then(Verdict::Drop)
        });
        (fixed.names.limit(v4, tracked), rules.into_iter().collect())
    };
    vec![chain(true), chain(false)]
}
