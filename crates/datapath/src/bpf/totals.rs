//! Takes what the program has counted by edge: two maps take turns.
//!
//! ```text
//! packets -> map A          (a packet reads once which map it is counted in)
//!   turn: packets -> map B, those that began before still -> A
//!   grace period: nobody writes A; read it, empty it, and turn again
//! ```

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use podgate_policy::{DeciderId, Direction, Verdict};

use super::layout::{
    EDGE_DESTINATION_LOCAL, EDGE_DESTINATION_POD, EDGE_SOURCE_LOCAL, EDGE_SOURCE_POD, IPV4, RawEdge,
    RawTraffic,
};
use super::maps::{Maps, open_map, traffic};
use super::sys::take_batch;
use crate::publish::grace::Grace;
use crate::publish::layout::Fields;
use crate::{EdgeTotal, Error, Reason, Taken, Traffic};

/// Entries that are read at a time.
const BATCH: u32 = 1024;

#[derive(Debug)]
pub(crate) struct Totals {
    halves: [MapHandle; 2],
    overflow: MapHandle,
    grace: Grace,
    /// The half that packets don't go to any more, once the grace period is over.
    ended: Option<usize>,
    cpus: usize,
}

impl Totals {
    /// Opens the maps pinned in a directory. What another process has ended and not taken comes first.
    pub(crate) fn open(directory: &Path) -> Result<Totals, Error> {
        let open = |name| open_map(directory, name);
        let cpus = libbpf_rs::num_possible_cpus().map_err(|error| Error::bpf("count the CPUs", error))?;
        Ok(Totals {
            halves: [open("edges0")?, open("edges1")?],
            overflow: open("overflow")?,
            grace: Grace::start()?,
            ended: None,
            cpus,
        })
    }

    /// After another process: its last turn may have been a moment ago.
    pub(crate) fn adopt(&mut self, maps: &Maps) {
        self.ended = Some(maps.counting_half() ^ 1);
        self.grace.begin();
    }

    /// Hands over what was counted until the last call, and ends what was counted since.
    pub(crate) fn take(&mut self, maps: &Maps, sink: &mut dyn FnMut(EdgeTotal)) -> Result<Taken, Error> {
        if !self.grace.is_over(false) {
            return Ok(Taken::default());
        }
        let mut taken = Taken::default();
        if let Some(half) = self.ended {
            self.empty(half, &mut taken, sink)?;
        }
        let half = maps.counting_half();
        maps.count_in_half(half ^ 1);
        self.ended = Some(half);
        self.grace.begin();
        Ok(taken)
    }

    /// Hands over everything, after the program has been detached; waits for packets that are still in it.
    pub(crate) fn take_rest(&mut self, sink: &mut dyn FnMut(EdgeTotal)) -> Result<Taken, Error> {
        self.grace.begin();
        self.grace.is_over(true);
        let mut taken = Taken::default();
        (0..self.halves.len()).try_for_each(|half| self.empty(half, &mut taken, sink))?;
        Ok(taken)
    }

    fn empty(&self, half: usize, taken: &mut Taken, sink: &mut dyn FnMut(EdgeTotal)) -> Result<(), Error> {
        let map = &self.halves[half];
        let failed = |error| Error::io("take the totals", error);
        let room = BATCH.min(map.max_entries());
        let (key_size, value_size) = (size_of::<RawEdge>(), size_of::<RawTraffic>() * self.cpus);
        let mut keys = vec![0; room as usize * key_size];
        let mut values = vec![0; room as usize * value_size];
        let mut cursor = None;
        loop {
            let buffers = (&mut keys[..], &mut values[..]);
            let batch = take_batch(map.as_fd(), &mut cursor, room, buffers, (key_size, value_size));
            let batch = batch.map_err(failed)?;
            let entries = keys.chunks_exact(key_size).zip(values.chunks_exact(value_size));
            for (key, value) in entries.take(batch.count) {
                if let Some(total) = parse(key, sum(value)) {
                    taken.edges += 1;
                    sink(total);
                }
            }
            if batch.is_last {
                break;
            }
        }
        taken.unattributed += self.empty_overflow(half)?;
        Ok(())
    }

    fn empty_overflow(&self, half: usize) -> Result<Traffic, Error> {
        let failed = |error| Error::bpf("take the totals without room", error);
        let key = (half as u32).to_ne_bytes();
        let cpus = self.overflow.lookup_percpu(&key, MapFlags::ANY).map_err(failed)?.unwrap_or_default();
        let mut total = Traffic::default();
        cpus.iter().for_each(|cpu| total += sum(cpu));
        if total != Traffic::default() {
            let none = vec![vec![0; size_of::<RawTraffic>()]; self.cpus];
            self.overflow.update_percpu(&key, &none, MapFlags::ANY).map_err(failed)?;
        }
        Ok(total)
    }
}

/// The sum of the values of all CPUs.
fn sum(values: &[u8]) -> Traffic {
    let mut total = Traffic::default();
    for value in values.chunks_exact(size_of::<RawTraffic>()) {
        if let Some(fields) = Fields::new(value, size_of::<RawTraffic>()) {
            total += traffic(fields, 0);
        }
    }
    total
}

fn parse(key: &[u8], traffic: Traffic) -> Option<EdgeTotal> {
    let raw = Fields::new(key, size_of::<RawEdge>())?;
    let address = |at: usize| -> IpAddr {
        match raw.u8(offset_of!(RawEdge, family)) {
            IPV4 => Ipv4Addr::from(raw.bytes(at)).into(),
            _ => Ipv6Addr::from(raw.bytes(at)).into(),
        }
    };
    let denied_by = match raw.u8(offset_of!(RawEdge, denied_by)) {
        1 => Some(Direction::Egress),
        2 => Some(Direction::Ingress),
        _ => None,
    };
    let ends = raw.u8(offset_of!(RawEdge, ends));
    Some(EdgeTotal {
        source: address(offset_of!(RawEdge, source)),
        destination: address(offset_of!(RawEdge, destination)),
        destination_port: raw.u16(offset_of!(RawEdge, destination_port)),
        protocol: raw.u8(offset_of!(RawEdge, protocol)),
        egress: DeciderId(raw.u64(offset_of!(RawEdge, egress_decider))),
        ingress: DeciderId(raw.u64(offset_of!(RawEdge, ingress_decider))),
        verdict: if denied_by.is_some() { Verdict::Denied } else { Verdict::Allowed },
        denied_by,
        reason: *Reason::ALL.get(usize::from(raw.u8(offset_of!(RawEdge, reason))))?,
        source_is_pod: ends & EDGE_SOURCE_POD != 0,
        source_is_local: ends & EDGE_SOURCE_LOCAL != 0,
        destination_is_pod: ends & EDGE_DESTINATION_POD != 0,
        destination_is_local: ends & EDGE_DESTINATION_LOCAL != 0,
        traffic,
    })
}
