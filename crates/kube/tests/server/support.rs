//! An API server as far as a test wants one: it answers what the test's function says.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub token: String,
    pub content_type: String,
    pub body: String,
}

impl Asked {
    pub fn resource(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let query = self.path.split_once('?')?.1;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What the server does about a request.
pub enum Reply {
    /// Status and body.
    Answer(u16, String),
    /// Status 200 and chunks, then the end.
    Stream(Vec<Step>),
}

pub enum Step {
    /// Sends a text as one chunk.
    Send(String),
    /// Does nothing for a while.
    Wait(Duration),
    /// Does nothing until the other side goes away.
    Hold,
    /// Closes the connection in the middle.
    Break,
}

pub struct Api {
    pub kubeconfig: PathBuf,
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Api {
    /// `name` is unique in the test's file.
    pub fn new(name: &str, handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Api {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, handler) = (asked.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, log) = (handler.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &*handler, &log));
            }
        });
        let kubeconfig = write_kubeconfig(name, &format!("http://{address}"), "token: secret");
        Api { kubeconfig, address, asked }
    }

    /// All requests by now.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

/// A file of two contexts; `user` is how the user proves who they are.
pub fn write_kubeconfig(name: &str, server: &str, user: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("podgate-kube-{name}-{}", std::process::id()));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
         contexts: [{{name: dev, context: {{cluster: c, user: u}}}}, {{name: prod, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn serve(stream: TcpStream, handler: &dyn Fn(&Asked) -> Reply, log: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(asked) = request(&mut reader) {
        log.lock().unwrap().push(asked.clone());
        let sent = match handler(&asked) {
            Reply::Answer(code, body) => {
                let head = format!(
                    "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes())
            }
            Reply::Stream(steps) => chunks(&mut stream, &mut reader, steps),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let mut asked = Asked {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        token: String::new(),
        content_type: String::new(),
        body: String::new(),
    };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "content-type" => asked.content_type = value.to_owned(),
            "authorization" => asked.token = value.trim_start_matches("Bearer ").to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}

fn chunks(stream: &mut TcpStream, reader: &mut impl BufRead, steps: Vec<Step>) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for step in steps {
        match step {
            Step::Send(text) => stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?,
            Step::Wait(time) => std::thread::sleep(time),
            Step::Hold => {
                reader.fill_buf()?;
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            Step::Break => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        }
    }
    stream.write_all(b"0\r\n\r\n")
}

pub fn status(code: u16, message: &str) -> String {
    format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"{message}","code":{code}}}"#
    )
}

pub fn list(kind: &str, version: &str, next: &str, items: &[String]) -> String {
    format!(
        r#"{{"kind":"{kind}List","apiVersion":"v1","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{}]}}"#,
        items.join(",")
    )
}
