//! A name server for tests, which says what a test wants: over UDP and TCP, in a pod of a lab.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use podgate_lab::netns;

type Zone = Arc<Mutex<BTreeMap<String, Vec<Record>>>>;

/// Serves for as long as the process lives.
#[derive(Clone, Debug, Default)]
pub struct NameServer {
    zone: Zone,
}

impl NameServer {
    /// Begins to serve on port 53 of a network namespace, both families.
    ///
    /// # Panics
    /// When the port can't be had.
    #[track_caller]
    pub fn start(namespace: &str) -> NameServer {
        let at = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 53);
        let bound = netns::run(namespace, || (UdpSocket::bind(at).unwrap(), TcpListener::bind(at).unwrap()));
        let (udp, tcp) = bound.unwrap();
        let server = NameServer::default();
        let zone = server.zone.clone();
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, client)) = udp.recv_from(&mut query) {
                // Who gave up doesn't end the server.
                _ = answer(&zone, &query[..length]).map(|answer| udp.send_to(&answer, client));
            }
        });
        let zone = server.zone.clone();
        thread::spawn(move || tcp.incoming().flatten().for_each(|client| serve(&zone, client)));
        server
    }

    /// From now on, this is the answer to a name: names that lead to names, and addresses.
    pub fn say(&self, asked: &str, records: &[(&str, u32, &str)]) {
        let records = records.iter().map(|(owner, ttl, data)| {
            let data = match data.parse() {
                Ok(IpAddr::V4(ip)) => RData::A(A(ip)),
                Ok(IpAddr::V6(ip)) => RData::AAAA(AAAA(ip)),
                Err(_) => RData::CNAME(CNAME(Name::from_ascii(data).unwrap())),
            };
            Record::from_rdata(Name::from_ascii(owner).unwrap(), *ttl, data)
        });
        let mut zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        zone.insert(asked.to_owned(), records.collect());
    }
}

fn serve(zone: &Zone, mut client: TcpStream) {
    let mut length = [0; 2];
    while client.read_exact(&mut length).is_ok() {
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        let Some(answer) = client.read_exact(&mut query).ok().and_then(|()| answer(zone, &query)) else {
            return;
        };
        // In two packets, as large answers are.
        let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
        let (first, rest) = framed.split_at(20);
        _ = client.set_nodelay(true);
        if client.write_all(first).and_then(|()| client.write_all(rest)).is_err() {
            return;
        }
    }
}

fn answer(zone: &Zone, query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let asked = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    match zone.get(&asked) {
        Some(records) => {
            let fits = |record: &&Record| {
                record.record_type() == question.query_type() || record.record_type() == RecordType::CNAME
            };
            answer.answers.extend(records.iter().filter(fits).cloned());
        }
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.queries.push(question);
    answer.to_vec().ok()
}

/// Asks a name server, from a network namespace. Returns the code and how many records came.
///
/// # Panics
/// When there is no answer.
#[track_caller]
pub fn ask(
    namespace: &str,
    server: IpAddr,
    name: &str,
    kind: RecordType,
    by_tcp: bool,
) -> (ResponseCode, usize) {
    let mut query = Message::query();
    query.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
    let (query, server) = (query.to_vec().unwrap(), SocketAddr::new(server, 53));
    let patience = Some(Duration::from_secs(10));
    let bytes = netns::run(namespace, || {
        if by_tcp {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.set_read_timeout(patience).unwrap();
            stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], &query].concat()).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut answer).unwrap();
            return answer;
        }
        let any: SocketAddr = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(patience).unwrap();
        socket.send_to(&query, server).unwrap();
        let mut answer = vec![0; 4096];
        let length = socket.recv(&mut answer).unwrap();
        answer.truncate(length);
        answer
    });
    let answer = Message::from_vec(&bytes.unwrap()).unwrap();
    (answer.metadata.response_code, answer.answers.len())
}
