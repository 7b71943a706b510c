//! The responder's loop: waits for events on all sockets, and for a new plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use podgate_api::Protocol;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, acceptfrom_with, recvfrom, sendto};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::dns::Names;
use super::orders::Orders;
use super::places::Place;
use super::sockets::{Kind, open_in, wanted};
use super::stream::{Stream, Wants};
use super::{Ready, sctp, stamp};
use crate::error::{Error, Result};
use crate::netns;

const DNS_PORT: u16 = 53;
/// How long a client of TCP port 53 may think before it is greeted instead of served DNS.
const DNS_PATIENCE: Duration = Duration::from_millis(150);
/// Datagrams read from one socket before the others get their turn.
const BURST: usize = 64;
/// The token of the watch on the run directory.
const WATCH: u64 = 0;

pub(super) struct Server {
    orders: Orders,
    epoll: OwnedFd,
    watch: OwnedFd,
    sockets: BTreeMap<u64, Socket>,
    streams: BTreeMap<u64, Stream>,
    /// Streams whose greeting waits, in the order in which it falls due.
    patient: BTreeSet<(Instant, u64)>,
    places: BTreeMap<String, Known>,
    names: Names,
    next_token: u64,
}

struct Socket {
    kind: Kind,
    netns: String,
    fd: OwnedFd,
}

/// A namespace in which sockets are open.
struct Known {
    /// Device and inode of the namespace: a new one under an old name needs new sockets.
    id: (u64, u64),
    place: Place,
    tokens: BTreeMap<Kind, u64>,
}

impl Server {
    pub fn new(orders: Orders) -> Result<Server> {
        let failed = |error: Errno| Error::io("prepare the responder", error.into());
        raise_open_files();
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        let watch =
            inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).map_err(failed)?;
        inotify::add_watch(&watch, orders.dir(), inotify::WatchFlags::MOVED_TO).map_err(failed)?;
        epoll::add(&epoll, &watch, EventData::new_u64(WATCH), EventFlags::IN).map_err(failed)?;
        let mut server = Server {
            orders,
            epoll,
            watch,
            sockets: BTreeMap::new(),
            streams: BTreeMap::new(),
            patient: BTreeSet::new(),
            places: BTreeMap::new(),
            names: Names::default(),
            next_token: WATCH + 1,
        };
        server.reload()?;
        Ok(server)
    }

    pub fn run(mut self) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        loop {
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                self.timeout().as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::io("wait for events", error.into())),
            }
            for event in &events {
                match event.data.u64() {
                    WATCH => self.directory_changed(),
                    token if self.sockets.contains_key(&token) => self.serve(token),
                    token => self.advance(token),
                }
            }
            self.greet_patient();
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        let (due, _) = self.patient.first()?;
        let left = due.saturating_duration_since(Instant::now());
        Some(Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) })
    }

    // === orders ===

    fn directory_changed(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        let mut changed = false;
        let file = self.orders.file();
        let followed = file.file_name().map(OsStrExt::as_bytes);
        while let Ok(event) = reader.next() {
            changed |= event.file_name().is_none_or(|name| followed == Some(name.to_bytes()));
        }
        if changed && let Err(error) = self.reload() {
            // What was read before stays in force; whoever wrote the new file waits for the ready file.
            log(&format!("going on as before: {error}"));
        }
    }

    fn reload(&mut self) -> Result<()> {
        let stamp = stamp(&self.orders.file())?;
        let (wanted_places, names) = self.orders.read()?;
        let gone: Vec<String> =
            self.places.keys().filter(|name| !wanted_places.contains_key(*name)).cloned().collect();
        for name in gone {
            self.close(&name);
        }
        let mut problems = Vec::new();
        for (name, place) in wanted_places {
            match self.open(&name, place) {
                Ok(some) => problems.extend(some),
                Err(error) => problems.push(error.to_string()),
            }
        }
        problems.iter().for_each(|problem| log(problem));
        self.names = names;
        self.orders.acknowledge(&Ready { stamp, problems })
    }

    fn close(&mut self, name: &str) {
        if let Some(known) = self.places.remove(name) {
            for token in known.tokens.into_values() {
                self.sockets.remove(&token);
            }
        }
    }

    /// Opens what a place lacks and closes what it no longer needs.
    fn open(&mut self, name: &str, place: Place) -> Result<Vec<String>> {
        let meta = fs::metadata(netns::path(name))
            .map_err(|error| Error::io(format!("find network namespace {name}"), error))?;
        let id = (meta.dev(), meta.ino());
        if self.places.get(name).is_some_and(|known| known.id != id) {
            self.close(name);
        }
        let wanted: BTreeSet<Kind> = wanted(&place).into_iter().collect();
        let known = self.places.entry(name.to_owned()).or_insert_with(|| Known {
            id,
            place: Place::default(),
            tokens: BTreeMap::new(),
        });
        known.place = place;
        known.tokens.retain(|kind, token| {
            let keep = wanted.contains(kind);
            if !keep {
                self.sockets.remove(token);
            }
            keep
        });
        let missing: Vec<Kind> = wanted.into_iter().filter(|kind| !known.tokens.contains_key(kind)).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let (opened, problems) = open_in(name, &missing)?;
        for socket in opened {
            let token = self.next_token;
            self.next_token += 1;
            epoll::add(&self.epoll, &socket.fd, EventData::new_u64(token), EventFlags::IN)
                .map_err(|error| Error::io(format!("serve {}", socket.kind), error.into()))?;
            known.tokens.insert(socket.kind, token);
            self.sockets.insert(token, Socket { kind: socket.kind, netns: name.to_owned(), fd: socket.fd });
        }
        Ok(problems)
    }

    // === traffic ===

    fn serve(&mut self, token: u64) {
        let Some(socket) = self.sockets.get(&token) else { return };
        let Some(known) = self.places.get(&socket.netns) else { return };
        match socket.kind {
            Kind::Tcp(port) => self.accept(token, port),
            Kind::Udp(_, port) => answer_datagrams(socket, port, &known.place, &self.names),
            Kind::Sctp(ip) => answer_sctp(socket, ip, &known.place),
        }
    }

    fn accept(&mut self, listener: u64, port: u16) {
        for _ in 0..BURST {
            let Some(socket) = self.sockets.get(&listener) else { return };
            let Some(known) = self.places.get(&socket.netns) else { return };
            let (fd, peer) = match acceptfrom_with(&socket.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(accepted) => accepted,
                Err(Errno::AGAIN) => return,
                // The client gave up already, or there are too many open files: others go on.
                Err(_) => continue,
            };
            let Some(peer) = peer.and_then(|peer| SocketAddr::try_from(peer).ok()) else { continue };
            let line = identity(&known.place, Protocol::Tcp, port, peer.ip());
            let stream = match port {
                DNS_PORT => Stream::patient(fd, line, Instant::now() + DNS_PATIENCE),
                _ => Stream::greeted(fd, line),
            };
            let token = self.next_token;
            self.next_token += 1;
            if epoll::add(&self.epoll, &stream.fd, EventData::new_u64(token), EventFlags::IN).is_ok() {
                self.patient.extend(stream.until().map(|until| (until, token)));
                self.streams.insert(token, stream);
                self.advance(token);
            }
        }
    }

    fn advance(&mut self, token: u64) {
        let Some(stream) = self.streams.get_mut(&token) else { return };
        let due = stream.until();
        let wants = stream.progress(|query| self.names.answer(query));
        let interest = match wants {
            Wants::Read => EventFlags::IN,
            Wants::Write => EventFlags::OUT,
            Wants::Nothing => EventFlags::empty(),
        };
        let waits = !interest.is_empty()
            && epoll::modify(&self.epoll, &stream.fd, EventData::new_u64(token), interest).is_ok();
        if let Some(due) = due
            && (!waits || stream.until().is_none())
        {
            self.patient.remove(&(due, token));
        }
        if !waits {
            self.streams.remove(&token);
        }
    }

    fn greet_patient(&mut self) {
        let now = Instant::now();
        while let Some((due, token)) = self.patient.first().copied().filter(|(due, _)| *due <= now) {
            self.patient.remove(&(due, token));
            if let Some(stream) = self.streams.get_mut(&token) {
                stream.greet();
                self.advance(token);
            }
        }
    }
}

