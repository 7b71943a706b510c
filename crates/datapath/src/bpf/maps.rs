//! The pinned maps: [`Store`] on the kernel's tables, settings, counters.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use libbpf_rs::{ErrorKind, MapCore, MapFlags, MapHandle};

use super::layout::{CIDRS, Config, IDENT_SIZE, RawCounters, RawTraffic, UNPLACED_BITS};
use super::sys::Shared;
use crate::publish::grace::Grace;
use crate::publish::layout::{Fields, RANGE_SIZE, RawRange, RawRow, RowKey};
use crate::publish::store::{Contents, Store};
use crate::{Counters, Error, EventRate, Reason, Traffic, UnknownPods};

/// The names of all maps, as in the program.
pub(crate) const NAMES: [&str; 15] = [
    "config", "idents", "ranges", "rows", "addr4", "addr6", "lpm4", "lpm6", "counters", "buckets", "events",
    "edges0", "edges1", "overflow", "answers",
];

/// The kernel's tables.
#[derive(Debug)]
pub(crate) struct Maps {
    config: Shared,
    idents: Shared,
    ranges: Shared,
    rows: MapHandle,
    addr4: MapHandle,
    addr6: MapHandle,
    lpm4: MapHandle,
    lpm6: MapHandle,
    counters: MapHandle,
    grace: Grace,
}

impl Maps {
    /// Opens the maps pinned in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Maps, Error> {
        let open = |name: &str| open_map(directory, name);
        let shared = |name: &str| {
            let map = open(name)?;
            let length = map.value_size() as usize * map.max_entries() as usize;
            Shared::map(map.as_fd(), length)
                .map_err(|error| Error::io(format!("map {name} into memory"), error))
        };
        Ok(Maps {
            config: shared("config")?,
            idents: shared("idents")?,
            ranges: shared("ranges")?,
            rows: open("rows")?,
            addr4: open("addr4")?,
            addr6: open("addr6")?,
            lpm4: open("lpm4")?,
            lpm6: open("lpm6")?,
            counters: open("counters")?,
            grace: Grace::start()?,
        })
    }

    pub(crate) fn set_unknown_pods(&self, unknown_pods: UnknownPods) {
        let strict = u32::from(unknown_pods == UnknownPods::Closed);
        self.config.store_u32(offset_of!(Config, strict), strict);
    }

    pub(crate) fn set_event_rate(&self, rate: EventRate) {
        self.config.store_u32(offset_of!(Config, event_burst), rate.burst);
        self.config.store_u32(offset_of!(Config, event_rate), rate.per_second);
    }

    /// The blocks that hold this node's pods; at most [`CIDRS`] of each family.
    pub(crate) fn set_pod_cidrs(&self, cidrs: &[IpNet]) {
        let (mut v4, mut v6) = (0, 0);
        for cidr in cidrs {
            match cidr {
                IpNet::V4(net) if v4 < CIDRS => {
                    let at = offset_of!(Config, cidr4) + v4 * 8;
                    self.config.store_u32(at, u32::from_ne_bytes(net.network().octets()));
                    self.config.store_u32(at + 4, u32::from_ne_bytes(net.netmask().octets()));
                    v4 += 1;
                }
                IpNet::V6(net) if v6 < CIDRS => {
                    let at = offset_of!(Config, cidr6) + v6 * 32;
                    let words = words_of(net.network()).into_iter().chain(words_of(net.netmask()));
                    for (i, word) in words.enumerate() {
                        self.config.store_u32(at + 4 * i, word);
                    }
                    v6 += 1;
                }
                _ => {}
            }
        }
        self.config.store_u32(offset_of!(Config, cidrs4), v4 as u32);
        self.config.store_u32(offset_of!(Config, cidrs6), v6 as u32);
    }

    pub(crate) fn counters(&self) -> Result<Counters, Error> {
        let cpus = self
            .counters
            .lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| Error::bpf("read the counters", error))?
            .unwrap_or_default();
        let mut sum = Counters::default();
        for cpu in cpus.iter().filter_map(|cpu| Fields::new(cpu, size_of::<RawCounters>())) {
            sum.packets += cpu.u64(offset_of!(RawCounters, packets));
            sum.bytes += cpu.u64(offset_of!(RawCounters, bytes));
            sum.allowed += cpu.u64(offset_of!(RawCounters, allowed));
            for reason in Reason::ALL {
                let at = reason as usize;
                sum.denied[at] += cpu.u64(offset_of!(RawCounters, denied) + 8 * at);
            }
            sum.own_node += cpu.u64(offset_of!(RawCounters, own_node));
            sum.neighbour_discovery += cpu.u64(offset_of!(RawCounters, neighbour_discovery));
            sum.related += cpu.u64(offset_of!(RawCounters, related));
            sum.to_itself += cpu.u64(offset_of!(RawCounters, to_itself));
            sum.no_conntrack += cpu.u64(offset_of!(RawCounters, no_conntrack));
            sum.unclassifiable += cpu.u64(offset_of!(RawCounters, unclassifiable));
            sum.events_attempted += cpu.u64(offset_of!(RawCounters, events_attempted));
            sum.events_submitted += cpu.u64(offset_of!(RawCounters, events_submitted));
            sum.events_lost += cpu.u64(offset_of!(RawCounters, events_lost));
            sum.events_suppressed += cpu.u64(offset_of!(RawCounters, events_suppressed));
            sum.counted += traffic(cpu, offset_of!(RawCounters, counted));
            sum.answers_submitted += cpu.u64(offset_of!(RawCounters, answers_submitted));
            sum.answers_lost += cpu.u64(offset_of!(RawCounters, answers_lost));
            sum.unattributed += traffic(cpu, offset_of!(RawCounters, unattributed));
        }
        Ok(sum)
    }

    /// Which of the two maps of edges packets are counted in.
    pub(crate) fn counting_half(&self) -> usize {
        (self.config.load_u32(offset_of!(Config, totals)) & 1) as usize
    }

    pub(crate) fn count_in_half(&self, half: usize) {
        self.config.store_u32(offset_of!(Config, totals), half as u32);
    }

    fn addresses(&self, address: IpAddr) -> (&MapHandle, Vec<u8>) {
        match address {
            IpAddr::V4(address) => (&self.addr4, address.octets().to_vec()),
            IpAddr::V6(address) => (&self.addr6, address.octets().to_vec()),
        }
    }

    fn prefixes(&self, prefix: IpNet) -> (&MapHandle, Vec<u8>) {
        let mut key = u32::from(prefix.prefix_len()).to_ne_bytes().to_vec();
        match prefix {
            IpNet::V4(net) => {
                key.extend(net.network().octets());
                (&self.lpm4, key)
            }
            IpNet::V6(net) => {
                key.extend(net.network().octets());
                (&self.lpm6, key)
            }
        }
    }
}

