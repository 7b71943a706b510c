//! A lab for a test: brought up by the podgate binary, taken down however the test ends.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use podgate_lab::{Plan, netns};
use serde_json::Value;

const PODGATE: &str = env!("CARGO_BIN_EXE_podgate");
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Lab {
    name: String,
    /// The test's own manifests.
    dir: PathBuf,
    paths: Vec<String>,
    nodes: usize,
}

/// A NetworkPolicy for ingress in namespace `shop`.
pub fn policy(name: &str, labels: &str, ingress: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  podSelector: {{matchLabels: {labels}}}\n  ingress: {ingress}\n"
    )
}

#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Lab {
    pub fn up(name: &str, files: &[(&str, &str)], nodes: usize) -> Lab {
        let lab = Lab::new(name, nodes, Vec::new());
        files.iter().for_each(|(file, text)| lab.write(file, text));
        lab.up_again(&[]);
        lab
    }

    pub fn up_from(name: &str, paths: &[String], nodes: usize) -> Lab {
        let lab = Lab::new(name, nodes, paths.to_vec());
        lab.up_again(&[]);
        lab
    }

    fn new(name: &str, nodes: usize, mut paths: Vec<String>) -> Lab {
        let name = format!("{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(format!("podgate-{name}"));
        fs::create_dir_all(&dir).unwrap();
        if paths.is_empty() {
            paths.push(dir.display().to_string());
        }
        Lab { name, dir, paths, nodes }
    }

    pub fn up_again(&self, options: &[&str]) {
        let nodes = self.nodes.to_string();
        let paths = self.paths.iter().map(String::as_str);
        let arguments: Vec<&str> = ["up"].into_iter().chain(paths).chain(["--nodes", &nodes]).collect();
        let output = self.podgate(&[&arguments, options].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn podgate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PODGATE);
        command.arg("lab").args(arguments).args(["--name", &self.name]);
        command.output().unwrap()
    }

    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).unwrap();
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.dir.join(file)).unwrap();
    }

    fn handle(&self) -> podgate_lab::Lab {
        podgate_lab::Lab::new(&self.name).unwrap()
    }

    fn plan(&self) -> Plan {
        self.handle().plan().unwrap().unwrap()
    }

    #[track_caller]
    pub fn probe(&self, arguments: &[&str]) -> Value {
        let output = self.podgate(&[&["probe", "-o", "json"], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    #[track_caller]
    pub fn probe_code(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.podgate(&[&["probe", "-o", "json"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn status(&self) -> Value {
        let mut client = podgate_lab::enforce::Client::connect(&self.handle()).unwrap().unwrap();
        serde_json::to_value(client.status().unwrap()).unwrap()
    }

    /// Waits until web-0 to api-0 is as told.
    #[track_caller]
    pub fn expect(&self, verdict: &str) {
        let wanted = verdict == "allowed";
        let reached = || self.is_reached("shop/web-0", "shop/api-0", 8080, Duration::from_millis(200));
        wait_until(&format!("web-0 to api-0 is {verdict}"), || reached() == wanted);
    }

    fn address(&self, pod: &str) -> (String, SocketAddr) {
        let plan = self.plan();
        let pod = plan.pods.iter().find(|candidate| candidate.key() == pod).unwrap();
        (pod.netns.clone(), SocketAddr::new(pod.ips[0], 0))
    }

    pub fn is_reached(&self, from: &str, to: &str, port: u16, timeout: Duration) -> bool {
        let (source, (_, mut target)) = (self.address(from).0, self.address(to));
        target.set_port(port);
        let connected = netns::run(&source, || TcpStream::connect_timeout(&target, timeout)).unwrap();
        match connected {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => true,
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => false,
            Err(error) => panic!("{from} to {to}: {error}"),
        }
    }

    pub fn connect(&self, from: &str, to: &str, port: u16) -> Connection {
        let (source, (_, mut target)) = (self.address(from).0, self.address(to));
        target.set_port(port);
        let stream = netns::run(&source, || TcpStream::connect_timeout(&target, PATIENCE)).unwrap().unwrap();
        let mut connection = Connection { stream };
        // The responder says who it is first.
        connection.read(b'\n').unwrap();
        connection
    }

    pub fn watch(&self) -> Watch {
        let mut command = Command::new(PODGATE);
        command.args(["lab", "watch", "-o", "json", "--name", &self.name]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        wait_until("the daemon knows its watcher", || self.status()["watchers"] == 1);
        Watch { child, lines }
    }

    pub fn kill_daemon(&self) {
        let pid = podgate_lab::process::find(&self.handle(), podgate_lab::process::Role::Enforce);
        let pid = pid.unwrap().expect("the daemon runs").to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        wait_until("the daemon is gone", || {
            podgate_lab::process::find(&self.handle(), podgate_lab::process::Role::Enforce).unwrap().is_none()
        });
    }

    /// Runs an nft script on a node.
    pub fn nft(&self, node: &str, script: &str) {
        let plan = self.plan();
        let node = plan.nodes.iter().find(|candidate| candidate.name == node).unwrap();
        let status = netns::run(&node.netns, || Command::new("nft").arg(script).status()).unwrap();
        assert!(status.unwrap().success(), "{script}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.handle().file("enforce.log")).unwrap_or_default();
            eprintln!("enforce.log:\n{log}");
        }
        let output = self.podgate(&["down"]);
        let _ = fs::remove_dir_all(&self.dir);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// A connection to a responder.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    fn read(&mut self, until: u8) -> std::io::Result<()> {
        self.stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut byte = [0];
        while byte[0] != until {
            self.stream.read_exact(&mut byte)?;
        }
        Ok(())
    }

    #[track_caller]
    pub fn expect_echo(&mut self) {
        self.stream.write_all(b"a\n").unwrap();
        self.read(b'\n').unwrap();
    }

    /// What is sent now never arrives, so nothing comes back.
    #[track_caller]
    pub fn expect_silence(&mut self) {
        self.stream.write_all(b"b\n").unwrap();
        let error = self.read(b'\n').expect_err("the connection is cut");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }
}

/// The JSON lines of `podgate lab watch`.
pub struct Watch {
    child: Child,
    lines: Receiver<Value>,
}

impl Watch {
    /// The next line that is meant.
    #[track_caller]
    pub fn until(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            match line {
                Ok(line) if is_meant(&line) => return line,
                Ok(_) => {}
                Err(_) => panic!("no such line within {PATIENCE:?}"),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
