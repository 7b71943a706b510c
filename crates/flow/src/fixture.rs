//! Records for tests.

use crate::{Endpoint, FlowId, FlowRecord, FlowVerdict, Party, Protocol, TcpFlags, Timestamp};

/// An allowed connection from one pod to another at a time.
pub(crate) fn flow(time: u64) -> FlowRecord {
    let end = |pod: &str, ip: &str, port: u16| {
        let party = Party::Pod {
            namespace: "shop".into(),
            pod: pod.into(),
            owner: None,
            node: None,
            labels: Default::default(),
        };
        Endpoint::new(ip.parse().unwrap(), port, party)
    };
    let (web, db) = (end("web-0", "10.0.0.1", 40_000), end("db-0", "10.0.0.2", 5432));
    FlowRecord {
        id: FlowId(u128::from(time) << 64),
        tcp_flags: TcpFlags(2),
        ..FlowRecord::new(Timestamp(time), "node-1", FlowVerdict::Allowed, Protocol::TCP, web, db)
    }
}
