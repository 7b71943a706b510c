//! Lines of an answer that never ends.

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use kube::client::Body;
use memchr::memrchr;

use crate::error::innermost;

/// As much is read at once as is there, up to this: enough to keep another thread busy with it.
const BATCH: usize = 1024 * 1024;
/// No object of an API server is nearly this long.
const LONGEST: usize = 64 * 1024 * 1024;

/// What was read and not yet taken.
pub(super) struct Lines {
    body: Body,
    text: Vec<u8>,
    /// Bytes up to the last end of a line.
    complete: usize,
}

/// What a read of the socket brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Something.
    More,
    /// The end, as the server meant it.
    End,
}

impl Lines {
    pub fn new(body: Body) -> Self {
        Lines { body, text: Vec::new(), complete: 0 }
    }

    /// Reads what is there, waiting for something to be there. Nothing is lost when it is given up.
    pub async fn read(&mut self) -> Result<Read, String> {
        let mut frame = self.body.frame().await;
        loop {
            match frame {
                None => return Ok(Read::End),
                Some(Err(error)) => {
                    let why = innermost(&error);
                    // What TLS says of a server that was killed is for those who write servers.
                    let why = if why.contains("close_notify") { "the server is gone" } else { &why };
                    return Err(format!("the connection broke off: {why}"));
                }
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        let before = self.text.len();
                        self.text.extend_from_slice(data);
                        if let Some(last) = memrchr(b'\n', data) {
                            self.complete = before + last + 1;
                        }
                    }
                }
            }
            if self.text.len() - self.complete > LONGEST {
                return Err(format!("a line of more than {} MiB", LONGEST / 1024 / 1024));
            }
            if self.is_full() {
                return Ok(Read::More);
            }
            // A server sends each event apart; a storm of them is still one batch. What reads the socket hands
            // over one at a time, and has to be let run for the next.
            let mut next = self.body.frame().now_or_never();
            if next.is_none() {
                tokio::task::yield_now().await;
                next = self.body.frame().now_or_never();
            }
            match next {
                Some(Some(next)) => frame = Some(next),
                // The end is met again by the next read.
                Some(None) | None => return Ok(Read::More),
            }
        }
    }

    /// As much as is worth to hold; the rest may wait in the socket.
    pub fn is_full(&self) -> bool {
        self.complete >= BATCH
    }

    /// The lines that are complete.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        if self.complete == 0 {
            return None;
        }
        let rest = self.text.split_off(self.complete);
        self.complete = 0;
        Some(std::mem::replace(&mut self.text, rest))
    }
}
