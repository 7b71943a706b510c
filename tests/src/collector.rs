//! A collector of traces, as agents know it: OTLP in JSON over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::kubernetes::wait_until;

/// What it was told, span by span.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    /// Listens in the network namespace of the caller, until the test ends.
    ///
    /// # Panics
    /// When the port is taken.
    #[track_caller]
    pub fn listen(port: u16) -> Collector {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let collector = Collector::default();
        let served = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let served = served.clone();
                std::thread::spawn(move || while served.take(&stream).is_some() {});
            }
        });
        collector
    }

    /// Takes one request and answers it; `None`: the agent is gone.
    fn take(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let request: Value = serde_json::from_slice(&body).unwrap();
        let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        self.spans.lock().unwrap().extend(spans.iter().cloned());
        let mut stream = stream;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            .ok()
    }

    /// The spans of a trace whose root has this name and names this object, the root first.
    ///
    /// # Panics
    /// When nobody tells of one.
    #[track_caller]
    pub fn wait_for(&self, name: &str, object: &str) -> Vec<Value> {
        let mut trace = Vec::new();
        wait_until(&format!("a trace `{name}` of {object}"), || {
            let spans = self.spans.lock().unwrap();
            let names = |span: &&Value| span["name"] == name && span.to_string().contains(object);
            let Some(root) = spans.iter().find(names) else { return false };
            trace = spans.iter().filter(|span| span["traceId"] == root["traceId"]).cloned().collect();
            true
        });
        trace
    }
}
