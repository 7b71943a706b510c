//! DNS over TCP: messages with their length in front, put together from packets.
//!
//! Packets come in any order, twice, or not at all, and a capture may begin within a connection. What doesn't fit
//! together is given up until the connection is quiet for a while; the name server's next answer comes over UDP or over
//! another connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Connections that are followed at once.
const CONNECTIONS: usize = 1024;
/// A connection without packets for that long is forgotten; its ports may be another's then.
const IDLE: Duration = Duration::from_secs(10);
/// Packets of a connection that wait for earlier ones.
const WAITING: usize = 16;
/// A packet that is farther away than any window of a resolver is another connection's.
const FAR: u32 = 1 << 24;

/// Who talks, and with whom: server, then client.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: BTreeMap<Ends, Stream>,
    /// How many were given up.
    pub lost: u64,
}

/// A packet's bytes, as far as they were handed over.
#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    length: u32,
}

#[derive(Debug)]
struct Stream {
    heard: Duration,
    /// The number of the next byte.
    next: u32,
    /// What isn't a whole message yet; begins with a length.
    begun: Vec<u8>,
    /// Bytes to come that belong to a message that is dealt with.
    skip: usize,
    /// What came early, by its distance.
    waiting: Vec<(u32, Piece)>,
    is_lost: bool,
}

impl Streams {
    /// Takes a packet; whole messages are told to `sink`, also one of which the end was cut off (`true`).
    pub fn take(
        &mut self,
        now: Duration,
        ends: Ends,
        seq: u32,
        bytes: &[u8],
        length: u32,
        sink: &mut dyn FnMut(&[u8], bool),
    ) {
        if length == 0 {
            return;
        }
        let is_new = |stream: &Stream| {
            let distance = seq.wrapping_sub(stream.next);
            now.saturating_sub(stream.heard) >= IDLE || (FAR..FAR.wrapping_neg()).contains(&distance)
        };
        if self.streams.get(&ends).is_none_or(is_new) {
            self.make_room(now, &ends);
            self.streams.insert(ends, Stream::beginning_at(seq, now));
        }
        let Some(stream) = self.streams.get_mut(&ends) else { return };
        stream.heard = now;
        if stream.is_lost {
            return;
        }
        stream.place(seq, Piece { bytes: bytes.to_vec(), length }, sink);
        self.lost += u64::from(stream.is_lost);
    }

    fn make_room(&mut self, now: Duration, ends: &Ends) {
        if self.streams.len() < CONNECTIONS || self.streams.contains_key(ends) {
            return;
        }
        self.streams.retain(|_, stream| now.saturating_sub(stream.heard) < IDLE);
        if self.streams.len() >= CONNECTIONS {
            let oldest = self.streams.iter().min_by_key(|(ends, stream)| (stream.heard, **ends));
            if let Some(ends) = oldest.map(|(ends, _)| *ends) {
                self.streams.remove(&ends);
                self.lost += 1;
            }
        }
    }
}

impl Stream {
    fn beginning_at(seq: u32, now: Duration) -> Stream {
        Stream { heard: now, next: seq, begun: Vec::new(), skip: 0, waiting: Vec::new(), is_lost: false }
    }

    fn place(&mut self, seq: u32, piece: Piece, sink: &mut dyn FnMut(&[u8], bool)) {
        self.waiting.push((seq, piece));
        // Whatever begins at or before the next byte is next; the rest waits on.
        while let Some(at) = self.waiting.iter().position(|(seq, _)| self.next.wrapping_sub(*seq) < FAR) {
            let (seq, piece) = self.waiting.swap_remove(at);
            let known = self.next.wrapping_sub(seq);
            if known < piece.length {
                self.append(&piece, known as usize, sink);
                self.next = seq.wrapping_add(piece.length);
            }
            if self.is_lost {
                break;
            }
        }
        if self.waiting.len() > WAITING {
            self.give_up();
        }
    }

    /// Appends what of a piece is behind its first `known` bytes.
    fn append(&mut self, piece: &Piece, known: usize, sink: &mut dyn FnMut(&[u8], bool)) {
        let new = piece.bytes.get(known..).unwrap_or_default();
        let mut missing = (piece.length as usize - known).saturating_sub(new.len());
        let skipped = self.skip.min(new.len());
        self.skip -= skipped;
        self.begun.extend_from_slice(&new[skipped..]);
        let mut at = 0;
        while let Some(message) = whole(&self.begun[at..]) {
            sink(message, false);
            at += 2 + message.len();
        }
        self.begun.drain(..at);
        if missing == 0 {
            return;
        }
        // Bytes that nobody has. Whoever knows in which message they are knows where the next one begins.
        let from_skip = self.skip.min(missing);
        self.skip -= from_skip;
        missing -= from_skip;
        if missing == 0 {
            return;
        }
        let length = self.begun.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        match length.map(|length| 2 + length - self.begun.len()) {
            Some(rest) if rest >= missing => {
                sink(&self.begun[2..], true);
                self.begun.clear();
                self.skip = rest - missing;
            }
            _ => self.give_up(),
        }
    }

