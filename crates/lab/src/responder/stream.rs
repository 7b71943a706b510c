//! One accepted TCP connection: a greeting, then an echo, or DNS.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Unsent bytes above which nothing more is read from the client.
const FULL: usize = 64 * 1024;

/// A connection and what is still to be sent on it.
#[derive(Debug)]
pub(super) struct Stream {
    pub fd: OwnedFd,
    unsent: Vec<u8>,
    greeting: Greeting,
    ended: bool,
}

/// Whether the client has been greeted.
#[derive(Debug)]
enum Greeting {
    Done,
    /// On the DNS port the client may speak first. What it sent so far is held back; when it says nothing
    /// until the moment, it is greeted as on any other port.
    Waiting {
        line: String,
        received: Vec<u8>,
        until: Instant,
    },
}

/// What a stream wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Read,
    Write,
    Nothing,
}

impl Stream {
    /// A connection that is greeted at once.
    pub fn greeted(fd: OwnedFd, line: String) -> Stream {
        Stream { fd, unsent: line.into_bytes(), greeting: Greeting::Done, ended: false }
    }

    /// A connection whose client may speak DNS until this moment.
    pub fn patient(fd: OwnedFd, line: String, until: Instant) -> Stream {
        let greeting = Greeting::Waiting { line, received: Vec::new(), until };
        Stream { fd, unsent: Vec::new(), greeting, ended: false }
    }

    /// When the client's time to speak first ends.
    pub fn until(&self) -> Option<Instant> {
        match self.greeting {
            Greeting::Waiting { until, .. } => Some(until),
            Greeting::Done => None,
        }
    }

    /// Greets a client that said nothing in time.
    pub fn greet(&mut self) {
        if let Greeting::Waiting { line, received, .. } = &mut self.greeting {
            self.unsent.append(&mut std::mem::take(line).into_bytes());
            self.unsent.append(received);
            self.greeting = Greeting::Done;
        }
    }

    /// Reads and writes as far as it goes. `dns` answers one message, `None` when it is no query.
    pub fn progress(&mut self, dns: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Wants {
        if self.flush().is_err() {
            return Wants::Nothing;
        }
        let mut buffer = [0; 16 * 1024];
        while self.unsent.len() < FULL && !self.ended {
            match recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => self.ended = true,
                Ok((length, _)) => self.received(&buffer[..length], &dns),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(_) => return Wants::Nothing,
            }
            if self.flush().is_err() {
                return Wants::Nothing;
            }
        }
        match (self.unsent.is_empty(), self.ended) {
            (false, _) => Wants::Write,
            (true, false) => Wants::Read,
            (true, true) => Wants::Nothing,
        }
    }

    fn received(&mut self, bytes: &[u8], dns: &impl Fn(&[u8]) -> Option<Vec<u8>>) {
        let Greeting::Waiting { received, .. } = &mut self.greeting else {
            self.unsent.extend(bytes);
            return;
        };
        received.extend(bytes);
        // DNS over TCP: each message after its length in two bytes (RFC 1035, 4.2.2).
        while let Some((length, rest)) = received.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            // A text's first two letters would be a length beyond any query's.
            if length > 4096 {
                return self.greet();
            }
            let Some(message) = rest.get(..length) else { return };
            match dns(message) {
                Some(answer) => {
                    let size = u16::try_from(answer.len()).unwrap_or(u16::MAX);
                    self.unsent.extend(size.to_be_bytes());
                    self.unsent.extend(answer);
                    received.drain(..2 + length);
                }
                None => return self.greet(),
            }
        }
    }

    fn flush(&mut self) -> Result<(), Errno> {
        while !self.unsent.is_empty() {
            match send(&self.fd, &self.unsent, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
