//! Real connection attempts, many at a time, from the calling thread's network namespace.
//!
//! TCP and UDP have a socket each; SCTP and ICMP echo share one raw socket per family and direction.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt,
};

use super::{icmp, sctp};

/// What UDP probes say. Short on purpose: an answer holds more than this.
const GREETING: &[u8] = b"podgate?\n";
/// First source port of SCTP probes: above the kernel's usual ephemeral range, which ends at 60999.
const SCTP_PORT: u16 = 61_000;
const SCTP_PORTS: usize = 4000;
/// Marks events of raw sockets; attempts count up from 0.
const RAW_TOKEN: u64 = 1 << 32;

/// How an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wire {
    /// A TCP connection.
    Tcp,
    /// A UDP datagram that is answered.
    Udp,
    /// An SCTP INIT that is answered.
    Sctp,
    /// An ICMP echo.
    Echo,
}

impl Wire {
    /// The IANA protocol number, for an address of this family.
    pub fn number(self, is_v4: bool) -> u8 {
        match self {
            Wire::Tcp => 6,
            Wire::Udp => 17,
            Wire::Sctp => 132,
            Wire::Echo if is_v4 => 1,
            Wire::Echo => 58,
        }
    }

    /// The usual name.
    pub fn as_str(self) -> &'static str {
        match self {
            Wire::Tcp => "TCP",
            Wire::Udp => "UDP",
            Wire::Sctp => "SCTP",
            Wire::Echo => "ICMP",
        }
    }
}

/// One connection to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address to connect from; `None`: the kernel chooses.
    pub from: Option<IpAddr>,
    /// Where to.
    pub to: SocketAddr,
    /// How.
    pub wire: Wire,
    /// Whether to wait for the name of who answers.
    pub ask_name: bool,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other end answered, were it by refusing. The text is what it said, as far as asked for.
    Reached(Option<String>),
    /// Nothing came back in time.
    Dropped,
    /// The attempt could not be made, or the network said that nobody is there.
    Failed(String),
}

/// Tries all attempts, at most `window` at a time, each for `timeout`. The answers are in the same order.
///
/// # Errors
/// When the system refuses to give an epoll instance.
pub fn try_all(attempts: &[Attempt], window: usize, timeout: Duration) -> io::Result<Vec<Outcome>> {
    let mut run = Run {
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        attempts,
        outcomes: vec![None; attempts.len()],
        sockets: (0..attempts.len()).map(|_| None).collect(),
        deadlines: VecDeque::new(),
        open: 0,
        raws: Vec::new(),
        tag_base: tag_base(),
    };
    let mut next = 0;
    loop {
        while run.open < window.max(1) && next < attempts.len() {
            run.start(next, timeout);
            next += 1;
        }
        if run.open == 0 && next == attempts.len() {
            break;
        }
        run.wait()?;
        run.expire();
    }
    Ok(run.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Dropped)).collect())
}

struct Run<'a> {
    epoll: OwnedFd,
    attempts: &'a [Attempt],
    outcomes: Vec<Option<Outcome>>,
    sockets: Vec<Option<Socket>>,
    /// In the order of starting, which is the order of falling due.
    deadlines: VecDeque<(Instant, usize)>,
    open: usize,
    raws: Vec<Raw>,
    tag_base: u32,
}

/// An attempt's own socket and how far it has come. Attempts on raw sockets have none.
struct Socket {
    fd: OwnedFd,
    connected: bool,
}

/// A raw socket that attempts of one protocol, family and source address share.
struct Raw {
    fd: OwnedFd,
    wire: Wire,
    is_v4: bool,
    from: Option<IpAddr>,
}

