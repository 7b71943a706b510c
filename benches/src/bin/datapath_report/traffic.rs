//! What is measured: four ways to use the network, between two processes on one CPU.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use podgate_bench::Tenants;
use rustix::net::sockopt::set_socket_linger;

use crate::{cpu, net};

/// The first argument that makes this program the server.
pub const SERVE: &str = "--serve";

/// Longer than any answer takes: a lost packet ends the benchmark with an error.
const PATIENCE: Duration = Duration::from_secs(20);
const CHUNK: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// One byte there and one back, on one live connection.
    TcpRr,
    /// One byte there and one back, between connected sockets.
    UdpRr,
    /// A connection is made; the server closes it, the client resets it, so that neither end has to
    /// remember it.
    Connect,
    /// A chunk of 64 KiB, one way.
    Bulk,
}

impl Load {
    pub const ALL: [Load; 4] = [Load::TcpRr, Load::UdpRr, Load::Connect, Load::Bulk];

    pub fn title(self) -> &'static str {
        match self {
            Load::TcpRr => "TCP_RR",
            Load::UdpRr => "UDP_RR",
            Load::Connect => "connect and close",
            Load::Bulk => "bulk TCP, 64 KiB",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Load::TcpRr => "tcp-rr",
            Load::UdpRr => "udp-rr",
            Load::Connect => "connect",
            Load::Bulk => "bulk",
        }
    }
}

/// The server's process: it does what it is told on its standard input.
pub struct Server {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    to: SocketAddr,
}

impl Server {
    pub fn start(address: IpAddr) -> Result<Server> {
        let program = std::env::current_exe().context("find this program")?;
        let mut child = net::inside(net::SERVER, || {
            Command::new(program).arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
        })?
        .context("start the server")?;
        let orders = child.stdin.take().context("the server's standard input")?;
        let answers = BufReader::new(child.stdout.take().context("the server's standard output")?);
        let mut server = Server { child, orders, answers, to: (address, Tenants::PORT).into() };
        server.answer().context("the server didn't start")?;
        Ok(server)
    }

    fn answer(&mut self) -> Result<u64> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("read from the server")?;
        line.trim_end().parse().context("the server ended; its message is above")
    }

    /// CPU time of both ends for `count` operations.
    pub fn measure(&mut self, load: Load, count: u64) -> Result<Duration> {
        writeln!(self.orders, "{} {count}", load.word()).context("write to the server")?;
        let to = self.to;
        let client = net::inside(net::CLIENT, || {
            cpu::pin(cpu::ENDS)?;
            let before = cpu::of_thread();
            client(load, count, to).with_context(|| format!("{} failed at the client", load.title()))?;
            Ok::<_, anyhow::Error>(cpu::of_thread() - before)
        })??;
        Ok(client + Duration::from_nanos(self.answer()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only an error is left to say, and there may be another one on its way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client(load: Load, count: u64, to: SocketAddr) -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let mut byte = [1];
    match load {
        Load::TcpRr => {
            let mut stream = connect(to)?;
            for _ in 0..count {
                stream.write_all(&byte)?;
                stream.read_exact(&mut byte)?;
            }
        }
        Load::UdpRr => {
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            for _ in 0..count {
                socket.send(&byte)?;
                socket.recv(&mut byte)?;
            }
        }
        Load::Connect => {
            for _ in 0..count {
                let mut stream = connect(to)?;
                if stream.read(&mut byte)? != 0 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                set_socket_linger(&stream, Some(Duration::ZERO))?;
            }
        }
        Load::Bulk => {
            let mut stream = connect(to)?;
            let chunk = vec![1; CHUNK];
            for _ in 0..count {
                stream.write_all(&chunk)?;
            }
            stream.read_exact(&mut byte)?;
        }
    }
    Ok(())
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Serves until its standard input ends.
pub fn serve() -> Result<()> {
    cpu::pin(cpu::ENDS)?;
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, Tenants::PORT));
    let listener = TcpListener::bind(any).context("listen")?;
    let socket = UdpSocket::bind(any).context("bind")?;
    socket.set_read_timeout(Some(PATIENCE)).context("set a timeout")?;
    let mut out = io::stdout();
    let mut buffer = vec![0; 4 * CHUNK];
    writeln!(out, "0").context("answer")?;
    for line in io::stdin().lock().lines() {
        let line = line.context("read an order")?;
        let Some((word, count)) = line.split_once(' ') else { bail!("unexpected order: {line}") };
        let count: u64 = count.parse().with_context(|| format!("unexpected order: {line}"))?;
        let load = Load::ALL.into_iter().find(|load| load.word() == word);
        let load = load.with_context(|| format!("unexpected order: {line}"))?;
        let before = cpu::of_thread();
        answer(load, count, &listener, &socket, &mut buffer)
            .with_context(|| format!("{} failed at the server", load.title()))?;
        writeln!(out, "{}", (cpu::of_thread() - before).as_nanos()).context("answer")?;
    }
    Ok(())
}

fn answer(
    load: Load,
    count: u64,
    listener: &TcpListener,
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> Result<()> {
    match load {
        Load::TcpRr => {
            let mut stream = accept(listener)?;
            for _ in 0..count {
                stream.read_exact(&mut buffer[..1])?;
                stream.write_all(&buffer[..1])?;
            }
        }
        Load::UdpRr => {
            for _ in 0..count {
                let (length, from) = socket.recv_from(buffer)?;
                socket.send_to(&buffer[..length], from)?;
            }
        }
        Load::Connect => {
            for _ in 0..count {
                drop(listener.accept()?);
            }
        }
        Load::Bulk => {
            let mut stream = accept(listener)?;
            let mut left = count as usize * CHUNK;
            while left > 0 {
                let length = stream.read(buffer)?;
                ensure!(length > 0, "the connection ended too early");
                left = left.saturating_sub(length);
            }
            stream.write_all(&buffer[..1])?;
        }
    }
    Ok(())
}

fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether a connection to a port that nobody listens on gets its answer, a refusal, in time.
pub fn passes(to: SocketAddr, patience: Duration) -> Result<bool> {
    let tried = net::inside(net::CLIENT, || TcpStream::connect_timeout(&to, patience))?;
    match tried {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Ok(true),
            io::ErrorKind::TimedOut => Ok(false),
            _ => Err(error).with_context(|| format!("connect to {to}")),
        },
    }
}
