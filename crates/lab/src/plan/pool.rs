//! Addresses for pods and Services: what is taken stays taken, what is new gets the lowest free number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// First and last host number that pods get in a /24: 0 and 255 are no addresses, 1 is left to gateways.
const HOSTS: std::ops::RangeInclusive<u8> = 2..=251;

/// The pod network 10.244.0.0/16 in blocks of 256 addresses, handed to nodes as they need them. Each
/// node also has one IPv6 /64, in which a pod's host number is made of its block and its IPv4 host number.
#[derive(Debug, Default)]
pub(super) struct PodPool {
    /// Blocks (third octet) of each node, in the order in which it got them.
    blocks: BTreeMap<usize, Vec<u8>>,
    owned: BTreeSet<u8>,
    taken: BTreeSet<(u8, u8)>,
    /// How many of each node's numbers were looked at: what was taken then is taken still.
    looked_at: BTreeMap<usize, usize>,
}

impl PodPool {
    /// Gives a node a block of an earlier plan, or any block with its own number first. `None`: all 256 are owned.
    pub fn give_block(&mut self, node: usize, wanted: Option<u8>) -> Option<u8> {
        let wanted = wanted.filter(|block| !self.owned.contains(block));
        let block = wanted.or_else(|| free_block(&self.owned, node))?;
        self.owned.insert(block);
        self.blocks.entry(node).or_default().push(block);
        Some(block)
    }

    /// Takes the addresses that a pod had. `false` when they are not of this node or taken already.
    pub fn keep(&mut self, node: usize, ips: &[IpAddr]) -> bool {
        let Some(IpAddr::V4(v4)) = ips.first() else { return false };
        let [a, b, block, host] = v4.octets();
        let owned = self.blocks.get(&node).is_some_and(|blocks| blocks.contains(&block));
        [a, b] == [10, 244]
            && owned
            && ips == self.addresses(node, block, host)
            && self.taken.insert((block, host))
    }

    /// Gives an address of an earlier plan to nobody.
    pub fn withhold(&mut self, ips: &[IpAddr]) {
        if let Some(IpAddr::V4(v4)) = ips.first() {
            let [_, _, block, host] = v4.octets();
            self.taken.insert((block, host));
        }
    }

    /// The lowest free addresses of a node. `None`: the pod network is full.
    pub fn take(&mut self, node: usize) -> Option<Vec<IpAddr>> {
        let looked_at = self.looked_at.entry(node).or_default();
        let (block, host) = loop {
            let blocks = self.blocks.entry(node).or_default();
            match blocks.get(*looked_at / HOSTS.len()) {
                Some(block) => {
                    // At most 251, the end of HOSTS.
                    let host = HOSTS.start() + (*looked_at % HOSTS.len()) as u8;
                    *looked_at += 1;
                    if !self.taken.contains(&(*block, host)) {
                        break (*block, host);
                    }
                }
                None => {
                    let block = free_block(&self.owned, node)?;
                    self.owned.insert(block);
                    blocks.push(block);
                }
            }
        };
        self.taken.insert((block, host));
        Some(self.addresses(node, block, host))
    }

    /// The node's blocks of both families.
    pub fn pod_cidrs(&self, node: usize) -> Vec<IpNet> {
        let blocks = self.blocks.get(&node).into_iter().flatten();
        let v4 = blocks.map(|b| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, *b, 0), 24)));
        let v6 = Ipv6Net::new_assert(v6_base(node).into(), 64);
        v4.chain([IpNet::V6(v6)]).collect()
    }

    fn addresses(&self, node: usize, block: u8, host: u8) -> Vec<IpAddr> {
        let mut segments = v6_base(node);
        // The node's own block is 0 here, so that the usual case reads as the IPv4 address does.
        let high = if usize::from(block) == node { 0 } else { u16::from(block).wrapping_add(1) };
        segments[6] = high;
        segments[7] = u16::from(host);
        vec![IpAddr::V4(Ipv4Addr::new(10, 244, block, host)), IpAddr::V6(segments.into())]
    }
}

/// The block with the node's own number, or else the highest free one, which other nodes want last.
fn free_block(owned: &BTreeSet<u8>, node: usize) -> Option<u8> {
    let free = |block: &u8| !owned.contains(block);
    u8::try_from(node).ok().filter(free).or_else(|| (0..=u8::MAX).rev().find(free))
}

fn v6_base(node: usize) -> [u16; 8] {
    // A plan has at most 200 nodes.
    let node = u16::try_from(node).unwrap_or(u16::MAX);
    Ipv6Addr::new(0xfd00, 0x10, 0x244, node, 0, 0, 0, 0).segments()
}

/// The third octet of an IPv4 pod block.
pub(super) fn block_of(cidr: &IpNet) -> Option<u8> {
    match cidr {
        IpNet::V4(net) if net.prefix_len() == 24 => Some(net.addr().octets()[2]),
        _ => None,
    }
}

/// Cluster IPs: 10.96.0.0/16 and fd00:10:96::/112, number by number in step.
#[derive(Debug, Default)]
pub(super) struct ServicePool {
    taken: BTreeSet<IpAddr>,
}

/// Numbers below are left to Services that ask for them, as clusters do.
const FIRST_SERVICE: u16 = 32;

impl ServicePool {
    /// Takes an address; `false` when it is taken already.
    pub fn keep(&mut self, ip: IpAddr) -> bool {
        self.taken.insert(ip)
    }

    /// The pair of addresses with the lowest number, of the given families, free in all of them.
    pub fn take(&mut self, first: Option<u16>, v4: bool, v6: bool) -> Option<Vec<IpAddr>> {
        let free = |pool: &Self, ips: &[IpAddr]| ips.iter().all(|ip| !pool.taken.contains(ip));
        let numbers = first.into_iter().chain(FIRST_SERVICE..u16::MAX);
        let ips = numbers.map(|n| pair(n, v4, v6)).find(|ips| free(self, ips))?;
        self.taken.extend(&ips);
        Some(ips)
    }
}

fn pair(number: u16, v4: bool, v6: bool) -> Vec<IpAddr> {
    let [high, low] = number.to_be_bytes();
    let four = v4.then_some(IpAddr::V4(Ipv4Addr::new(10, 96, high, low)));
    let six = v6.then_some(IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, number)));
    four.into_iter().chain(six).collect()
}
