//! Small values of a record: each has one number in files and one text for people.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An IP protocol by its IANA number. As text `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPv6`, or the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u8);

const PROTOCOLS: [(Protocol, &str); 5] = [
    (Protocol::ICMP, "ICMP"),
    (Protocol::TCP, "TCP"),
    (Protocol::UDP, "UDP"),
    (Protocol::ICMPV6, "ICMPv6"),
    (Protocol::SCTP, "SCTP"),
];

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Protocol = Protocol(1);
    /// TCP.
    pub const TCP: Protocol = Protocol(6);
    /// UDP.
    pub const UDP: Protocol = Protocol(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Protocol = Protocol(58);
    /// SCTP.
    pub const SCTP: Protocol = Protocol(132);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PROTOCOLS.iter().find(|(protocol, _)| protocol == self) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocol, String> {
        let known = PROTOCOLS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        known.map(|(protocol, _)| *protocol).or_else(|| text.parse().ok().map(Protocol)).ok_or_else(|| {
            format!("no protocol is called {text:?}: TCP, UDP, SCTP, ICMP, ICMPv6, or a number")
        })
    }
}

/// Flags of a TCP header, as in its 14th byte (RFC 9293, 3.1). As text `SYN,ACK`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TcpFlags(pub u8);

const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

impl TcpFlags {
    /// No flag at all: another protocol.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Whether a flag is set, by its name.
    pub fn has(self, name: &str) -> bool {
        self.names().any(|flag| flag == name)
    }

    /// The names of those that are set, from the lowest bit on.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.into_iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| name)
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            write!(f, "{}{name}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for TcpFlags {
    type Err = String;

    fn from_str(text: &str) -> Result<TcpFlags, String> {
        let mut flags = TcpFlags::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let bit = FLAGS.iter().position(|name| name.eq_ignore_ascii_case(word));
            let bit = bit.ok_or_else(|| format!("no TCP flag is called {word:?}: {}", FLAGS.join(", ")))?;
            flags.0 |= 1 << bit;
        }
        Ok(flags)
    }
}

/// The set of policies that a node had in force, by a hash of what they say; 0: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyVersion(pub u64);

impl PolicyVersion {
    /// Whether nobody told which policies were in force.
    pub fn is_unknown(&self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for PolicyVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<PolicyVersion, String> {
        match u64::from_str_radix(text, 16) {
            Ok(number) if text.len() == 16 => Ok(PolicyVersion(number)),
            _ => Err(format!("{text:?} is no policy version: 16 hexadecimal digits")),
        }
    }
}

/// Tells records apart: their time and a number of their own. As text in the form of a UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u128);

impl FlowId {
    /// Whether the record never got one.
    pub fn is_unset(&self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl FromStr for FlowId {
    type Err = String;

    fn from_str(text: &str) -> Result<FlowId, String> {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        match u128::from_str_radix(&hex, 16) {
            Ok(number) if hex.len() == 32 => Ok(FlowId(number)),
            _ => Err(format!("{text:?} is no flow's id: it looks like {}", FlowId(1 << 64))),
        }
    }
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(Protocol, TcpFlags, PolicyVersion, FlowId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_its_text() {
        for number in 0..=255 {
            let protocol = Protocol(number);
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
            let flags = TcpFlags(number);
            assert_eq!(flags.to_string().parse(), Ok(flags));
        }
        for id in [FlowId(1), FlowId(u128::MAX), FlowId(0x0123_4567_89ab_cdef << 40)] {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().len(), 36);
        }
        let version = PolicyVersion(0xbeef);
        assert_eq!(version.to_string(), "000000000000beef");
        assert_eq!(version.to_string().parse(), Ok(version));
    }

    #[test]
    fn what_means_nothing_is_said_to() {
        assert!("tcpp".parse::<Protocol>().unwrap_err().contains("SCTP"));
        assert!("SYN,FOO".parse::<TcpFlags>().unwrap_err().contains("\"FOO\""));
        assert!("12".parse::<FlowId>().unwrap_err().contains("00000000-0000-0001"));
        assert!("12".parse::<PolicyVersion>().is_err());
    }
}
