//! ICMP echo for both families (RFC 792, RFC 4443).

use std::net::IpAddr;

/// Length of the packets that [`request`] makes.
pub const ECHO_LEN: usize = 16;

/// An echo request, without IP header. The kernel fills in the ICMPv6 checksum, which covers addresses.
pub fn request(to: IpAddr, id: u16, sequence: u16) -> [u8; ECHO_LEN] {
    let mut packet = [0; ECHO_LEN];
    packet[0] = if to.is_ipv4() { 8 } else { 128 };
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[8..].copy_from_slice(b"podgate.");
    if to.is_ipv4() {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// Identifier and sequence number of an echo reply without IP header; `None` for everything else.
pub fn parse_reply(packet: &[u8], is_v4: bool) -> Option<(u16, u16)> {
    let reply = if is_v4 { 0 } else { 129 };
    match packet {
        [kind, 0, _, _, i, d, s, q, ..] if *kind == reply => {
            Some((u16::from_be_bytes([*i, *d]), u16::from_be_bytes([*s, *q])))
        }
        _ => None,
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v4_request_sums_to_zero() {
        let packet = request("192.0.2.1".parse().unwrap(), 0xbeef, 0x0102);
        assert_eq!(packet[0], 8);
        assert_eq!(checksum(&packet), 0, "a packet with its checksum in it sums to zero");
    }

    /// The example of RFC 1071, section 3: the sum is ddf2.
    #[test]
    fn the_checksum_has_the_published_value() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn only_replies_are_replies() {
        let mut packet = request("192.0.2.1".parse().unwrap(), 1, 2);
        assert_eq!(parse_reply(&packet, true), None, "a request");
        packet[0] = 0;
        assert_eq!(parse_reply(&packet, true), Some((1, 2)));
        assert_eq!(parse_reply(&packet, false), None, "of the other family");
        packet[0] = 129;
        assert_eq!(parse_reply(&packet, false), Some((1, 2)));
        assert_eq!(parse_reply(&packet[..7], false), None, "cut");
    }
}
