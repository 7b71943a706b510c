//! Reads what rules log: packets, in a group of the network namespace's own.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use podgate_policy::Direction;

use super::netlink::{Attrs, Socket, attributes, be32, messages, text};
use super::ruleset::direction_name;
use crate::netns::NetNs;
use crate::{Error, Reason};

const SUBSYSTEM: u16 = 4;
const PACKET: u16 = SUBSYSTEM << 8;
const CONFIG: u16 = SUBSYSTEM << 8 | 1;

/// The hook's number.
const FORWARD: u8 = 2;

/// Enough for all headers that matter.
const COPIED: u32 = 256;

/// How long a predecessor that is ending may hold the group.
const HANDOVER: Duration = Duration::from_secs(2);

/// What a packet's connection was to conntrack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    /// Established, in the direction of its first packet.
    Established,
    Reply,
    Untracked,
}

/// What the rule that logged it knew of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) epoch: u32,
    pub(super) slot: usize,
    /// `None`: allowed.
    pub(super) denied: Option<(Direction, Reason)>,
    pub(super) state: State,
    /// Logged where packets are forwarded, not where they leave.
    pub(super) is_forwarding: bool,
}

impl Logged {
    fn parse(prefix: &str) -> Option<Logged> {
        let mut words = prefix.split(' ');
        let (_, epoch, slot) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        if words.next()? == "allowed" {
            return Some(Logged { epoch, slot, denied: None, state: State::New, is_forwarding: false });
        }
        let direction = words.next()?;
        let direction =
            [Direction::Egress, Direction::Ingress].into_iter().find(|d| direction_name(*d) == direction)?;
        let reason = *Reason::ALL.get(words.next()?.parse::<usize>().ok()?)?;
        let state = match words.next()? {
            "n" => State::New,
            "e" => State::Established,
            "r" => State::Reply,
            _ => State::Untracked,
        };
        Some(Logged { epoch, slot, denied: Some((direction, reason)), state, is_forwarding: false })
    }
}

/// The packet's own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) protocol: u8,
    pub(super) icmp: Option<(u8, u8)>,
    pub(super) tcp_flags: u8,
    pub(super) length: u32,
}

/// A bound log group.
#[derive(Debug)]
pub(super) struct Log {
    socket: Socket,
    next: Option<u32>,
    /// How many the kernel numbered and couldn't send.
    pub(super) lost: u64,
}

impl Log {
    /// Takes hold of a group; fails when another process has it.
    pub(super) fn open(netns: &NetNs, group: u16, buffer: u32) -> Result<Log, Error> {
        let mut socket = Socket::open(netns)?;
        socket.set_receive_buffer(buffer as usize)?;
        let [high, low] = group.to_be_bytes();
        let mut config = |fill: &dyn Fn(&mut Attrs)| {
            let mut attrs = Attrs::default();
            fill(&mut attrs);
            socket.request(CONFIG, [0, 0, high, low], &attrs)
        };
        const BIND: u8 = 1;
        const COPY_PACKET: u8 = 2;
        const NUMBERED: u16 = 1;
        let deadline = Instant::now() + HANDOVER;
        loop {
            match config(&|a| a.bytes(1, &[BIND])) {
                Ok(_) => break,
                // The kernel says so of a group that is another's, too. One that was killed just now has it
                // until the last of its threads has ended.
                Err(error)
                    if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::PermissionDenied) =>
                {
                    if Instant::now() > deadline {
                        return Err(Error::LogGroup { group });
                    }
                    std::thread::sleep(HANDOVER / 100);
                }
                Err(error) => return Err(Error::io(format!("bind log group {group}"), error)),
            }
        }
        let set = |a: &mut Attrs| {
            let [b0, b1, b2, b3] = COPIED.to_be_bytes();
            a.bytes(2, &[b0, b1, b2, b3, COPY_PACKET, 0]);
            // Each packet by itself: events must not wait in the kernel beyond the state that they belong to.
            a.u32(5, 1);
            a.u16(6, NUMBERED);
        };
        config(&set).map_err(|error| Error::io(format!("set up log group {group}"), error))?;
        Ok(Log { socket, next: None, lost: 0 })
    }

    /// Hands over all that is there now.
    pub(super) fn drain(&mut self, mut sink: impl FnMut(Logged, Packet)) -> Result<(), Error> {
        loop {
            let length = match self.socket.receive_now() {
                Ok(Some(length)) => length,
                Ok(None) => return Ok(()),
                // The kernel had more than fits: the numbers tell how many.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    continue;
                }
                Err(error) => return Err(Error::io("read the log group", error)),
            };
            for message in messages(self.socket.received(length)).filter(|message| message.kind == PACKET) {
                let (mut logged, mut packet, mut number, mut hook) = (None, None, None, None);
                for (kind, value) in attributes(message.attrs()) {
                    match kind {
                        1 => hook = value.get(2).copied(),
                        9 => packet = parse(value),
                        10 => logged = Logged::parse(text(value)),
                        12 => number = be32(value),
                        _ => {}
                    }
                }
                if let Some(number) = number {
                    let expected = self.next.replace(number.wrapping_add(1)).unwrap_or(0);
                    self.lost += u64::from(number.wrapping_sub(expected));
                }
                match (logged, packet) {
                    (Some(logged), Some(packet)) => {
                        sink(Logged { is_forwarding: hook == Some(FORWARD), ..logged }, packet);
                    }
                    _ => self.lost += 1,
                }
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Packet> {
    let be16 = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let v4 = bytes.first()? >> 4 == 4;
    let (source, destination, length, protocol, upper): (IpAddr, IpAddr, u32, u8, Option<usize>) = if v4 {
        let address =
            |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?).into());
        let is_later_fragment = be16(6)? & 0x1fff != 0;
        let upper = (!is_later_fragment).then(|| usize::from(bytes[0] & 15) * 4);
        (address(12)?, address(16)?, be16(2)?.into(), *bytes.get(9)?, upper)
    } else {
        let address =
            |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?).into());
        let (protocol, upper) = skip_extension_headers(bytes)?;
        (address(8)?, address(24)?, u32::from(be16(4)?) + 40, protocol, upper)
    };
    let mut packet = Packet {
        source,
        destination,
        source_port: 0,
        destination_port: 0,
        protocol,
        icmp: None,
        tcp_flags: 0,
        length,
    };
    let Some(upper) = upper else { return Some(packet) };
    if protocol == if v4 { 1 } else { 58 } {
        packet.icmp = bytes.get(upper..upper + 2).map(|head| (head[0], head[1]));
    } else if [6, 17, 132].contains(&protocol)
        && let (Some(source), Some(destination)) = (be16(upper), be16(upper + 2))
    {
        (packet.source_port, packet.destination_port) = (source, destination);
        if protocol == 6 {
            packet.tcp_flags = bytes.get(upper + 13).copied().unwrap_or(0);
        }
    }
    Some(packet)
}