impl Store for Maps {
    fn put_address(&mut self, address: IpAddr, index: u32) -> Result<bool, Error> {
        let (map, key) = self.addresses(address);
        put(map, &key, &index.to_ne_bytes(), || format!("put address {address}"))
    }

    fn delete_address(&mut self, address: IpAddr) -> Result<(), Error> {
        let (map, key) = self.addresses(address);
        delete(map, &key, || format!("remove address {address}"))
    }

    fn put_prefix(&mut self, prefix: IpNet, index: u32) -> Result<bool, Error> {
        let (map, key) = self.prefixes(prefix);
        put(map, &key, &index.to_ne_bytes(), || format!("put prefix {prefix}"))
    }

    fn delete_prefix(&mut self, prefix: IpNet) -> Result<(), Error> {
        let (map, key) = self.prefixes(prefix);
        delete(map, &key, || format!("remove prefix {prefix}"))
    }

    fn put_row(&mut self, key: RowKey, row: RawRow) -> Result<bool, Error> {
        put(&self.rows, &key.to_bytes(), &row.to_bytes(), || format!("put {key:?}"))
    }

    fn delete_row(&mut self, key: RowKey) -> Result<(), Error> {
        delete(&self.rows, &key.to_bytes(), || format!("remove {key:?}"))
    }

    fn write_ranges(&mut self, at: u32, ranges: &[RawRange]) {
        let start = at as usize * RANGE_SIZE;
        for (i, range) in ranges.iter().enumerate() {
            let at = start + i * RANGE_SIZE;
            self.ranges.store_u32(at + offset_of!(RawRange, lo), range.lo);
            self.ranges.store_u32(at + offset_of!(RawRange, hi), range.hi);
            self.ranges.store(at + offset_of!(RawRange, decider), range.decider);
            self.ranges.store_u32(at + offset_of!(RawRange, allowed), range.allowed);
        }
    }

    fn word(&self, index: u32, slot: usize) -> u64 {
        self.idents.load(index as usize * IDENT_SIZE + slot * 8)
    }

    fn set_word(&mut self, index: u32, slot: usize, word: u64) {
        self.idents.store(index as usize * IDENT_SIZE + slot * 8, word);
    }

    fn put_word(&mut self, index: u32, slot: usize, word: u64) -> bool {
        self.idents.store_release(index as usize * IDENT_SIZE + slot * 8, word);
        true
    }

    fn generation(&self) -> u64 {
        self.config.load(offset_of!(Config, generation))
    }

    fn flip(&mut self, generation: u64) {
        self.config.store_release(offset_of!(Config, generation), generation);
    }

    fn add_marks(&mut self, addresses: &mut dyn Iterator<Item = IpAddr>) {
        for (at, bits) in marks(addresses).into_iter().enumerate().filter(|(_, bits)| *bits != 0) {
            let at = offset_of!(Config, unplaced) + 8 * at;
            self.config.store(at, self.config.load(at) | bits);
            self.config.store_u32(offset_of!(Config, any_unplaced), 1);
        }
    }

