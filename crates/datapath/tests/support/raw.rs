//! Packets made by hand, sent from any address.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, Protocol, SendFlags, SocketFlags, SocketType, sendto, socket_with};

use super::test_run::packet;

/// Sends IPv4 and IPv6 packets as they are. Made in the network namespace that they leave from.
pub struct RawSockets {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl RawSockets {
    pub fn open() -> RawSockets {
        let raw = Protocol::from_raw(std::num::NonZeroU32::new(255).expect("not zero"));
        let open = |family| socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(raw));
        RawSockets {
            v4: open(AddressFamily::INET).expect("a raw socket"),
            v6: open(AddressFamily::INET6).expect("a raw socket"),
        }
    }

    pub fn send(&self, from: IpAddr, to: IpAddr, protocol: u8, upper: &[u8]) {
        let mut bytes = packet(from, to, protocol, upper);
        let socket = match to {
            IpAddr::V4(_) => {
                // The kernel fills in the header's checksum.
                bytes[8] = 64;
                &self.v4
            }
            IpAddr::V6(_) => &self.v6,
        };
        sendto(socket, &bytes, SendFlags::empty(), &SocketAddr::new(to, 0)).expect("send a packet");
    }
}

/// A first packet of TCP, UDP, SCTP or ICMP, with the checksum that conntrack wants to see.
pub fn first_packet(from: IpAddr, to: IpAddr, protocol: u8, ports: (u16, u16)) -> Vec<u8> {
    let (source, destination) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
    let head = [source, destination].concat();
    match protocol {
        6 => {
            let mut tcp = [&head[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]].concat();
            seal(from, to, protocol, &mut tcp, 16);
            tcp
        }
        17 => {
            let mut udp = [&head[..], &[0, 12, 0, 0], b"ping"].concat();
            seal(from, to, protocol, &mut udp, 6);
            udp
        }
        132 => {
            let init = [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
            let mut sctp = [&head[..], &[0; 8], &init].concat();
            let sum = crc32c(&sctp).to_le_bytes();
            sctp[8..12].copy_from_slice(&sum);
            sctp
        }
        1 | 58 => {
            let kind = if protocol == 1 { 8 } else { 128 };
            let mut echo = [&[kind, 0, 0, 0][..], &source, &[0, 1], b"ping"].concat();
            seal(from, to, protocol, &mut echo, 2);
            echo
        }
        _ => head,
    }
}

fn seal(from: IpAddr, to: IpAddr, protocol: u8, upper: &mut [u8], at: usize) {
    let mut sum = 0u32;
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        }
    };
    // ICMP of IPv4 has no pseudo header.
    if protocol != 1 {
        for end in [from, to] {
            match end {
                IpAddr::V4(end) => add(&end.octets()),
                IpAddr::V6(end) => add(&end.octets()),
            }
        }
        add(&[0, protocol]);
        add(&(upper.len() as u16).to_be_bytes());
    }
    add(upper);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    };
    upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