    fn give_up(&mut self) {
        self.is_lost = true;
        self.begun = Vec::new();
        self.waiting = Vec::new();
    }
}

/// The message that bytes begin with.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends() -> Ends {
        ("192.0.2.53:53".parse().unwrap(), "10.0.0.1:4000".parse().unwrap())
    }

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let frames = messages.iter().flat_map(|m| [&(m.len() as u16).to_be_bytes()[..], m].concat());
        frames.collect()
    }

    /// Gives packets to a stream: (first byte, bytes, length).
    fn give(streams: &mut Streams, packets: &[(u32, &[u8], usize)]) -> Vec<(Vec<u8>, bool)> {
        let mut told = Vec::new();
        for (seq, bytes, length) in packets {
            let mut sink = |message: &[u8], is_cut: bool| told.push((message.to_vec(), is_cut));
            streams.take(Duration::ZERO, ends(), *seq, bytes, *length as u32, &mut sink);
        }
        told
    }

    #[test]
    fn what_was_cut_off_is_told_as_cut_and_the_next_message_is_found() {
        let messages = [vec![1; 30], vec![2; 10]];
        let bytes = framed(&messages);
        let mut streams = Streams::default();
        let told = give(&mut streams, &[(7, &bytes[..20], 25), (32, &bytes[25..], bytes.len() - 25)]);
        assert_eq!(told, [(vec![1; 18], true), (vec![2; 10], false)]);
        assert_eq!(streams.lost, 0);
    }

    #[test]
    fn a_cut_over_the_end_of_a_message_loses_the_connection_until_it_is_another() {
        let bytes = framed(&[vec![1; 30], vec![2; 10]]);
        let mut streams = Streams::default();
        assert!(give(&mut streams, &[(0, &bytes[..20], bytes.len()), (44, &bytes, bytes.len())]).is_empty());
        assert_eq!(streams.lost, 1);
        assert_eq!(give(&mut streams, &[(FAR * 3, &bytes, bytes.len())]).len(), 2, "another connection");
    }

    #[test]
    fn connections_are_bounded() {
        let mut streams = Streams::default();
        for port in 0..CONNECTIONS as u16 + 10 {
            let ends = (ends().0, SocketAddr::new(ends().1.ip(), port));
            streams.take(Duration::from_millis(port.into()), ends, 0, &[0], 1, &mut |_, _| {});
        }
        assert_eq!((streams.streams.len(), streams.lost), (CONNECTIONS, 10));
    }

    proptest! {
        /// However a stream is cut into packets, in which order they come and how often: it says the same.
        #[test]
        fn packets_in_any_order_make_the_same_messages(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6),
            cuts in proptest::collection::vec(1_usize..60, 0..6),
            first: u32,
            order in any::<u64>(),
        ) {
            let bytes = framed(&messages);
            let mut edges: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).chain([0, bytes.len()]).collect();
            edges.sort_unstable();
            let mut packets: Vec<(u32, &[u8], usize)> = edges
                .windows(2)
                .map(|edge| (first.wrapping_add(edge[0] as u32), &bytes[edge[0]..edge[1]], edge[1] - edge[0]))
                .collect();
            // The first comes first, or a capture can't know where a message begins. All come twice.
            let begin = packets.iter().position(|packet| packet.2 > 0).unwrap();
            let begin = packets.remove(begin);
            packets.extend(packets.clone());
            packets.sort_by_key(|packet| (u64::from(packet.0) ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            packets.insert(0, begin);
            let told = give(&mut Streams::default(), &packets);
            let told: Vec<Vec<u8>> = told.into_iter().map(|(message, _)| message).collect();
            prop_assert_eq!(told, messages);
        }

        #[test]
        fn any_packets_are_taken_without_harm(
            packets in proptest::collection::vec(
                (0_u32..300, proptest::collection::vec(any::<u8>(), 0..80), 0_u32..90),
                0..40,
            ),
        ) {
            let mut streams = Streams::default();
            for (seq, bytes, more) in packets {
                let length = bytes.len() as u32 + more;
                streams.take(Duration::ZERO, ends(), seq, &bytes, length, &mut |_, _| {});
            }
        }
    }
}