    fn replace_marks(&mut self, addresses: &mut dyn Iterator<Item = IpAddr>) {
        let marks = marks(addresses);
        for (at, bits) in marks.iter().enumerate() {
            self.config.store(offset_of!(Config, unplaced) + 8 * at, *bits);
        }
        let any = u32::from(marks.iter().any(|bits| *bits != 0));
        self.config.store_u32(offset_of!(Config, any_unplaced), any);
    }

    fn begin_grace(&mut self) {
        self.grace.begin();
    }

    fn grace_over(&mut self, wait: bool) -> bool {
        self.grace.is_over(wait)
    }

    fn contents(&self) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        for (map, v6) in [(&self.addr4, false), (&self.addr6, true)] {
            for (key, value) in entries(map)? {
                contents
                    .addresses
                    .push((address_of(&key, v6), Fields::new(&value, 4).map_or(0, |f| f.u32(0))));
            }
        }
        for (map, v6) in [(&self.lpm4, false), (&self.lpm6, true)] {
            for (key, value) in entries(map)? {
                let length = Fields::new(&key, 4).map_or(0, |f| f.u32(0)) as u8;
                if let Some(prefix) = prefix_of(address_of(&key[4..], v6), length) {
                    contents.prefixes.push((prefix, Fields::new(&value, 4).map_or(0, |f| f.u32(0))));
                }
            }
        }
        for (key, value) in entries(&self.rows)? {
            if let (Some(key), Some(row)) = (RowKey::from_bytes(&key), RawRow::from_bytes(&value)) {
                contents.rows.push((key, row));
            }
        }
        Ok(contents)
    }
}

/// Reads a [`RawTraffic`].
pub(crate) fn traffic(fields: Fields<'_>, at: usize) -> Traffic {
    Traffic {
        connections: fields.u64(at + offset_of!(RawTraffic, connections)),
        packets: fields.u64(at + offset_of!(RawTraffic, packets)),
        bytes: fields.u64(at + offset_of!(RawTraffic, bytes)),
        reply_packets: fields.u64(at + offset_of!(RawTraffic, reply_packets)),
        reply_bytes: fields.u64(at + offset_of!(RawTraffic, reply_bytes)),
    }
}

pub(crate) fn open_map(directory: &Path, name: &str) -> Result<MapHandle, Error> {
    MapHandle::from_pinned_path(directory.join(name))
        .map_err(|error| Error::bpf(format!("open map {name}"), error))
}

fn put(map: &MapHandle, key: &[u8], value: &[u8], what: impl Fn() -> String) -> Result<bool, Error> {
    match map.update(key, value, MapFlags::ANY) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::TooBig | ErrorKind::OutOfMemory) => Ok(false),
        Err(error) => Err(Error::bpf(what(), error)),
    }
}

fn delete(map: &MapHandle, key: &[u8], what: impl Fn() -> String) -> Result<(), Error> {
    match map.delete(key) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::bpf(what(), error)),
    }
}

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

fn entries(map: &MapHandle) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for key in map.keys() {
        let value =
            map.lookup(&key, MapFlags::ANY).map_err(|error| Error::bpf("read the kernel's tables", error))?;
        entries.extend(value.map(|value| (key, value)));
    }
    Ok(entries)
}

/// The bits of `Config::unplaced`, by the hash that the program uses.
fn marks(addresses: &mut dyn Iterator<Item = IpAddr>) -> Vec<u64> {
    let mut bits = vec![0; UNPLACED_BITS / 64];
    for address in addresses {
        let words = match address {
            IpAddr::V4(address) => [u32::from_ne_bytes(address.octets()), 0, 0, 0],
            IpAddr::V6(address) => words_of(address),
        };
        let hash = (words.into_iter().fold(0, |a, b| a ^ b).wrapping_mul(0x9e37_79b1) >> 16) as usize;
        bits[hash / 64] |= 1 << (hash % 64);
    }
    bits
}

fn words_of(address: Ipv6Addr) -> [u32; 4] {
    let octets = address.octets();
    [0, 4, 8, 12].map(|at| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]))
}

/// The key sizes are the maps' own: 4 and 16 bytes.
fn address_of(key: &[u8], v6: bool) -> IpAddr {
    match v6 {
        false => Ipv4Addr::from(Fields::new(key, 4).map_or([0; 4], |f| f.bytes(0))).into(),
        true => Ipv6Addr::from(Fields::new(key, 16).map_or([0; 16], |f| f.bytes(0))).into(),
    }
}

fn prefix_of(address: IpAddr, length: u8) -> Option<IpNet> {
    match address {
        IpAddr::V4(address) => Ipv4Net::new(address, length).ok().map(IpNet::V4),
        IpAddr::V6(address) => Ipv6Net::new(address, length).ok().map(IpNet::V6),
    }
}
