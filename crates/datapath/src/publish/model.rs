//! Random publications on tables in memory, judged after every single write as the kernel would judge.

mod engine;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ipnet::IpNet;
use podgate_policy::{
    ClassId, DeciderId, Delta, Family, Identity, Kind, Outcome, PortKey, PortRange, Program, ProgramId,
    Programs, Row, Verdict,
};
use proptest::prelude::*;

use self::engine::Engine;
use super::layout::{CLASS_SHIFT, CLOSED, DEFAULT_V6, INGRESS_SHIFT, POD, RawRange, RawRow, RowKey};
use super::publisher::{Limits, Publisher};
use super::store::{Contents, Store};
use crate::Error;

const NODE: &str = "here";
const KEYS: [PortKey; 2] = [PortKey::new(6, 80), PortKey::new(17, 53)];

fn universe() -> Vec<IpAddr> {
    // The first six may be pods'.
    let mut all: Vec<IpAddr> = (1..=4).map(|i| IpAddr::from([10, 0, 0, i])).collect();
    all.extend(["fd00::1", "fd00::2"].map(|a| a.parse::<IpAddr>().expect("address")));
    let outside = ["192.0.2.1", "192.0.2.129", "198.51.100.1", "2001:db8::1", "2001:db8:0:1::1"];
    all.extend(outside.map(|a| a.parse::<IpAddr>().expect("address")));
    all
}

fn blocks() -> Vec<IpNet> {
    let v4 = ["192.0.0.0/8", "192.0.2.0/24", "192.0.2.128/25", "192.0.2.1/32", "10.0.0.0/8", "10.0.0.4/31"];
    let all = v4.into_iter().chain(["2001:db8::/32", "2001:db8:0:1::/64"]);
    all.map(|net| net.parse::<IpNet>().expect("prefix").trunc()).collect()
}

/// Whom an address can talk with.
fn others(of: IpAddr) -> impl Iterator<Item = IpAddr> {
    universe().into_iter().filter(move |other| *other != of && other.is_ipv4() == of.is_ipv4())
}

/// What the engine would say.
#[derive(Clone, Default)]
struct State {
    addresses: BTreeMap<IpAddr, Identity>,
    prefixes: BTreeMap<IpNet, ClassId>,
    programs: BTreeMap<ProgramId, Program>,
}

impl Programs for State {
    fn program(&self, id: ProgramId) -> Option<&Program> {
        self.programs.get(&id)
    }
}

impl State {
    fn class(&self, address: IpAddr) -> (ClassId, bool) {
        if let Some(identity) = self.addresses.get(&address) {
            return (identity.class, true);
        }
        let longest = self.prefixes.iter().filter(|(net, _)| net.contains(&address));
        (*longest.max_by_key(|(net, _)| net.prefix_len()).expect("a default").1, false)
    }

    fn allows(&self, from: IpAddr, to: IpAddr, key: PortKey) -> bool {
        let judge = |own: IpAddr, other: IpAddr, egress: bool| {
            let Some(identity) = self.addresses.get(&own).filter(|i| i.node.as_deref() == Some(NODE)) else {
                return true;
            };
            let Some(program) = (if egress { identity.egress } else { identity.ingress }) else {
                return true;
            };
            let (class, pod) = self.class(other);
            let kind = Kind { pod, family: Family::of(other) };
            self.programs[&program].outcome(class, kind, key).verdict == Verdict::Allowed
        };
        judge(from, to, true) && judge(to, from, false)
    }

    fn classes(&self) -> BTreeSet<ClassId> {
        self.addresses.values().map(|i| i.class).chain(self.prefixes.values().copied()).collect()
    }

    fn used_programs(&self) -> BTreeSet<ProgramId> {
        self.addresses.values().flat_map(|i| i.egress.into_iter().chain(i.ingress)).collect()
    }

    fn whole(&self) -> Delta {
        Delta {
            addresses: self.addresses.iter().map(|(a, i)| (*a, Some(i.clone()))).collect(),
            prefixes: self.prefixes.iter().map(|(p, c)| (*p, Some(*c))).collect(),
            programs: self.programs.keys().copied().collect(),
            ..Delta::default()
        }
    }
}

/// What packets may see at the moment.
enum Expect {
    /// Exactly this, by packets that began before the last flip and after it.
    Exactly { before: State, after: State },
    /// No more than one of the two allows.
    NoMoreThan(State, State),
}

