//! The asking side of the responder's protocols.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto, socket_with, sockopt,
};

const PATIENCE: Duration = Duration::from_millis(1500);

/// Asks as `how` says; tells the answer in one line.
pub fn ask(how: &str, to: SocketAddr) -> io::Result<String> {
    match how {
        "tcp" => tcp(to),
        "udp" => udp(to),
        "sctp" => sctp(to),
        "dns" => dns(to),
        "lines" => lines(to),
        _ => Err(io::Error::other(format!("no way to ask by {how}"))),
    }
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn tcp(to: SocketAddr) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(connect(to)?).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn udp(to: SocketAddr) -> io::Result<String> {
    let any: IpAddr =
        if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(b"hello")?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    let (line, echo) = text.split_once('\n').unwrap_or((&text, ""));
    assert_eq!(echo, "hello", "UDP answers hold the question");
    Ok(line.to_owned())
}

/// Sends three lines, each after the echo of the one before, and tells what came back.
fn lines(to: SocketAddr) -> io::Result<String> {
    let mut stream = BufReader::new(connect(to)?);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut echoed = Vec::new();
    for word in ["one", "two", "three"] {
        writeln!(stream.get_mut(), "{word}")?;
        line.clear();
        stream.read_line(&mut line)?;
        echoed.push(line.trim_end().to_owned());
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(echoed.join(" "))
}

/// Asks for the A record of `web.shop.svc.cluster.local` over TCP (RFC 1035, 4.1 and 4.2.2).
fn dns(to: SocketAddr) -> io::Result<String> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["web", "shop", "svc", "cluster", "local"] {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let mut stream = connect(to)?;
    stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], &query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    // The answer's only record ends with the address.
    let address: [u8; 4] = answer[answer.len() - 4..].try_into().map_err(io::Error::other)?;
    Ok(Ipv4Addr::from(address).to_string())
}

/// Sends an INIT and tells which chunk answers it (RFC 9260, 3.3.2 and 3.3.3).
fn sctp(to: SocketAddr) -> io::Result<String> {
    const SOURCE_PORT: u16 = 61_234;
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::SCTP))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    let mut packet = Vec::new();
    packet.extend(SOURCE_PORT.to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend([0; 8]);
    packet.extend([1, 0, 0, 20, 7, 7, 7, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    sendto(&socket, &packet, SendFlags::empty(), &SocketAddr::new(to.ip(), 0))?;
    let mut buffer = [0; 1024];
    loop {
        let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let header = if to.is_ipv4() { usize::from(buffer[0] & 15) * 4 } else { 0 };
        let answer = &mut buffer[header..length];
        // The socket sees all of the namespace's SCTP packets.
        if answer[2..4] != SOURCE_PORT.to_be_bytes() || answer[4..8] != [7; 4] {
            continue;
        }
        let sum = [answer[8], answer[9], answer[10], answer[11]];
        answer[8..12].fill(0);
        assert_eq!(crc32c(answer).to_le_bytes(), sum, "the answer's checksum");
        return Ok(match answer[12] {
            2 => "INIT ACK".to_owned(),
            6 => "ABORT".to_owned(),
            chunk => format!("chunk {chunk}"),
        });
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
