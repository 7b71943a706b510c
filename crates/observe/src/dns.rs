//! What name servers answer to pods: which addresses rules with `domainNames` mean, and how outside addresses are called.
//!
//! ```text
//! DnsMessage --Resolvers--> Streams (TCP) --> read --> Answer --> Bindings --> Cluster::bind, Names::set_dns
//! ```
//!
//! The kernel hands over what a pod had asked for, and nothing else; whether the one who answers is to be believed is
//! decided here.

mod bindings;
#[cfg(test)]
mod fixture;
mod message;
mod resolvers;
mod stream;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use podgate_datapath::DnsMessage;
use podgate_flow::Names;
use podgate_policy::Cluster;

pub use bindings::{BindingCounts, BindingLimits, Bindings, Changes};
pub use message::{Answer, Nothing, read};
pub use resolvers::Resolvers;
use stream::Streams;

const TCP: u8 = 6;

/// What came of the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsCounts {
    /// Answers that were learned from.
    pub answers: u64,
    /// Packets of servers that aren't to be believed.
    pub untrusted: u64,
    /// Messages that can't be read.
    pub malformed: u64,
    /// Connections over TCP that couldn't be put together.
    pub lost_streams: u64,
    /// Pairs of name and address that rules ask for, now.
    pub wanted: u64,
    /// Other pairs, now.
    pub others: u64,
    /// What went over the limits.
    pub over: BindingCounts,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Dns {
    resolvers: Resolvers,
    bindings: Bindings,
    streams: Streams,
    counts: DnsCounts,
    /// The rules' names that bindings were last reviewed with.
    reviewed: u64,
}

impl Dns {
    pub(crate) fn new(limits: BindingLimits) -> Dns {
        Dns {
            resolvers: Resolvers::default(),
            bindings: Bindings::new(limits),
            streams: Streams::default(),
            counts: DnsCounts::default(),
            reviewed: 0,
        }
    }

    pub(crate) fn set_limits(&mut self, limits: BindingLimits) {
        self.bindings.set_limits(limits);
    }

    pub(crate) fn set_resolvers(&mut self, resolvers: Resolvers) {
        self.resolvers = resolvers;
    }

    /// Learns from a packet.
    pub(crate) fn take(&mut self, message: &DnsMessage, cluster: &Cluster) {
        if !self.resolvers.has(message.server, cluster) {
            self.counts.untrusted += 1;
            return;
        }
        let (bindings, counts) = (&mut self.bindings, &mut self.counts);
        let mut learn = |bytes: &[u8], is_cut: bool| match read(bytes, is_cut) {
            Ok(answer) => {
                counts.answers += 1;
                bindings.learn(&answer, message.ktime, |name| cluster.is_named(name));
            }
            Err(Nothing::Malformed) => counts.malformed += 1,
            Err(Nothing::Other) => {}
        };
        match message.tcp_seq {
            Some(seq) if message.protocol == TCP => {
                let server = SocketAddr::new(message.server, message.server_port);
                let ends = (server, SocketAddr::new(message.client, message.client_port));
                self.streams.take(message.ktime, ends, seq, &message.payload, message.length, &mut learn);
            }
            _ => learn(&message.payload, message.length as usize > message.payload.len()),
        }
    }

    /// Packets of an address were seen.
    pub(crate) fn keep(&mut self, ip: IpAddr, now: Duration) {
        self.bindings.keep(ip, now);
    }

    /// Tells what was learned and what has ended. `true`: some rule means other addresses than before, so the engine
    /// has something to commit. The first engine is the one whose rules matter when there isn't room for all names.
    pub(crate) fn tell(&mut self, now: Duration, clusters: &mut [&mut Cluster], names: &mut Names) -> bool {
        if let Some(cluster) = clusters.first()
            && self.reviewed != cluster.domain_names_version()
        {
            self.reviewed = cluster.domain_names_version();
            self.bindings.review(|name| cluster.is_named(name));
        }
        self.bindings.expire(now);
        let changes = self.bindings.take_changes();
        for (ip, called) in changes.addresses {
            names.set_dns(ip, called);
        }
        let mut is_news = false;
        for (name, addresses) in changes.names {
            for cluster in &mut *clusters {
                is_news |= cluster.bind(&name, &addresses) && cluster.is_named(&name);
            }
        }
        is_news
    }

    pub(crate) fn tell_all(&self, cluster: &mut Cluster) {
        for (name, addresses) in self.bindings.all() {
            cluster.bind(name, &addresses);
        }
    }

    pub(crate) fn counts(&self) -> DnsCounts {
        let (wanted, others) = self.bindings.len();
        DnsCounts {
            lost_streams: self.streams.lost,
            wanted: wanted as u64,
            others: others as u64,
            over: self.bindings.counts(),
            ..self.counts
        }
    }

    /// What rules ask for, a line for each name and address: for whoever comes after this process. The kernel goes on
    /// with these addresses, and connections to them must not be cut by a restart.
    pub(crate) fn saved(&self) -> String {
        let line =
            |(name, ip, until): (&str, IpAddr, Duration)| format!("{name} {ip} {}\n", until.as_millis());
        self.bindings.wanted().map(line).collect()
    }

    /// Takes in what a predecessor saved since the machine started. For the grace time at least it all stays, so that
    /// connections can show themselves.
    pub(crate) fn restore(&mut self, saved: &str, now: Duration) {
        let limits = self.bindings.limits();
        for line in saved.lines() {
            let mut words = line.split(' ');
            let (Some(name), Some(Ok(ip)), Some(Ok(until))) =
                (words.next(), words.next().map(str::parse), words.next().map(str::parse))
            else {
                continue;
            };
            let until = Duration::from_millis(until).min(now + limits.ceiling + limits.grace);
            self.bindings.bind(name, ip, until.max(now + limits.grace), true);
        }
    }
}

#[cfg(test)]
mod tests;