struct Fake {
    expect: Option<Expect>,
    generation: u64,
    /// What changes is in force: for IPv6 and for IPv4, whose packets never meet.
    flipped: [bool; 2],
    addresses: HashMap<IpAddr, u32>,
    prefixes: HashMap<IpNet, u32>,
    rows: HashMap<RowKey, RawRow>,
    ranges: Vec<RawRange>,
    words: Vec<[u64; 2]>,
    unplaced: HashSet<IpAddr>,
    /// Words that packets may still go by: replaced before and after the last `begin_grace`.
    late: [Vec<u64>; 2],
    /// Entries whose memory packets may still hold: removed before and after the last `begin_grace`.
    removed: [bool; 2],
    full_every: u32,
    puts: u32,
    random: u64,
}

#[derive(Clone)]
struct FakeStore(Rc<RefCell<Fake>>);

impl Fake {
    fn next(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn word(&self, address: IpAddr, slot: usize) -> Option<u64> {
        let word = self.addresses.get(&address).map_or(0, |index| self.words[*index as usize][slot]);
        if word != 0 {
            return Some(word);
        }
        if self.unplaced.contains(&address) {
            return None;
        }
        let longest = self.prefixes.iter().filter(|(net, _)| net.contains(&address));
        Some(
            longest.max_by_key(|(net, _)| net.prefix_len()).map_or(0, |(_, i)| self.words[*i as usize][slot]),
        )
    }

    fn judge(&self, program: u32, other: u64, family: Family, key: PortKey) -> bool {
        if program == CLOSED {
            return false;
        }
        let class = (other >> CLASS_SHIFT) as u32 & 0x3f_ffff;
        let row = self.rows.get(&RowKey { program, class });
        let kind = u32::from(other & POD != 0) | if family == Family::V6 { DEFAULT_V6 } else { 0 };
        let default = RowKey { program, class: kind };
        let Some(row) = row.or_else(|| self.rows.get(&default)) else { return false };
        let list = &self.ranges[row.offset as usize..][..usize::from(row.length)];
        let hit = list.iter().find(|range| range.lo <= key.0 && key.0 <= range.hi);
        hit.map_or(row.allowed == 1, |range| range.allowed == 1)
    }

    fn allows(&self, from: IpAddr, to: IpAddr, key: PortKey, slot: usize) -> bool {
        let (Some(source), Some(destination)) = (self.word(from, slot), self.word(to, slot)) else {
            return false;
        };
        let (egress, ingress) = (source as u32 & 0xf_ffff, (destination >> INGRESS_SHIFT) as u32 & 0xf_ffff);
        let family = Family::of(from);
        (egress == 0 || self.judge(egress, destination, family, key))
            && (ingress == 0 || self.judge(ingress, source, family, key))
    }

    /// Judges all pairs, as packets of the present generation and of the one before would be.
    fn check(&self) {
        for word in self.late.iter().flatten() {
            for program in [*word as u32 & 0xf_ffff, (*word >> INGRESS_SHIFT) as u32 & 0xf_ffff] {
                let is_there =
                    [0, 1].iter().any(|class| self.rows.contains_key(&RowKey { program, class: *class }));
                assert!(program <= CLOSED || is_there, "a packet looks for rows that are gone");
            }
        }
        let Some(expect) = &self.expect else { return };
        let active = (self.generation & 1) as usize;
        for from in universe() {
            let flipped = self.flipped[usize::from(from.is_ipv4())];
            for to in others(from) {
                for key in KEYS {
                    let now = self.allows(from, to, key, active);
                    match expect {
                        Expect::Exactly { before, after } => {
                            let state = if flipped { after } else { before };
                            assert_eq!(now, state.allows(from, to, key), "{from} to {to} {key:?}");
                            if flipped {
                                let late = self.allows(from, to, key, active ^ 1);
                                let either = [before, after].map(|state| state.allows(from, to, key));
                                assert!(either.contains(&late), "late: {from} to {to} {key:?}");
                            }
                        }
                        Expect::NoMoreThan(a, b) => {
                            assert!(
                                !now || a.allows(from, to, key) || b.allows(from, to, key),
                                "{from} to {to} {key:?} is wider than both states"
                            );
                        }
                    }
                }
            }
        }
    }

    fn may_put(&mut self) -> bool {
        assert_eq!(self.removed, [false; 2], "a packet may still hold an entry whose memory is used again");
        self.puts += 1;
        self.full_every == 0 || !self.puts.is_multiple_of(self.full_every)
    }
}

impl Store for FakeStore {
    fn put_address(&mut self, address: IpAddr, index: u32) -> Result<bool, Error> {
        let mut fake = self.0.borrow_mut();
        let room = fake.may_put();
        if room {
            fake.addresses.insert(address, index);
        }
        fake.check();
        Ok(room)
    }

