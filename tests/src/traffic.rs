//! Datagrams at a steady rate between the namespaces of a lab, each of them accounted for.
//!
//! ```text
//! sender (one thread) --flow, sequence--> sinks and echoes (one thread) --> Flow: sent when, arrived or not
//! ```
//!
//! A flow keeps its ports for life: to connection tracking it is one live connection, judged anew with each
//! datagram.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use podgate_lab::netns;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

/// Where the sinks listen; no responder does.
pub const SINK_PORT: u16 = 7777;

/// How long a datagram may be on its way through a busy machine before it counts as lost.
const ON_ITS_WAY: Duration = Duration::from_millis(40);
/// Room for everything that arrives while the sinks' thread waits for a processor.
const RECEIVE_BUFFER: usize = 32 << 20;

/// From where to where, and how often.
#[derive(Clone, Debug)]
pub struct FlowSpec {
    /// For messages.
    pub name: String,
    /// Network namespace of the sender.
    pub from: String,
    /// Network namespace of the sink, and its address.
    pub to: (String, IpAddr),
    /// One datagram each time.
    pub every: Duration,
}

/// What became of one datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// When it was about to be sent.
    pub sent: Instant,
    /// It came to its destination.
    pub arrived: bool,
    /// The destination's echo came back.
    pub echoed: bool,
}

/// A flow and its record so far.
#[derive(Debug)]
pub struct Flow {
    /// As it was asked for.
    pub spec: FlowSpec,
    log: Mutex<Vec<Datagram>>,
}

impl Flow {
    fn log(&self) -> MutexGuard<'_, Vec<Datagram>> {
        self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many were sent so far: the sequence number of the next one.
    pub fn sent(&self) -> usize {
        self.log().len()
    }

    /// Everything so far.
    pub fn record(&self) -> Vec<Datagram> {
        self.log().clone()
    }

    /// Everything but the last ones that may still be on their way.
    pub fn settled(&self) -> Vec<Datagram> {
        let mut record = self.record();
        let on_its_way = |one: &Datagram| !one.arrived && one.sent.elapsed() < ON_ITS_WAY;
        while record.pop_if(|last| on_its_way(last)).is_some() {}
        record
    }

    /// Whether, from this sequence number on, one datagram has had this fate for sure.
    pub fn shows(&self, from: usize, arrives: bool) -> bool {
        let now = Instant::now();
        self.log().iter().skip(from).any(|datagram| match arrives {
            true => datagram.arrived,
            false => !datagram.arrived && now.duration_since(datagram.sent) > ON_ITS_WAY,
        })
    }
}

/// Running traffic; ends when dropped.
#[derive(Debug)]
pub struct Traffic {
    flows: Vec<Arc<Flow>>,
    stop: Arc<[AtomicBool; 2]>,
    threads: Vec<JoinHandle<()>>,
}

struct Socket {
    socket: UdpSocket,
    is_sink: bool,
}

impl Traffic {
    /// Starts all flows.
    ///
    /// # Panics
    /// When a socket can't be opened.
    pub fn start(specs: Vec<FlowSpec>) -> Traffic {
        let mut sockets: Vec<Socket> = Vec::new();
        let mut places: Vec<&(String, IpAddr)> = specs.iter().map(|spec| &spec.to).collect();
        places.sort();
        places.dedup();
        for (netns, ip) in places {
            sockets.push(Socket { socket: socket(netns, SocketAddr::new(*ip, SINK_PORT)), is_sink: true });
        }
        let mut senders = Vec::new();
        for spec in &specs {
            let any: IpAddr = if spec.to.1.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let sender = socket(&spec.from, SocketAddr::new(any, 0));
            sockets.push(Socket { socket: sender.try_clone().unwrap(), is_sink: false });
            senders.push((sender, Instant::now()));
        }
        let flows: Vec<Arc<Flow>> =
            specs.into_iter().map(|spec| Arc::new(Flow { spec, log: Mutex::default() })).collect();
        let stop = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let (sending, receiving) = (flows.clone(), flows.clone());
        let (stop_sending, stop_receiving) = (stop.clone(), stop.clone());
        let threads = vec![
            std::thread::spawn(move || send(&sending, &mut senders, &stop_sending[0])),
            std::thread::spawn(move || receive(&receiving, &sockets, &stop_receiving[1])),
        ];
        Traffic { flows, stop, threads }
    }

    /// The flow with this name.
    #[track_caller]
    pub fn flow(&self, name: &str) -> Arc<Flow> {
        let found = self.flows.iter().find(|flow| flow.spec.name == name);
        found.unwrap_or_else(|| panic!("no flow {name}")).clone()
    }

    /// All flows.
    pub fn flows(&self) -> &[Arc<Flow>] {
        &self.flows
    }

    /// Sends nothing more, and waits for what is on its way.
    pub fn stop(&mut self) {
        for flag in self.stop.iter() {
            flag.store(true, Ordering::Relaxed);
            std::thread::sleep(ON_ITS_WAY * 3);
        }
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop();
    }
}

fn socket(netns: &str, bind: SocketAddr) -> UdpSocket {
    let opened = netns::run(netns, || -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(bind)?;
        socket.set_nonblocking(true)?;
        set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)?;
        Ok(socket)
    });
    opened.unwrap().unwrap_or_else(|error| panic!("UDP {bind} in {netns}: {error}"))
}

fn send(flows: &[Arc<Flow>], senders: &mut [(UdpSocket, Instant)], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for (number, (flow, (socket, due))) in flows.iter().zip(senders.iter_mut()).enumerate() {
            let now = Instant::now();
            if *due > now {
                continue;
            }
            *due = now + flow.spec.every;
            let sequence = {
                let mut log = flow.log();
                log.push(Datagram { sent: now, arrived: false, echoed: false });
                log.len() - 1
            };
            let mut payload = [0; 8];
            payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
            payload[4..].copy_from_slice(&(sequence as u32).to_be_bytes());
            // One that can't be sent hasn't arrived.
            let _ = socket.send_to(&payload, SocketAddr::new(flow.spec.to.1, SINK_PORT));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn receive(flows: &[Arc<Flow>], sockets: &[Socket], stop: &AtomicBool) {
    let wait = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    let mut buffer = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        let mut fds: Vec<PollFd<'_>> =
            sockets.iter().map(|socket| PollFd::new(&socket.socket, PollFlags::IN)).collect();
        if poll(&mut fds, Some(&wait)).is_err() {
            continue;
        }
        let ready = fds.iter().zip(sockets).filter(|(fd, _)| !fd.revents().is_empty());
        for Socket { socket, is_sink } in ready.map(|(_, socket)| socket) {
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let Ok([a, b, c, d, e, f, g, h]) = <[u8; 8]>::try_from(&buffer[..length]) else { continue };
                let (number, sequence) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                let Some(flow) = flows.get(number as usize) else { continue };
                if let Some(datagram) = flow.log().get_mut(sequence as usize) {
                    if *is_sink { datagram.arrived = true } else { datagram.echoed = true }
                }
                if *is_sink {
                    let _ = socket.send_to(&buffer[..length], peer);
                }
            }
        }
    }
}