fn answer_datagrams(socket: &Socket, port: u16, place: &Place, names: &Names) {
    let mut buffer = [0; 65_536];
    for _ in 0..BURST {
        let (length, peer) = match recvfrom(&socket.fd, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _, peer)) => (length, peer.and_then(|peer| SocketAddr::try_from(peer).ok())),
            Err(Errno::AGAIN) => return,
            // An ICMP error for an earlier answer arrives here; it concerns nobody else.
            Err(_) => continue,
        };
        let Some(peer) = peer else { continue };
        let dns = if port == DNS_PORT { names.answer(&buffer[..length]) } else { None };
        let answer = dns.unwrap_or_else(|| {
            let mut answer = identity(place, Protocol::Udp, port, peer.ip()).into_bytes();
            answer.extend(&buffer[..length]);
            answer
        });
        // Best effort, as UDP is: an unreachable client shows as its own timeout.
        let _ = sendto(&socket.fd, &answer, SendFlags::empty(), &peer);
    }
}

fn answer_sctp(socket: &Socket, ip: IpAddr, place: &Place) {
    let mut buffer = [0; 2048];
    for _ in 0..BURST {
        let (length, peer) = match recvfrom(&socket.fd, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _, peer)) => (length, peer.and_then(|peer| SocketAddr::try_from(peer).ok())),
            Err(Errno::AGAIN) => return,
            Err(_) => continue,
        };
        let Some(peer) = peer else { continue };
        // IPv4 raw sockets give the IP header, whose first four bits of length count words; IPv6 ones don't.
        let header = if ip.is_ipv4() { usize::from(buffer[0] & 0x0f) * 4 } else { 0 };
        let Some(packet) = buffer[..length].get(header..) else { continue };
        if let Some(answer) = sctp::answer(packet, |port| place.ports.contains_key(&(Protocol::Sctp, port))) {
            let _ = sendto(&socket.fd, &answer, SendFlags::empty(), &SocketAddr::new(peer.ip(), 0));
        }
    }
}

fn identity(place: &Place, protocol: Protocol, port: u16, client: IpAddr) -> String {
    let who = place.ports.get(&(protocol, port)).map_or("nobody", String::as_str);
    format!("{who} {port} {protocol} {}\n", client.to_canonical())
}

/// Hundreds of pods have thousands of sockets.
fn raise_open_files() {
    const WANTED: u64 = 1 << 20;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(WANTED).max(WANTED);
    // Root may raise the hard limit too; where it may not, the present limit has to do.
    let raised = Rlimit { current: Some(wanted), maximum: Some(wanted) };
    if setrlimit(Resource::Nofile, raised).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

#[expect(clippy::print_stderr, reason = "the process's standard error is its log file")]
fn log(line: &str) {
    eprintln!("{line}");
}
