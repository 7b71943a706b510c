//! SCTP association set-up by hand (RFC 9260): enough to learn whether a port can be reached, on kernels
//! that have no SCTP sockets.

/// Length of the common header (RFC 9260, 3.1).
const HEADER: usize = 12;
/// Length of an INIT chunk without parameters (RFC 9260, 3.3.2).
const INIT_CHUNK: usize = 20;
/// Length of the packet that [`init`] makes.
pub const INIT_LEN: usize = HEADER + INIT_CHUNK;

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;

/// What a peer said to an INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// INIT ACK: something listens.
    InitAck,
    /// ABORT: nothing listens, the packet arrived all the same.
    Abort,
}

/// A packet received in answer to an INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The peer's port.
    pub from_port: u16,
    /// Our port.
    pub to_port: u16,
    /// The tag that our INIT gave.
    pub tag: u32,
    /// What it says.
    pub answer: Answer,
}

/// An INIT packet, without IP header.
///
/// `tag` must not be 0; the answer carries it, which tells our associations apart.
pub fn init(from_port: u16, to_port: u16, tag: u32) -> [u8; INIT_LEN] {
    const WINDOW: u32 = 65_536;
    let mut packet = [0; INIT_LEN];
    packet[0..2].copy_from_slice(&from_port.to_be_bytes());
    packet[2..4].copy_from_slice(&to_port.to_be_bytes());
    // A packet with an INIT has verification tag 0, which it already is.
    packet[HEADER] = INIT;
    packet[HEADER + 2..HEADER + 4].copy_from_slice(&(INIT_CHUNK as u16).to_be_bytes());
    packet[16..20].copy_from_slice(&tag.to_be_bytes());
    packet[20..24].copy_from_slice(&WINDOW.to_be_bytes());
    packet[24..26].copy_from_slice(&1u16.to_be_bytes());
    packet[26..28].copy_from_slice(&1u16.to_be_bytes());
    packet[28..32].copy_from_slice(&tag.to_be_bytes());
    let sum = checksum(&packet);
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// Reads an SCTP packet without its IP header; `None` when it is no sound answer to an INIT.
pub fn parse(packet: &[u8]) -> Option<Reply> {
    let (header, chunk) = packet.split_at_checked(HEADER)?;
    if header[8..12] != checksum(packet) {
        return None;
    }
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let answer = match *chunk.first()? {
        INIT_ACK => Answer::InitAck,
        ABORT => Answer::Abort,
        _ => return None,
    };
    let tag = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    Some(Reply { from_port: word(0), to_port: word(2), tag, answer })
}

/// The packet's CRC32c with the checksum field taken as zero, in wire order (RFC 9260, appendix A).
fn checksum(packet: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for (i, byte) in packet.iter().enumerate() {
        let byte = if (8..12).contains(&i) { 0 } else { *byte };
        crc = (crc >> 8) ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize];
    }
    (!crc).to_le_bytes()
}

/// CRC32c of a byte string.
#[cfg(test)]
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// Remainders of all bytes for the Castagnoli polynomial, bit-reversed.
const TABLE: [u32; 256] = {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = if remainder & 1 == 1 { (remainder >> 1) ^ POLYNOMIAL } else { remainder >> 1 };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4, and the usual check value.
    #[test]
    fn crc32c_has_the_published_values() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        for (bytes, expected) in [
            (&b"123456789"[..], 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (&falling, 0x113f_db5c),
        ] {
            assert_eq!(crc32c(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn an_init_is_laid_out_as_the_standard_says() {
        let packet = init(0x1234, 0x5678, 0xdead_beef);
        assert_eq!(packet[..8], [0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0]);
        assert_eq!(packet[12..16], [1, 0, 0, 20], "chunk type, flags, length");
        assert_eq!(packet[16..20], 0xdead_beef_u32.to_be_bytes(), "initiate tag");
        assert_ne!(packet[24..26], [0, 0], "at least one outbound stream");
        assert_ne!(packet[26..28], [0, 0], "at least one inbound stream");
        assert_eq!(packet[8..12], checksum(&packet));
    }

    fn answer(kind: u8) -> Vec<u8> {
        let mut packet = init(80, 4000, 0xdead_beef).to_vec();
        packet[4..8].copy_from_slice(&7u32.to_be_bytes());
        packet[HEADER] = kind;
        let sum = checksum(&packet);
        packet[8..12].copy_from_slice(&sum);
        packet
    }

    #[test]
    fn answers_are_read() {
        let reply = |answer| Some(Reply { from_port: 80, to_port: 4000, tag: 7, answer });
        assert_eq!(parse(&answer(INIT_ACK)), reply(Answer::InitAck));
        assert_eq!(parse(&answer(ABORT)), reply(Answer::Abort));
    }

    #[test]
    fn other_and_damaged_packets_are_not_answers() {
        assert_eq!(parse(&init(80, 4000, 7)), None, "an INIT of somebody else");
        let whole = answer(INIT_ACK);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "cut to {length} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged), None, "bit flipped in byte {at}");
        }
    }
}
