//! Asking somebody inside a lab, as its pods would, and hearing who answers.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use podgate_lab::netns;
use podgate_lab::plan::ServicePlan;

use crate::lab::TestLab;

/// Enough for an answer inside one machine.
pub const PATIENCE: Duration = Duration::from_millis(400);

/// What comes of asking somebody: the words of who answers, `refused`, `silent`, or another error.
pub fn ask(protocol: &str, from: Option<IpAddr>, to: SocketAddr, payload: &[u8]) -> String {
    let answer = match protocol {
        "tcp" => tcp(from, to),
        _ => udp(from, to, payload),
    };
    answer.unwrap_or_else(|error| match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "silent".to_owned(),
        _ => error.to_string(),
    })
}

fn tcp(from: Option<IpAddr>, to: SocketAddr) -> std::io::Result<String> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Also limits how long connecting takes.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    if let Some(from) = from {
        bind(&socket, &SocketAddr::new(from, 0))?;
    }
    match connect(&socket, &to) {
        Err(rustix::io::Errno::INPROGRESS) => return Err(ErrorKind::TimedOut.into()),
        other => other?,
    }
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 256];
    let length = stream.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned())
}

fn udp(from: Option<IpAddr>, to: SocketAddr, payload: &[u8]) -> std::io::Result<String> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind(SocketAddr::new(from.unwrap_or(any), 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // A connected socket hears of ICMP errors.
    socket.connect(to)?;
    socket.send(payload)?;
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap_or_default().to_owned())
}

/// Asks from a pod or node: `port` of each of `ips`. What is expected may be the first words of the answer.
#[track_caller]
pub fn check(lab: &TestLab, from: &str, protocol: &str, ips: &[IpAddr], port: u16, expected: &str) {
    for ip in ips {
        let to = SocketAddr::new(*ip, port);
        let said = netns::run(&place(lab, from), || ask(protocol, None, to, b"hello")).unwrap();
        let fits = said == expected || said.starts_with(&format!("{expected} "));
        assert!(fits, "{from} to {protocol} {to}: {said:?}, not {expected:?}");
    }
}

/// The network namespace of a pod or node.
#[track_caller]
pub fn place(lab: &TestLab, name: &str) -> String {
    match lab.plan().nodes.into_iter().find(|node| node.name == name) {
        Some(node) => node.netns,
        None => lab.pod(name).netns,
    }
}

/// The Service of this name.
#[track_caller]
pub fn service(lab: &TestLab, name: &str) -> ServicePlan {
    lab.plan().services.into_iter().find(|service| service.name == name).unwrap()
}

/// One echo request of this many bytes; whether it was answered.
///
/// # Panics
/// Without `ping`.
pub fn ping(netns: &str, to: IpAddr, bytes: usize) -> bool {
    let (bytes, to) = (bytes.to_string(), to.to_string());
    let arguments = ["-q", "-c", "1", "-W", "1", "-s", &bytes, &to];
    netns::run(netns, || Command::new("ping").args(arguments).output()).unwrap().unwrap().status.success()
}
