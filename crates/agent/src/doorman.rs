//! Pods that start: the plugin's requests, and those of them that wait for the kernel.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use podgate_cni::{Claim, Refusal, Reply, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use crate::agent::Message;

/// The longest request: a GC with some thousands of attachments.
const LONGEST: u64 = 1 << 20;

/// A request with the place for its answer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// A pod that may start when its policies are in the kernel.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) claim: Claim,
    pub(crate) since: Instant,
    pub(crate) until: Instant,
    pub(crate) reply: oneshot::Sender<Reply>,
}

pub(crate) fn refused(retry: bool, message: impl Into<String>, help: impl Into<String>) -> Reply {
    Reply::Refused(Refusal { retry, message: message.into(), help: help.into() })
}

/// Listens where only root may ask; what an earlier agent left there is replaced.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Hands each plugin's request to the loop, and the loop's answer to the plugin.
pub(crate) async fn serve(listener: UnixListener, loop_: SyncSender<Message>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let loop_ = loop_.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, loop_).await {
                        tracing::debug!(%error, "a CNI plugin hung up");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a CNI plugin");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, loop_: SyncSender<Message>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => {
            let (reply, replied) = oneshot::channel();
            let told = loop_.send(Message::Cni(Call { request, reply }));
            match (told, replied.await) {
                (Ok(()), Ok(reply)) => reply,
                _ => refused(true, "the agent is ending", "its successor will answer"),
            }
        }
        Err(error) => refused(
            false,
            format!("the agent can't read the request: {error}"),
            "plugin and agent are of different versions: install the plugin again",
        ),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    writer.write_all(&text).await
}
