//! The answering side of an SCTP association's first step (RFC 9260, 5.1).

/// Length of the common header (RFC 9260, 3.1).
const HEADER: usize = 12;
/// Length of an INIT or INIT ACK chunk up to its parameters (RFC 9260, 3.3.2 and 3.3.3).
const INIT: usize = 20;

const CHUNK_INIT: u8 = 1;
const CHUNK_INIT_ACK: u8 = 2;
const CHUNK_ABORT: u8 = 6;
/// The State Cookie parameter, which an INIT ACK must have.
const STATE_COOKIE: u16 = 7;
/// What it holds here: no association ever comes back with it.
const COOKIE: [u8; 4] = *b"lab.";

/// The answer to a packet that starts with an INIT: INIT ACK when `listens` says that the port has a
/// listener, otherwise ABORT. `None`: no INIT, a damaged packet, or a tag of 0, which must be dropped.
pub(super) fn answer(packet: &[u8], listens: impl FnOnce(u16) -> bool) -> Option<Vec<u8>> {
    if packet.len() < HEADER + INIT || packet[HEADER] != CHUNK_INIT || packet[8..12] != checksum(packet) {
        return None;
    }
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let (from, to) = (word(0), word(2));
    let peer_tag = &packet[HEADER + 4..HEADER + 8];
    if peer_tag == [0; 4] {
        return None;
    }
    let mut answer = Vec::with_capacity(HEADER + INIT + 8);
    answer.extend(to.to_be_bytes());
    answer.extend(from.to_be_bytes());
    answer.extend(peer_tag);
    answer.extend([0; 4]);
    if listens(to) {
        let length = (INIT + 4 + COOKIE.len()) as u16;
        answer.extend([CHUNK_INIT_ACK, 0]);
        answer.extend(length.to_be_bytes());
        // Our tag: any number but 0.
        answer.extend([0x9a, 0x7e, peer_tag[2], peer_tag[3]]);
        answer.extend(65_536u32.to_be_bytes());
        answer.extend(1u16.to_be_bytes());
        answer.extend(1u16.to_be_bytes());
        answer.extend(1u32.to_be_bytes());
        answer.extend(STATE_COOKIE.to_be_bytes());
        answer.extend((4 + COOKIE.len() as u16).to_be_bytes());
        answer.extend(COOKIE);
    } else {
        answer.extend([CHUNK_ABORT, 0, 0, 4]);
    }
    let sum = checksum(&answer);
    answer[8..12].copy_from_slice(&sum);
    Some(answer)
}

/// CRC32c of the packet with its checksum field taken as zero (RFC 9260, appendix A), in wire order.
fn checksum(packet: &[u8]) -> [u8; 4] {
    /// The Castagnoli polynomial, reflected.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for (at, byte) in packet.iter().enumerate() {
        crc ^= if (8..HEADER).contains(&at) { 0 } else { u32::from(*byte) };
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
        }
    }
    (!crc).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An INIT from port 61000 to port 5060.
    fn init() -> Vec<u8> {
        let mut packet = vec![0xee, 0x48, 0x13, 0xc4, 0, 0, 0, 0, 0, 0, 0, 0];
        packet.extend([CHUNK_INIT, 0, 0, 20, 1, 2, 3, 4, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9]);
        let sum = checksum(&packet);
        packet[8..12].copy_from_slice(&sum);
        packet
    }

    #[test]
    fn the_checksum_is_that_of_the_standards_example() {
        // The check value of CRC-32C: that of the nine digits; no byte of it lies in the checksum field.
        let padded: Vec<u8> = b"12345678".to_vec();
        assert_eq!(u32::from_le_bytes(checksum(&padded)), 0x6087_809a);
    }

    #[test]
    fn a_listening_port_acknowledges_with_the_peers_tag() {
        let answer = answer(&init(), |port| port == 5060).unwrap();
        assert_eq!(answer[..8], [0x13, 0xc4, 0xee, 0x48, 1, 2, 3, 4]);
        assert_eq!(answer[HEADER], CHUNK_INIT_ACK);
        assert_eq!(usize::from(u16::from_be_bytes([answer[14], answer[15]])), answer.len() - HEADER);
        assert_eq!(answer[8..12], checksum(&answer));
    }

    #[test]
    fn another_port_aborts() {
        let answer = answer(&init(), |_| false).unwrap();
        assert_eq!(answer[HEADER..], [CHUNK_ABORT, 0, 0, 4]);
        assert_eq!(answer[4..8], [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_no_sound_init_gets_no_answer() {
        let mut damaged = init();
        damaged[20] ^= 1;
        let mut tagless = init();
        tagless[16..20].fill(0);
        let sum = checksum(&tagless);
        tagless[8..12].copy_from_slice(&sum);
        let acknowledgement = answer(&init(), |_| true).unwrap();
        for packet in [&damaged[..], &tagless, &acknowledgement, &init()[..20], &[]] {
            assert_eq!(answer(packet, |_| true), None);
        }
    }
}
