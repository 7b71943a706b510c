//! Messages to and from the kernel's netfilter: attributes, transactions, dumps.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with, sockopt,
};

use crate::Error;
use crate::netns::NetNs;

const HEADER: usize = 16;
const GENERIC: usize = 4;
const NESTED: u16 = 0x8000;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
/// In an answer: the tables changed while they were listed.
const INTERRUPTED: u16 = 0x10;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

const SUBSYSTEM: u16 = 10;
/// IPv4 and IPv6 in one table.
const INET: u8 = 1;

/// Kinds of messages, as in `enum nf_tables_msg_types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DelTable = 2,
    NewChain = 3,
    GetChain = 4,
    DelChain = 5,
    NewRule = 6,
    GetRule = 7,
    DelRule = 8,
    NewSet = 9,
    GetSet = 10,
    DelSet = 11,
    NewElements = 12,
    DelElements = 14,
    GetGeneration = 16,
    NewObject = 18,
    GetObject = 19,
}

/// A list of attributes being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Attrs(Vec<u8>);

impl Attrs {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = (4 + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.pad();
    }

    pub(super) fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        let bytes: Vec<u8> = value.bytes().chain([0]).collect();
        self.bytes(kind, &bytes);
    }

    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attrs)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend((kind | NESTED).to_ne_bytes());
        fill(self);
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    pub(super) fn append(&mut self, other: &Attrs) {
        self.0.extend(&other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

fn put_message(out: &mut Vec<u8>, kind: u16, flags: u16, generic: [u8; 4], sequence: u32, attrs: &Attrs) {
    let length = (HEADER + GENERIC + attrs.0.len()) as u32;
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(generic);
    out.extend(&attrs.0);
}

/// Changes that the kernel makes all at once, or none of them.
#[derive(Debug)]
pub(super) struct Transaction {
    messages: Vec<u8>,
    /// What each message is, for errors: its sequence number is its place.
    kinds: Vec<Kind>,
}

impl Transaction {
    pub(super) fn new() -> Self {
        let mut new = Transaction { messages: Vec::new(), kinds: Vec::new() };
        new.frame(BATCH_BEGIN, 0);
        new
    }

    fn frame(&mut self, kind: u16, sequence: u32) {
        let [high, low] = SUBSYSTEM.to_be_bytes();
        put_message(&mut self.messages, kind, REQUEST, [0, 0, high, low], sequence, &Attrs::default());
    }

    pub(super) fn add(&mut self, kind: Kind, flags: u16, attrs: &Attrs) {
        self.kinds.push(kind);
        let sequence = self.kinds.len() as u32;
        let number = SUBSYSTEM << 8 | kind as u16;
        put_message(&mut self.messages, number, REQUEST | flags, [INET, 0, 0, 0], sequence, attrs);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// How many bytes the messages take so far.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}

/// A netfilter socket in a network namespace.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    pub(super) fn open(netns: &NetNs) -> Result<Socket, Error> {
        let open = || {
            let protocol = Some(netlink::NETFILTER);
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
        };
        let fd = netns.run(open)?.map_err(|error| Error::io("open a netfilter socket", error))?;
        Ok(Socket { fd, buffer: vec![0; 1 << 16] })
    }

    /// Has the kernel make the changes.
    pub(super) fn commit(&mut self, mut transaction: Transaction) -> Result<(), Error> {
        if transaction.is_empty() {
            return Ok(());
        }
        transaction.frame(BATCH_END, transaction.kinds.len() as u32 + 1);
        let failed = |error: io::Error| Error::io("change nftables", error);
        // The whole transaction is one message to the socket.
        sockopt::set_socket_send_buffer_size_force(&self.fd, transaction.messages.len() + 4096)
            .map_err(|error| failed(error.into()))?;
        send(&self.fd, &transaction.messages, SendFlags::empty()).map_err(|error| failed(error.into()))?;
        // What the kernel has to say is there by now. It answers failures only.
        while let Some(length) = self.receive_now().map_err(failed)? {
            let refused = messages(&self.buffer[..length])
                .find_map(|message| Some((message.sequence as usize, message.error()?)));
            if let Some((sequence, error)) = refused {
                while matches!(self.receive_now(), Ok(Some(_))) {}
                let kind = sequence.checked_sub(1).and_then(|at| transaction.kinds.get(at));
                let kind = kind.map_or(String::new(), |kind| format!(" ({kind:?})"));
                return Err(Error::io(format!("change nftables{kind}"), error));
            }
        }
        Ok(())
    }

    /// Lists what matches; `each` gets the attributes of one object.
    pub(super) fn dump(
        &mut self,
        kind: Kind,
        attrs: &Attrs,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let failed = |error: io::Error| Error::io(format!("read nftables ({kind:?})"), error);
        for _ in 0..8 {
            let mut found = Vec::new();
            self.ask(SUBSYSTEM << 8 | kind as u16, DUMP, [INET, 0, 0, 0], attrs).map_err(failed)?;
            let mut interrupted = false;
            'answers: loop {
                let length = self.receive().map_err(failed)?;
                for message in messages(&self.buffer[..length]) {
                    interrupted |= message.flags & INTERRUPTED != 0;
                    match message.kind {
                        DONE => break 'answers,
                        ERROR => return Err(failed(message.error().unwrap_or_else(unknown))),
                        _ => found.push(message.attrs().to_vec()),
                    }
                }
            }
            if !interrupted {
                found.iter().for_each(|attrs| each(attrs));
                return Ok(());
            }
        }
        Err(failed(io::Error::from(io::ErrorKind::Interrupted)))
    }

    /// A number that every change of anybody's tables increments.
    pub(super) fn generation(&mut self) -> Result<u32, Error> {
        let failed = |error: io::Error| Error::io("read nftables (its generation)", error);
        let kind = SUBSYSTEM << 8 | Kind::GetGeneration as u16;
        self.ask(kind, 0, [0; 4], &Attrs::default()).map_err(failed)?;
        let length = self.receive().map_err(failed)?;
        let answer = messages(&self.buffer[..length]).next();
        let generation = answer.and_then(|message| find(message.attrs(), 1).and_then(be32));
        generation.ok_or_else(|| failed(unknown()))
    }

    /// Sends one message and waits for its acknowledgement.
    pub(super) fn request(&mut self, kind: u16, generic: [u8; 4], attrs: &Attrs) -> io::Result<()> {
        self.ask(kind, ACK, generic, attrs)?;
        let length = self.receive()?;
        let answer = messages(&self.buffer[..length]).find(|message| message.kind == ERROR);
        answer.and_then(|message| message.error()).map_or(Ok(()), Err)
    }

    fn ask(&self, kind: u16, flags: u16, generic: [u8; 4], attrs: &Attrs) -> io::Result<()> {
        let mut message = Vec::new();
        put_message(&mut message, kind, REQUEST | flags, generic, 1, attrs);
        send(&self.fd, &message, SendFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<usize> {
        Ok(recv(&self.fd, &mut self.buffer[..], RecvFlags::empty())?.0)
    }

    /// What is there, without waiting. `Err` with `ENOBUFS`: the kernel had more than fits.
    pub(super) fn receive_now(&mut self) -> io::Result<Option<usize>> {
        match recv(&self.fd, &mut self.buffer[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => Ok(Some(length)),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The first bytes of what was received last.
    pub(super) fn received(&self, length: usize) -> &[u8] {
        &self.buffer[..length]
    }

    /// Room for so many bytes that the kernel has sent and nobody has read.
    pub(super) fn set_receive_buffer(&self, bytes: usize) -> Result<(), Error> {
        sockopt::set_socket_recv_buffer_size_force(&self.fd, bytes)
            .map_err(|error| Error::io("size the event buffer", error))
    }
}

fn unknown() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// One message of those that were received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// What follows the general header.
    pub(super) fn attrs(&self) -> &'a [u8] {
        self.body.get(GENERIC..).unwrap_or_default()
    }

    fn error(&self) -> Option<io::Error> {
        let number = i32::from_ne_bytes(self.body.get(..4)?.try_into().ok()?);
        (self.kind == ERROR && number != 0).then(|| io::Error::from_raw_os_error(-number))
    }
}

pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.get(..HEADER)?;
        let u16_at = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let u32_at =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = u32_at(0) as usize;
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind: u16_at(4), flags: u16_at(6), sequence: u32_at(8), body })
    })
}

/// The attributes of a message, or in an attribute.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & !NESTED & !0x4000;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

pub(super) fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?))
}

pub(super) fn be64(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.get(..8)?.try_into().ok()?))
}

/// Text without the NUL at its end.
pub(super) fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default().trim_end_matches('\0')
}