    fn delete_address(&mut self, address: IpAddr) -> Result<(), Error> {
        let mut fake = self.0.borrow_mut();
        fake.addresses.remove(&address);
        fake.removed[0] = true;
        fake.check();
        Ok(())
    }

    fn put_prefix(&mut self, prefix: IpNet, index: u32) -> Result<bool, Error> {
        let mut fake = self.0.borrow_mut();
        let room = fake.may_put();
        if room {
            fake.prefixes.insert(prefix, index);
        }
        fake.check();
        Ok(room)
    }

    fn delete_prefix(&mut self, prefix: IpNet) -> Result<(), Error> {
        let mut fake = self.0.borrow_mut();
        fake.prefixes.remove(&prefix);
        fake.check();
        Ok(())
    }

    fn put_row(&mut self, key: RowKey, row: RawRow) -> Result<bool, Error> {
        let mut fake = self.0.borrow_mut();
        let room = fake.may_put();
        if room {
            fake.rows.insert(key, row);
        }
        fake.check();
        Ok(room)
    }

    fn delete_row(&mut self, key: RowKey) -> Result<(), Error> {
        let mut fake = self.0.borrow_mut();
        fake.rows.remove(&key);
        fake.removed[0] = true;
        fake.check();
        Ok(())
    }

    fn write_ranges(&mut self, at: u32, ranges: &[RawRange]) {
        let mut fake = self.0.borrow_mut();
        for (i, range) in ranges.iter().enumerate() {
            fake.ranges[at as usize + i] = *range;
            fake.check();
        }
    }

    fn word(&self, index: u32, slot: usize) -> u64 {
        self.0.borrow().words[index as usize][slot]
    }

    fn set_word(&mut self, index: u32, slot: usize, word: u64) {
        let mut fake = self.0.borrow_mut();
        fake.words[index as usize][slot] = word;
        fake.check();
    }

    fn put_word(&mut self, index: u32, slot: usize, word: u64) -> bool {
        let mut fake = self.0.borrow_mut();
        let before = std::mem::replace(&mut fake.words[index as usize][slot], word);
        fake.late[0].push(before);
        // The one word is the whole change of its family.
        let address = fake.addresses.iter().find(|(_, at)| **at == index).map(|(address, _)| *address);
        fake.flipped[usize::from(address.expect("an address's word").is_ipv4())] = true;
        fake.check();
        true
    }

    fn generation(&self) -> u64 {
        self.0.borrow().generation
    }

    fn flip(&mut self, generation: u64) {
        let mut fake = self.0.borrow_mut();
        fake.generation = generation;
        fake.flipped = [true; 2];
        fake.check();
    }

    fn add_marks(&mut self, addresses: &mut dyn Iterator<Item = IpAddr>) {
        let mut fake = self.0.borrow_mut();
        fake.unplaced.extend(addresses);
        fake.check();
    }

    fn replace_marks(&mut self, addresses: &mut dyn Iterator<Item = IpAddr>) {
        let mut fake = self.0.borrow_mut();
        fake.unplaced = addresses.collect();
        fake.check();
    }

    fn begin_grace(&mut self) {
        let mut fake = self.0.borrow_mut();
        fake.removed = [false, fake.removed[0] || fake.removed[1]];
        let fresh = std::mem::take(&mut fake.late[0]);
        fake.late[1].extend(fresh);
    }

    fn grace_over(&mut self, wait: bool) -> bool {
        let mut fake = self.0.borrow_mut();
        let over = wait || fake.next(2) == 0;
        if over {
            fake.removed[1] = false;
            fake.late[1].clear();
        }
        over
    }

