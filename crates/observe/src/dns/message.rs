//! Reading DNS messages: what an answer says about addresses, and nothing else of it.
//!
//! Anybody's bytes come here, so everything is bounded: by the message's size, and by pointers that only lead backwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Bytes of a message's header.
const HEADER: usize = 12;
/// Bytes of a name, as RFC 1035 has it.
const NAME: usize = 255;
/// Names of an answer that lead one to the next.
const CHAIN: usize = 16;
/// Records of an answer that are looked at.
const RECORDS: usize = 1024;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;

/// What a name server told about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The name that was asked for, and those that `CNAME` records lead to from there: in lower case, without final dot.
    pub names: Vec<Box<str>>,
    /// The addresses at the end, each with the time for which all that leads there may be kept.
    pub addresses: Vec<(IpAddr, Duration)>,
}

/// Why bytes are no answer to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// A question, a refusal, or an answer about other things than addresses.
    Other,
    /// No DNS message, or a broken one.
    Malformed,
}

/// Reads a message. Of one that was cut off, what is whole counts.
///
/// # Errors
/// When nothing is to be learned from it.
pub fn read(bytes: &[u8], is_cut: bool) -> Result<Answer, Nothing> {
    let mut reader = Reader { bytes, at: 0 };
    let header: [u8; HEADER] = reader.array().ok_or(Nothing::Malformed)?;
    let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (flags, questions, records) = (number(2), number(4), number(6));
    let (is_response, opcode, code) = (flags & 0x8000 != 0, flags >> 11 & 0xf, flags & 0xf);
    if !is_response || opcode != 0 || code != 0 || questions != 1 {
        return Err(Nothing::Other);
    }
    let asked = reader.name().ok_or(Nothing::Malformed)?;
    let (_kind, class) = (reader.number(), reader.number());
    match (asked, class.ok_or(Nothing::Malformed)?) {
        (Some(asked), INTERNET) => reader.answer(asked, records, is_cut),
        _ => Err(Nothing::Other),
    }
}

/// A record of an answer.
enum Data {
    Address(IpAddr),
    Alias(Box<str>),
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn answer(&mut self, asked: Box<str>, count: u16, is_cut: bool) -> Result<Answer, Nothing> {
        let mut records: Vec<(Box<str>, u32, Data)> = Vec::new();
        for _ in 0..usize::from(count).min(RECORDS) {
            match self.record() {
                Some(record) => records.extend(record),
                None if is_cut => break,
                None => return Err(Nothing::Malformed),
            }
        }
        let (mut names, mut chain_ttl) = (vec![asked], u32::MAX);
        // Records may come in any order.
        while names.len() <= CHAIN {
            let alias = records.iter().find_map(|(owner, ttl, data)| match data {
                Data::Alias(alias) if names.last() == Some(owner) => Some((alias, ttl)),
                _ => None,
            });
            let Some((alias, ttl)) = alias.filter(|(alias, _)| !names.contains(alias)) else { break };
            chain_ttl = chain_ttl.min(*ttl);
            names.push(alias.clone());
        }
        let addresses = records.iter().filter_map(|(owner, ttl, data)| match data {
            Data::Address(ip) if names.last() == Some(owner) && is_destination(*ip) => {
                Some((*ip, Duration::from_secs(chain_ttl.min(*ttl).into())))
            }
            _ => None,
        });
        let addresses: Vec<_> = addresses.collect();
        if addresses.is_empty() { Err(Nothing::Other) } else { Ok(Answer { names, addresses }) }
    }

    /// The next record; `Some(None)` for one that says nothing about addresses.
    fn record(&mut self) -> Option<Option<(Box<str>, u32, Data)>> {
        let owner = self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        let ttl = u32::from_be_bytes(self.array()?);
        // "Treat as if the entire value received was zero", says RFC 2181 of a set top bit.
        let ttl = if ttl >> 31 == 0 { ttl } else { 0 };
        let length = usize::from(self.number()?);
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let data = match (kind, class, length) {
            (A, INTERNET, 4) => Some(Data::Address(Ipv4Addr::from(self.array::<4>()?).into())),
            (AAAA, INTERNET, 16) => Some(Data::Address(Ipv6Addr::from(self.array::<16>()?).into())),
            (CNAME, INTERNET, _) => self.name()?.map(Data::Alias),
            _ => None,
        };
        if self.at > end {
            return None;
        }
        self.at = end;
        Some(owner.zip(data).map(|(owner, data)| (owner, ttl, data)))
    }

    /// The next name; `Some(None)` for one that no rule can name: the root, or one with bytes that names don't have.
    fn name(&mut self) -> Option<Option<Box<str>>> {
        let mut name = String::new();
        let mut is_plain = true;
        // Where the name goes on behind the first pointer.
        let mut behind = None;
        let mut at = self.at;
        // Each pointer leads to before the place where the part begins that it ends: so this comes to an end.
        let mut begin = at;
        let mut length = 1;
        loop {
            let first = usize::from(*self.bytes.get(at)?);
            match first >> 6 {
                0 if first == 0 => {
                    self.at = behind.unwrap_or(at + 1);
                    let is_name = is_plain && !name.is_empty();
                    return Some(is_name.then(|| name.into_boxed_str()));
                }
                0 => {
                    let label = self.bytes.get(at + 1..at + 1 + first)?;
                    length += 1 + first;
                    if length > NAME {
                        return None;
                    }
                    is_plain &= label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                    at += 1 + first;
                }
                3 => {
                    let target = (first & 0x3f) << 8 | usize::from(*self.bytes.get(at + 1)?);
                    behind.get_or_insert(at + 2);
                    if target >= begin {
                        return None;
                    }
                    (at, begin) = (target, target);
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes.get(self.at..self.at + N)?;
        self.at += N;
        bytes.try_into().ok()
    }
}

/// Whether connections to an address can leave a pod.
fn is_destination(ip: IpAddr) -> bool {
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let is_mapped = matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_broadcast || is_mapped)
}

#[cfg(test)]
mod tests;
