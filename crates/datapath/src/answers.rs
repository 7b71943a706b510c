use std::net::IpAddr;
use std::time::Duration;

/// Which answers of name servers [`crate::Datapath::poll_answers`] hands over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsAnswers {
    /// Ports of name servers, after Service DNAT; from 1 to 4 of them.
    pub ports: Vec<u16>,
    /// Size of the buffer: a power of two, at least 16,384.
    pub ring_bytes: u32,
}

impl DnsAnswers {
    /// So much of a packet's payload is handed over.
    pub const MAX_PAYLOAD: usize = 4096;
}

impl Default for DnsAnswers {
    fn default() -> Self {
        DnsAnswers { ports: vec![53], ring_bytes: 1 << 20 }
    }
}

/// One packet of a name server to a pod of this node that had asked it: it belongs to a connection that the pod has
/// opened, or comes from the node itself. What nobody asked for isn't one. Who can forge the server's address and
/// guesses the ports of an open question can deceive the pod, and whoever believes this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMessage {
    /// Time since boot, without time asleep (`CLOCK_MONOTONIC`).
    pub ktime: Duration,
    /// Who answers, after Service DNAT.
    pub server: IpAddr,
    /// From which port.
    pub server_port: u16,
    /// The pod that had asked.
    pub client: IpAddr,
    /// Its port.
    pub client_port: u16,
    /// IANA protocol number: 6 or 17.
    pub protocol: u8,
    /// With TCP, the number of the payload's first byte: messages begin and end anywhere in packets.
    pub tcp_seq: Option<u32>,
    /// What is behind the UDP or TCP header; at most [`DnsAnswers::MAX_PAYLOAD`] bytes of it.
    pub payload: Vec<u8>,
    /// How many bytes are behind that header; more than `payload` has when it was cut off.
    pub length: u32,
}
