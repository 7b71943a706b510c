//! What is in the kernel's buffer of answers of name servers.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::layout::{IPV4, RawAnswer};
use crate::DnsMessage;
use crate::publish::layout::Fields;

const TCP: u8 = 6;

pub(crate) fn parse(bytes: &[u8]) -> Option<DnsMessage> {
    let raw = Fields::new(bytes, size_of::<RawAnswer>())?;
    let copied = usize::from(raw.u16(offset_of!(RawAnswer, copied)));
    let payload = bytes.get(size_of::<RawAnswer>()..)?.get(..copied)?;
    let address = |at: usize| -> IpAddr {
        match raw.u8(offset_of!(RawAnswer, family)) {
            IPV4 => Ipv4Addr::from(raw.bytes(at)).into(),
            _ => Ipv6Addr::from(raw.bytes(at)).into(),
        }
    };
    let protocol = raw.u8(offset_of!(RawAnswer, protocol));
    Some(DnsMessage {
        ktime: Duration::from_nanos(raw.u64(offset_of!(RawAnswer, ktime_ns))),
        server: address(offset_of!(RawAnswer, server)),
        server_port: raw.u16(offset_of!(RawAnswer, server_port)),
        client: address(offset_of!(RawAnswer, client)),
        client_port: raw.u16(offset_of!(RawAnswer, client_port)),
        protocol,
        tcp_seq: (protocol == TCP).then(|| raw.u32(offset_of!(RawAnswer, tcp_seq))),
        payload: payload.to_vec(),
        length: raw.u32(offset_of!(RawAnswer, length)),
    })
}