/// The upper layer's protocol, and where it begins; `None` there in a later fragment.
fn skip_extension_headers(bytes: &[u8]) -> Option<(u8, Option<usize>)> {
    let (mut protocol, mut at) = (*bytes.get(6)?, 40);
    while let 0 | 43 | 44 | 51 | 60 = protocol {
        let Some(header) = bytes.get(at..at + 8) else { return Some((protocol, None)) };
        let length = usize::from(header[1]);
        if protocol == 44 && (header[2] != 0 || header[3] & 0xf8 != 0) {
            return Some((header[0], None));
        }
        at += match protocol {
            44 => 8,
            51 => (length + 2) * 4,
            _ => (length + 1) * 8,
        };
        protocol = header[0];
    }
    Some((protocol, Some(at)))
}

#[cfg(test)]
mod tests {
    use super::super::names::Names;
    use super::*;

    #[test]
    fn a_prefix_tells_what_the_rule_knew() {
        let names = Names { epoch: 12 };
        let allowed = Logged { epoch: 12, slot: 1, denied: None, state: State::New, is_forwarding: false };
        assert_eq!(Logged::parse(&names.prefix_of_allowed(1)), Some(allowed));
        for reason in Reason::ALL {
            let denied = Some((Direction::Ingress, reason));
            let prefix = names.prefix_of_denied(0, reason, Direction::Ingress, 'r');
            let expected = Logged { epoch: 12, slot: 0, denied, state: State::Reply, is_forwarding: false };
            assert_eq!(Logged::parse(&prefix), Some(expected), "{prefix}");
        }
        assert_eq!(Logged::parse("IN="), None);
    }

    #[test]
    fn ports_are_found_behind_extension_headers() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 28, 0, 64];
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        bytes.extend(Ipv6Addr::UNSPECIFIED.octets());
        bytes.extend([44, 0, 1, 4, 0, 0, 0, 0]);
        bytes.extend([17, 0, 0, 1, 0, 0, 0, 9]);
        bytes.extend([0x12, 0x34, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
        let packet = parse(&bytes).expect("a packet");
        assert_eq!((packet.protocol, packet.source_port, packet.destination_port), (17, 0x1234, 53));
        assert_eq!((packet.source, packet.length), (Ipv6Addr::LOCALHOST.into(), 68));
        bytes[51] = 8;
        let later = parse(&bytes).expect("a packet");
        assert_eq!((later.protocol, later.destination_port), (17, 0), "a later fragment has no ports");
    }
}
