//! The daemon's socket: any number of clients, none of which can hold the daemon up.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::protocol::{Lost, LostBy, Reply, Request};
use crate::error::{Error, Result};

/// Bytes that wait for a watcher before it loses flows: some 25,000 flows, a probe of everything.
const WATCHER_BACKLOG: usize = 16 << 20;
/// The longest request: an evaluation of about half a million connections.
const LONGEST_REQUEST: usize = 64 << 20;

/// The listening socket and its clients.
#[derive(Debug)]
pub(super) struct Server {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
    lost: u64,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: VecDeque<u8>,
    is_watching: bool,
    /// Flows that found no room since the last [`Reply::Lost`].
    lost: u64,
    is_gone: bool,
}

impl Server {
    /// Listens; a socket that a killed daemon left is replaced.
    pub(super) fn bind(path: &Path) -> Result<Server> {
        let failed = |error| Error::io(format!("listen on {}", path.display()), error);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Server { listener, path: path.to_owned(), clients: Vec::new(), lost: 0 })
    }

    /// Sockets to wait on: each with whether it waits to write.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        let clients = self.clients.iter().map(|c| (c.stream.as_fd(), !c.output.is_empty()));
        std::iter::once((self.listener.as_fd(), false)).chain(clients)
    }

    /// Takes what clients sent and sends what waits for them. Requests come with the client's number for
    /// [`Server::reply`].
    pub(super) fn turn(&mut self) -> Vec<(usize, Request)> {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client::new(stream));
            }
        }
        for client in &mut self.clients {
            client.flush();
        }
        self.clients.retain(|client| !client.is_gone);
        let mut requests = Vec::new();
        for (number, client) in self.clients.iter_mut().enumerate() {
            for line in client.lines() {
                match serde_json::from_slice(&line) {
                    Ok(Request::Watch) => client.is_watching = true,
                    Ok(request) => requests.push((number, request)),
                    Err(error) => client.send(&Reply::Error(format!("unreadable request: {error}"))),
                }
            }
        }
        requests
    }

    /// Answers a request of this turn.
    pub(super) fn reply(&mut self, number: usize, reply: &Reply) {
        if let Some(client) = self.clients.get_mut(number) {
            client.send(reply);
        }
    }

    /// Tells all watchers.
    pub(super) fn broadcast(&mut self, reply: &Reply) {
        if self.watchers() == 0 {
            return;
        }
        let Some(line) = line_of(reply) else { return };
        for client in self.clients.iter_mut().filter(|client| client.is_watching) {
            self.lost += client.offer(&line);
        }
    }

    /// How many clients watch.
    pub(super) fn watchers(&self) -> usize {
        self.clients.iter().filter(|client| client.is_watching).count()
    }

    /// How many lines slow watchers have missed.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for client in &mut self.clients {
            client.flush();
        }
        // A client then learns at once that nobody listens.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        Client {
            stream,
            input: Vec::new(),
            output: VecDeque::new(),
            is_watching: false,
            lost: 0,
            is_gone: false,
        }
    }

    /// Complete lines that have come in.
    fn lines(&mut self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.is_gone = true;
                    break;
                }
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_gone |= error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        let Some(end) = self.input.iter().rposition(|byte| *byte == b'\n') else {
            if self.input.len() > LONGEST_REQUEST {
                self.is_gone = true;
            }
            return Vec::new();
        };
        let rest = self.input.split_off(end + 1);
        let whole = std::mem::replace(&mut self.input, rest);
        whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }

    fn send(&mut self, reply: &Reply) {
        if let Some(line) = line_of(reply) {
            self.output.extend(line);
            self.flush();
        }
    }

    /// A line for a watcher, unless too much waits already; returns how many were lost by that.
    fn offer(&mut self, line: &[u8]) -> u64 {
        if self.output.len() + line.len() > WATCHER_BACKLOG {
            self.flush();
        }
        if self.output.len() + line.len() > WATCHER_BACKLOG {
            self.lost += 1;
            return 1;
        }
        if self.lost > 0 {
            let lost = Reply::Lost(Lost { count: self.lost, by: LostBy::Watcher });
            self.output.extend(line_of(&lost).unwrap_or_default());
            self.lost = 0;
        }
        self.output.extend(line);
        0
    }

    fn flush(&mut self) {
        while !self.output.is_empty() {
            let (front, _) = self.output.as_slices();
            match self.stream.write(front) {
                Ok(0) => self.is_gone = true,
                Ok(length) => {
                    self.output.drain(..length);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.is_gone |= error.kind() != io::ErrorKind::WouldBlock,
            }
            break;
        }
        // The count must arrive also when no more flows come.
        if self.output.is_empty() && self.lost > 0 && !self.is_gone {
            let lost = Reply::Lost(Lost { count: self.lost, by: LostBy::Watcher });
            self.lost = 0;
            self.output.extend(line_of(&lost).unwrap_or_default());
        }
    }
}

/// A reply as its line; `None` never happens with these types, and would only cost the line.
fn line_of(reply: &Reply) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(reply).ok()?;
    line.push(b'\n');
    Some(line)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;
    use crate::enforce::protocol::{Notice, NoticeEvent};

    fn server(name: &str) -> (Server, PathBuf) {
        let path = std::env::temp_dir().join(format!("podgate-{name}-{}.sock", std::process::id()));
        (Server::bind(&path).unwrap(), path)
    }

    fn notice(text: &str) -> Reply {
        let event = NoticeEvent::Mended { file: text.to_owned() };
        Reply::Notice(Notice { time: Default::default(), event })
    }

    #[test]
    fn requests_are_answered_in_pieces_too() {
        let (mut server, path) = server("pieces");
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"\"sta").unwrap();
        assert_eq!(server.turn(), []);
        client.write_all(b"tus\"\n\"reload\"\nnonsense\n").unwrap();
        assert_eq!(server.turn(), [(0, Request::Status), (0, Request::Reload)]);
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        assert!(line.contains("unreadable request"), "{line}");
    }

    #[test]
    fn a_slow_watcher_is_told_how_much_it_lost_and_holds_nobody_up() {
        let (mut server, path) = server("slow");
        let mut slow = UnixStream::connect(&path).unwrap();
        slow.write_all(b"\"watch\"\n").unwrap();
        assert_eq!(server.turn(), []);
        assert_eq!(server.watchers(), 1);

        let text = "x".repeat(10_000);
        let sent = 4000;
        for _ in 0..sent {
            server.broadcast(&notice(&text));
        }
        assert!(server.lost() > 0, "40 MB don't fit");

        slow.set_nonblocking(true).unwrap();
        let (mut input, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
        for _ in 0..1000 {
            server.turn();
            while let Ok(length) = slow.read(&mut buffer) {
                input.extend_from_slice(&buffer[..length]);
            }
        }
        let (mut received, mut lost) = (0, 0);
        for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).unwrap() {
                Reply::Notice(_) => received += 1,
                Reply::Lost(told) => lost += told.count,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received + lost, sent);
        assert_eq!(lost, server.lost());
    }

    #[test]
    fn who_goes_is_forgotten() {
        let (mut server, path) = server("gone");
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"\"watch\"\n").unwrap();
        server.turn();
        drop(client);
        server.turn();
        server.turn();
        assert_eq!(server.watchers(), 0);
        drop(server);
        assert!(!path.exists());
    }
}
