//! The other end of the enforcement daemon's socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::protocol::{Reply, Request, SOCKET, Status};
use crate::error::{Error, Result};
use crate::probe::{Query, Ruling};
use crate::state::Lab;

/// How long an answer may take. Evaluating or reloading a large lab takes a second or two.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a lab's enforcement daemon.
#[derive(Debug)]
pub struct Client {
    lab: String,
    reader: BufReader<UnixStream>,
}

impl Client {
    /// Connects; `None` when no daemon answers.
    ///
    /// # Errors
    /// When the socket is there but can't be used, as without root.
    pub fn connect(lab: &Lab) -> Result<Option<Client>> {
        let path = lab.file(SOCKET);
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
                _ => return Err(Error::io(format!("connect to {}", path.display()), error)),
            },
        };
        Ok(Some(Client { lab: lab.name().to_owned(), reader: BufReader::new(stream) }))
    }

    /// How the daemon is.
    ///
    /// # Errors
    /// When the daemon goes away or takes too long.
    pub fn status(&mut self) -> Result<Status> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(*status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Makes the daemon read the lab's request and all manifests again; returns when they are in force.
    ///
    /// # Errors
    /// When the daemon goes away or takes too long.
    pub fn reload(&mut self) -> Result<Status> {
        match self.ask(&Request::Reload)? {
            Reply::Status(status) => Ok(*status),
            other => Err(self.unexpected(&other)),
        }
    }

    /// What policy in force says of connections, in their order.
    ///
    /// # Errors
    /// When the daemon goes away or takes too long.
    pub fn evaluate(&mut self, queries: &[Query]) -> Result<Vec<Ruling>> {
        match self.ask(&Request::Evaluate(queries.to_vec()))? {
            Reply::Rulings(rulings) => Ok(rulings),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Hands every flow and notice to `sink` until it returns `false` or the daemon goes. The second argument
    /// tells whether more are at hand, so that a burst need not be printed line by line.
    ///
    /// # Errors
    /// When the socket fails; a daemon that ends is no error.
    pub fn watch(mut self, mut sink: impl FnMut(Reply, bool) -> bool) -> Result<()> {
        self.send(&Request::Watch)?;
        self.set_timeout(None)?;
        while let Some(reply) = self.receive()? {
            let has_more = self.reader.buffer().contains(&b'\n');
            if !sink(reply, has_more) {
                break;
            }
        }
        Ok(())
    }

    fn ask(&mut self, request: &Request) -> Result<Reply> {
        self.set_timeout(Some(PATIENCE))?;
        self.send(request)?;
        match self.receive()? {
            None => Err(Error::message(format!("the enforcement daemon of lab {} ended", self.lab))),
            Some(Reply::Error(text)) => {
                Err(Error::message(format!("the enforcement daemon of lab {}: {text}", self.lab)))
            }
            Some(reply) => Ok(reply),
        }
    }

    fn set_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.reader.get_ref().set_read_timeout(timeout).map_err(|e| self.failed(e))
    }

    fn send(&mut self, request: &Request) -> Result<()> {
        let mut line = serde_json::to_vec(request).map_err(|e| self.failed(e.into()))?;
        line.push(b'\n');
        let sent = self.reader.get_mut().write_all(&line);
        sent.map_err(|e| self.failed(e))
    }

    fn receive(&mut self) -> Result<Option<Reply>> {
        let mut line = String::new();
        let length = self.reader.read_line(&mut line).map_err(|e| self.failed(e))?;
        if length == 0 {
            return Ok(None);
        }
        serde_json::from_str(&line).map(Some).map_err(|e| self.failed(e.into()))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io(format!("talk to the enforcement daemon of lab {}", self.lab), error)
    }

    fn unexpected(&self, reply: &Reply) -> Error {
        Error::message(format!(
            "the enforcement daemon of lab {} said something else than was asked ({reply:?}); \
             was podgate updated since `up`? Run `podgate lab up` again",
            self.lab
        ))
    }
}