impl Run<'_> {
    fn start(&mut self, index: usize, timeout: Duration) {
        self.open += 1;
        self.deadlines.push_back((Instant::now() + timeout, index));
        let started = match self.attempts[index].wire {
            Wire::Tcp | Wire::Udp => self.start_socket(index),
            Wire::Sctp | Wire::Echo => self.start_raw(index),
        };
        match started {
            Ok(()) => {}
            Err(Errno::CONNREFUSED) => self.finish(index, Outcome::Reached(None)),
            Err(error) => self.finish(index, failed(error)),
        }
    }

    fn start_socket(&mut self, index: usize) -> Result<(), Errno> {
        let attempt = &self.attempts[index];
        let kind = if attempt.wire == Wire::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
        let fd = net::socket_with(family(attempt.to.ip()), kind, flags(), None)?;
        if let Some(from) = attempt.from {
            net::bind(&fd, &SocketAddr::new(from, 0))?;
        }
        if attempt.wire == Wire::Tcp {
            // Closing with a reset leaves neither a waiting socket here nor a conntrack entry that lasts.
            sockopt::set_socket_linger(&fd, Some(Duration::ZERO))?;
        }
        let interest = match net::connect(&fd, &attempt.to) {
            Err(Errno::INPROGRESS) => EventFlags::OUT,
            Err(error) => return Err(error),
            Ok(()) if attempt.wire == Wire::Udp => {
                net::send(&fd, GREETING, SendFlags::empty())?;
                EventFlags::IN
            }
            Ok(()) => EventFlags::OUT,
        };
        epoll::add(&self.epoll, &fd, EventData::new_u64(index as u64), interest)?;
        self.sockets[index] = Some(Socket { fd, connected: attempt.wire == Wire::Udp });
        Ok(())
    }

    fn start_raw(&mut self, index: usize) -> Result<(), Errno> {
        let attempt = &self.attempts[index];
        let raw = self.raw(attempt.wire, attempt.to.is_ipv4(), attempt.from)?;
        // Raw sockets take no port; SCTP's is inside the packet.
        let to = SocketAddr::new(attempt.to.ip(), 0);
        let fd = &self.raws[raw].fd;
        match attempt.wire {
            Wire::Sctp => {
                let packet = sctp::init(sctp_port(index), attempt.to.port(), self.tag(index));
                net::sendto(fd, &packet, SendFlags::empty(), &to)?;
            }
            _ => {
                let packet = icmp::request(attempt.to.ip(), self.echo_id(index), index as u16);
                net::sendto(fd, &packet, SendFlags::empty(), &to)?;
            }
        }
        Ok(())
    }

    /// The raw socket for attempts of this kind, opened when there is none yet.
    fn raw(&mut self, wire: Wire, is_v4: bool, from: Option<IpAddr>) -> Result<usize, Errno> {
        let same = |raw: &Raw| (raw.wire, raw.is_v4, raw.from) == (wire, is_v4, from);
        if let Some(at) = self.raws.iter().position(same) {
            return Ok(at);
        }
        let (domain, any): (_, IpAddr) = match is_v4 {
            true => (AddressFamily::INET, Ipv4Addr::UNSPECIFIED.into()),
            false => (AddressFamily::INET6, Ipv6Addr::UNSPECIFIED.into()),
        };
        let protocol = raw_protocol(wire, is_v4);
        let fd = net::socket_with(domain, SocketType::RAW, flags(), Some(protocol))?;
        net::bind(&fd, &SocketAddr::new(from.unwrap_or(any), 0))?;
        // A raw socket gets the whole namespace's traffic of its protocol.
        sockopt::set_socket_recv_buffer_size(&fd, 1 << 20)?;
        let at = self.raws.len();
        epoll::add(&self.epoll, &fd, EventData::new_u64(RAW_TOKEN + at as u64), EventFlags::IN)?;
        self.raws.push(Raw { fd, wire, is_v4, from });
        Ok(at)
    }

    /// Waits until something happens, at most until the next attempt falls due.
    fn wait(&mut self) -> io::Result<()> {
        let Some((due, _)) = self.deadlines.front() else { return Ok(()) };
        let left = due.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut events = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let event: &epoll::Event = event;
            match event.data.u64() {
                raw if raw >= RAW_TOKEN => self.read_raw((raw - RAW_TOKEN) as usize),
                index => self.progress(index as usize),
            }
        }
        Ok(())
    }

    /// Something happened on an attempt's own socket.
    fn progress(&mut self, index: usize) {
        let attempt = &self.attempts[index];
        let Some(socket) = &mut self.sockets[index] else { return };
        if !socket.connected {
            match sockopt::socket_error(&socket.fd) {
                Ok(Ok(())) => {}
                Ok(Err(Errno::CONNREFUSED)) => return self.finish(index, Outcome::Reached(None)),
                Ok(Err(error)) | Err(error) => return self.finish(index, failed(error)),
            }
            socket.connected = true;
            if !attempt.ask_name {
                return self.finish(index, Outcome::Reached(None));
            }
            let asked =
                epoll::modify(&self.epoll, &socket.fd, EventData::new_u64(index as u64), EventFlags::IN);
            if let Err(error) = asked {
                self.finish(index, failed(error));
            }
            return;
        }
        let mut text = [0; 512];
        match net::recv(&socket.fd, &mut text[..], RecvFlags::empty()) {
            Ok((length, _)) => self.finish(index, Outcome::Reached(first_line(&text[..length]))),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::CONNREFUSED | Errno::CONNRESET) => self.finish(index, Outcome::Reached(None)),
            Err(error) => self.finish(index, failed(error)),
        }
    }

    fn read_raw(&mut self, at: usize) {
        let mut packet = [0; 2048];
        loop {
            let Raw { fd, wire, is_v4, .. } = &self.raws[at];
            let length = match net::recv(fd, &mut packet[..], RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let Some(payload) = payload(&packet[..length], *is_v4) else { continue };
            let index = match wire {
                Wire::Sctp => sctp::parse(payload).and_then(|reply| {
                    let index = reply.tag.wrapping_sub(self.tag_base) as usize;
                    let attempt = self.attempts.get(index)?;
                    let is_ours = attempt.wire == Wire::Sctp
                        && (reply.to_port, reply.from_port) == (sctp_port(index), attempt.to.port());
                    is_ours.then_some(index)
                }),
                _ => icmp::parse_reply(payload, *is_v4).and_then(|(id, sequence)| {
                    let high = id.wrapping_sub(self.tag_base as u16) as usize;
                    let index = high << 16 | sequence as usize;
                    let attempt = self.attempts.get(index)?;
                    (attempt.wire == Wire::Echo && attempt.to.is_ipv4() == *is_v4).then_some(index)
                }),
            };
            if let Some(index) = index {
                self.finish(index, Outcome::Reached(None));
            }
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((due, index)) = self.deadlines.front().copied() {
            // What is finished needs no more waiting; else the loop would sleep for its deadline.
            let is_done = self.outcomes[index].is_some();
            if !is_done && due > now {
                return;
            }
            self.deadlines.pop_front();
            if is_done {
                continue;
            }
            // Who connected was reached, also when no name came.
            let connected = self.attempts[index].wire == Wire::Tcp
                && self.sockets[index].as_ref().is_some_and(|socket| socket.connected);
            self.finish(index, if connected { Outcome::Reached(None) } else { Outcome::Dropped });
        }
    }

    fn finish(&mut self, index: usize, outcome: Outcome) {
        if self.outcomes[index].is_none() {
            self.outcomes[index] = Some(outcome);
            self.sockets[index] = None;
            self.open -= 1;
        }
    }

    /// Tells our associations apart, and from those of an earlier run.
    fn tag(&self, index: usize) -> u32 {
        self.tag_base.wrapping_add(index as u32)
    }

    fn echo_id(&self, index: usize) -> u16 {
        (self.tag_base as u16).wrapping_add((index >> 16) as u16)
    }
}

fn sctp_port(index: usize) -> u16 {
    SCTP_PORT + (index % SCTP_PORTS) as u16
}

/// A number that differs from run to run; no attempt's tag becomes 0, which the standard forbids.
fn tag_base() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0) as u32 & 0x7fff_ffff) | 1
}