    fn contents(&self) -> Result<Contents, Error> {
        let fake = self.0.borrow();
        Ok(Contents {
            addresses: fake.addresses.iter().map(|(a, i)| (*a, *i)).collect(),
            prefixes: fake.prefixes.iter().map(|(p, i)| (*p, *i)).collect(),
            rows: fake.rows.iter().map(|(k, r)| (*k, *r)).collect(),
        })
    }
}

fn fake(limits: Limits, full_every: u32, random: u64) -> FakeStore {
    let none = RawRange { lo: 0, hi: 0, decider: 0, allowed: 0, pad: 0 };
    FakeStore(Rc::new(RefCell::new(Fake {
        expect: None,
        generation: 0,
        flipped: [false; 2],
        addresses: HashMap::new(),
        prefixes: HashMap::new(),
        rows: HashMap::new(),
        ranges: vec![none; 2 * limits.ranges as usize],
        words: vec![[0; 2]; limits.idents as usize],
        unplaced: HashSet::new(),
        late: [Vec::new(), Vec::new()],
        removed: [false; 2],
        full_every,
        puts: 0,
        random: random | 1,
    })))
}

const AMPLE: Limits = Limits { addresses: 12, prefixes: 10, rows: 400, ranges: 200, idents: 40 };

/// Publishes random states, from the second one on with every write checked.
fn run(seed: u64, limits: Limits, full_every: u32, exact: bool) {
    let store = fake(limits, 0, seed);
    let mut engine = Engine::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut publisher = Publisher::new(store.clone(), NODE.into(), limits);
    let report = publisher.publish(&engine.state, &engine.state.whole(), true).expect("publish");
    assert!(report.is_complete());
    store.0.borrow_mut().full_every = full_every;
    for _ in 0..24 {
        let before = engine.state.clone();
        let delta = engine.step();
        let after = engine.state.clone();
        {
            let mut fake = store.0.borrow_mut();
            fake.flipped = [false; 2];
            fake.expect = Some(match exact {
                true => Expect::Exactly { before: before.clone(), after: before.clone() },
                false => Expect::NoMoreThan(before.clone(), after.clone()),
            });
        }
        let way = engine.pick(8);
        if way == 0 {
            // Another process takes over.
            publisher = Publisher::new(store.clone(), NODE.into(), limits);
        } else if way < 4 {
            while exact && !publisher.settle().expect("settle") {}
        }
        // What settling or adopting leaves is still the state before.
        if exact {
            let mut fake = store.0.borrow_mut();
            fake.flipped = [false; 2];
            fake.expect = Some(Expect::Exactly { before: before.clone(), after: after.clone() });
        }
        let report = match way {
            0 | 1 => publisher.publish(&engine.state, &engine.state.whole(), true),
            _ => publisher.publish(&engine.state, &delta, false),
        };
        let report = report.expect("publish");
        let mut fake = store.0.borrow_mut();
        assert!(report.unplaced.iter().all(|address| fake.unplaced.contains(address)));
        if exact {
            assert!(report.is_complete(), "{report:?}");
        }
        let active = (fake.generation & 1) as usize;
        let whole_prefixes = report.unplaced_prefixes.is_empty();
        for from in universe() {
            for to in others(from) {
                for key in KEYS {
                    let (now, wanted) = (fake.allows(from, to, key, active), after.allows(from, to, key));
                    // A mark outlives its reason until packets that might miss the address are gone.
                    let shut = |end: &IpAddr| report.closed.contains(end) || fake.unplaced.contains(end);
                    if whole_prefixes && !shut(&from) && !shut(&to) {
                        assert_eq!(now, wanted, "{from} to {to} {key:?}");
                    } else {
                        assert!(!now || wanted, "{from} to {to} {key:?} is wider than policy");
                    }
                }
            }
        }
        // From here on only the state after will do, whatever settling does.
        fake.flipped = [true; 2];
        fake.expect = Some(match exact {
            true => Expect::Exactly { before, after },
            false => Expect::NoMoreThan(after.clone(), after),
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packets_see_the_state_before_or_the_state_after(seed in any::<u64>()) {
        run(seed, AMPLE, 0, true);
    }

    #[test]
    fn full_tables_never_allow_more(seed in any::<u64>(), full_every in 2u32..9) {
        run(seed, AMPLE, full_every, false);
    }

    #[test]
    fn small_tables_never_allow_more(seed in any::<u64>(), rows in 4u32..40, ranges in 1u32..20) {
        let limits = Limits { addresses: 6, prefixes: 4, rows, ranges, idents: 16 };
        run(seed, limits, 0, false);
    }
}
