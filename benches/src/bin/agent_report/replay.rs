//! A server that answers lists and watches as an API server does, from texts that are made before.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

type Lists = BTreeMap<&'static str, Vec<String>>;
type Watchers = Arc<Mutex<BTreeMap<String, Vec<Sender<String>>>>>;

pub(crate) struct Replay {
    address: SocketAddr,
    watchers: Watchers,
    /// The resource version of the last event.
    version: std::cell::Cell<u64>,
}

const VERSION: &str = "\"resourceVersion\":\"";
/// The resource version of the lists.
const LISTED: u64 = 10_000_000;

impl Replay {
    pub(crate) fn start(lists: Vec<(&'static str, Vec<String>)>) -> Result<Replay> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let lists: Arc<Lists> = Arc::new(lists.into_iter().collect());
        let watchers = Watchers::default();
        let heard = watchers.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (lists, watchers) = (lists.clone(), heard.clone());
                // Whoever hangs up needs no answer.
                std::thread::spawn(move || answer_all(stream, &lists, &watchers).ok());
            }
        });
        Ok(Replay { address, watchers, version: LISTED.into() })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends an event to all that watch a resource.
    pub(crate) fn send(&self, resource: &str, kind: &str, object: &str) -> Result<()> {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let watchers = watchers.get(resource).with_context(|| format!("nobody watches {resource}"))?;
        self.version.update(|version| version + 1);
        let (before, after) = object.split_once(VERSION).context("an object with a resource version")?;
        let (_, after) = after.split_once('"').context("the end of a resource version")?;
        let version = self.version.get();
        let line = format!("{{\"type\":\"{kind}\",\"object\":{before}{VERSION}{version}\"{after}}}\n");
        watchers.iter().for_each(|watcher| drop(watcher.send(line.clone())));
        Ok(())
    }
}

fn answer_all(stream: TcpStream, lists: &Lists, watchers: &Watchers) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = BufWriter::with_capacity(1 << 18, stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let resource = path.rsplit('/').next().unwrap_or_default();
        match lists.get(resource) {
            None => {
                let text = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#;
                write!(
                    writer,
                    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                )?;
                writer.flush()?;
            }
            Some(list) => {
                let (sender, events) = channel();
                let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
                watchers.entry(resource.to_owned()).or_default().push(sender);
                drop(watchers);
                let is_list = query.contains("sendInitialEvents=true");
                return stream_watch(&mut writer, if is_list { list } else { &[] }, is_list, &events);
            }
        }
    }
}

fn stream_watch(
    writer: &mut BufWriter<TcpStream>,
    list: &[String],
    is_list: bool,
    events: &Receiver<String>,
) -> Result<()> {
    write!(
        writer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    for object in list {
        chunk(writer, &format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n"))?;
    }
    if is_list {
        chunk(
            writer,
            &format!(
                "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{LISTED}\",\"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
            ),
        )?;
    }
    writer.flush()?;
    while let Ok(line) = events.recv() {
        chunk(writer, &line)?;
        writer.flush()?;
    }
    Ok(())
}

fn chunk(writer: &mut impl Write, text: &str) -> Result<()> {
    write!(writer, "{:x}\r\n{text}\r\n", text.len())?;
    Ok(())
}