fn failed(error: Errno) -> Outcome {
    Outcome::Failed(io::Error::from(error).to_string())
}

fn flags() -> SocketFlags {
    SocketFlags::NONBLOCK | SocketFlags::CLOEXEC
}

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn raw_protocol(wire: Wire, is_v4: bool) -> Protocol {
    match (wire, is_v4) {
        (Wire::Sctp, _) => ipproto::SCTP,
        (_, true) => ipproto::ICMP,
        (_, false) => ipproto::ICMPV6,
    }
}

/// IPv4 raw sockets deliver the IP header, IPv6 ones don't.
fn payload(packet: &[u8], is_v4: bool) -> Option<&[u8]> {
    if !is_v4 {
        return Some(packet);
    }
    packet.get(usize::from(packet.first()? & 0x0f) * 4..)
}

fn first_line(text: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(text).lines().next()?.trim().to_owned();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, UdpSocket};

    fn attempt(to: SocketAddr, wire: Wire, ask_name: bool) -> Attempt {
        Attempt { from: None, to, wire, ask_name }
    }

    #[test]
    fn tcp_that_listens_refuses_or_names_itself() {
        let named = TcpListener::bind("127.0.0.1:0").unwrap();
        let named_at = named.local_addr().unwrap();
        let closed_at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut client, _) = named.accept().unwrap();
                // The one that doesn't ask resets at once.
                let _ = client.write_all(b"shop/web-0\nmore\n");
            }
        });
        let attempts = [
            attempt(named_at, Wire::Tcp, false),
            attempt(closed_at, Wire::Tcp, false),
            attempt(named_at, Wire::Tcp, true),
        ];
        let outcomes = try_all(&attempts, 8, Duration::from_secs(5)).unwrap();
        server.join().unwrap();
        assert_eq!(
            outcomes,
            [Outcome::Reached(None), Outcome::Reached(None), Outcome::Reached(Some("shop/web-0".into()))]
        );
    }

    #[test]
    fn a_listener_without_a_name_is_reached_all_the_same() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let attempts = [attempt(silent.local_addr().unwrap(), Wire::Tcp, true)];
        let outcomes = try_all(&attempts, 1, Duration::from_millis(50)).unwrap();
        assert_eq!(outcomes, [Outcome::Reached(None)]);
    }

    #[test]
    fn udp_answers_refuses_or_stays_silent() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
        let echo_at = echo.local_addr().unwrap();
        let closed_at = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut text = [0; 64];
            let (_, from) = echo.recv_from(&mut text).unwrap();
            echo.send_to(b"shop/dns-0", from).unwrap();
        });
        let attempts = [
            attempt(silent.local_addr().unwrap(), Wire::Udp, false),
            attempt(echo_at, Wire::Udp, false),
            attempt(closed_at, Wire::Udp, false),
        ];
        let outcomes = try_all(&attempts, 8, Duration::from_millis(300)).unwrap();
        server.join().unwrap();
        let named = Outcome::Reached(Some("shop/dns-0".into()));
        assert_eq!(outcomes, [Outcome::Dropped, named, Outcome::Reached(None)]);
    }

    #[test]
    fn a_small_window_gets_through_many_attempts() {
        let closed_at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let attempts = vec![attempt(closed_at, Wire::Tcp, false); 200];
        let outcomes = try_all(&attempts, 3, Duration::from_secs(5)).unwrap();
        assert_eq!(outcomes, vec![Outcome::Reached(None); 200]);
    }

    #[test]
    fn a_source_address_that_is_not_ours_is_a_failure_not_a_drop() {
        let to = "127.0.0.1:9".parse().unwrap();
        let attempts =
            [Attempt { from: Some("192.0.2.77".parse().unwrap()), to, wire: Wire::Tcp, ask_name: false }];
        let outcomes = try_all(&attempts, 1, Duration::from_millis(50)).unwrap();
        assert!(matches!(&outcomes[..], [Outcome::Failed(_)]), "{outcomes:?}");
    }

    #[test]
    fn the_ip_header_is_taken_off_v4_packets_only() {
        let mut packet = vec![0x46; 24];
        packet.extend([1, 2, 3]);
        assert_eq!(payload(&packet, true), Some(&[1, 2, 3][..]));
        assert_eq!(payload(&packet, false), Some(&packet[..]));
        assert_eq!(payload(&[0x4f; 10], true), None, "shorter than its header says");
    }
}
