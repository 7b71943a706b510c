//! Opening listening sockets in other network namespaces.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use podgate_api::Protocol;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use rustix::{io, net};

use crate::error;
use crate::netns;

/// A socket to serve.
#[derive(Debug)]
pub(super) struct Opened {
    pub kind: Kind,
    pub fd: OwnedFd,
}

/// What a socket is for. Everything but TCP has one socket for each address, so that answers leave from
/// the address that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Listens on all addresses of both families.
    Tcp(u16),
    Udp(IpAddr, u16),
    /// Raw: sees all SCTP packets to this address.
    Sctp(IpAddr),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Tcp(port) => write!(f, "{port}/TCP"),
            Kind::Udp(ip, port) => write!(f, "{port}/UDP on {ip}"),
            Kind::Sctp(ip) => write!(f, "SCTP on {ip}"),
        }
    }
}

/// The sockets that a place needs.
pub(super) fn wanted(place: &super::Place) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for (protocol, port) in place.ports.keys() {
        match protocol {
            Protocol::Tcp => kinds.push(Kind::Tcp(*port)),
            Protocol::Udp => kinds.extend(place.ips.iter().map(|ip| Kind::Udp(*ip, *port))),
            Protocol::Sctp => {}
        }
    }
    // Also where no SCTP port is declared: an ABORT tells a prober that its packet arrived.
    kinds.extend(place.ips.iter().map(|ip| Kind::Sctp(*ip)));
    kinds
}

/// Opens sockets in a namespace; those that can't be opened are told apart.
pub(super) fn open_in(name: &str, kinds: &[Kind]) -> error::Result<(Vec<Opened>, Vec<String>)> {
    netns::run(name, || {
        let mut opened = Vec::with_capacity(kinds.len());
        let mut problems = Vec::new();
        for kind in kinds {
            match open(*kind) {
                Ok(fd) => opened.push(Opened { kind: *kind, fd }),
                Err(error) => problems.push(format!("open {kind} in network namespace {name}: {error}")),
            }
        }
        (opened, problems)
    })
}

fn open(kind: Kind) -> io::Result<OwnedFd> {
    match kind {
        Kind::Tcp(port) => {
            let fd = socket(AddressFamily::INET6, SocketType::STREAM, None)?;
            sockopt::set_socket_reuseaddr(&fd, true)?;
            sockopt::set_ipv6_v6only(&fd, false)?;
            net::bind(&fd, &SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))?;
            net::listen(&fd, 1024)?;
            Ok(fd)
        }
        Kind::Udp(ip, port) => {
            let fd = socket(family(ip), SocketType::DGRAM, None)?;
            net::bind(&fd, &SocketAddr::new(ip, port))?;
            Ok(fd)
        }
        Kind::Sctp(ip) => {
            let fd = socket(family(ip), SocketType::RAW, Some(ipproto::SCTP))?;
            net::bind(&fd, &SocketAddr::new(ip, 0))?;
            Ok(fd)
        }
    }
}

fn socket(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<net::Protocol>,
) -> Result<OwnedFd, Errno> {
    net::socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, protocol)
}

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}
