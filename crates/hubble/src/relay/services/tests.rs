use std::sync::Arc;

use podgate_flow::{FlowVerdict, History, Limits};

use super::*;
use crate::client::{Address, connect};
use crate::fixture::{SECOND, allowed, denied, outbound};
use crate::proto::podgate::v1;
use crate::{Listener, ServerInfo, serve};

/// A server that can be ended, on a socket of this machine.
struct Served {
    address: Address,
    history: Arc<History>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
}

fn listen(address: &Address, services: Routes) -> tokio::sync::oneshot::Sender<()> {
    let Address::Unix(path) = address else { panic!() };
    drop(std::fs::remove_file(path));
    let listener = Listener::Unix(tokio::net::UnixListener::bind(path).unwrap());
    let (end, ended) = tokio::sync::oneshot::channel();
    tokio::spawn(serve(listener, services, async move { drop(ended.await) }));
    end
}

impl Served {
    fn node(directory: &tempfile::TempDir, name: &str) -> Served {
        let address = Address::Unix(directory.path().join(name));
        let history = Arc::new(History::new(Limits { records: 100, ..Limits::default() }));
        let end = listen(&address, crate::services(history.clone(), ServerInfo::new(name)).unwrap());
        Served { address, history, end: Some(end) }
    }

    fn push(&self, records: Vec<FlowRecord>) {
        self.history.push(podgate_flow::Timestamp(10 * SECOND), records.into_iter().map(Arc::new));
    }
}

/// What the node of one end tells of a record.
fn half(mut record: FlowRecord, egress: bool) -> FlowRecord {
    record.node = if egress { "a".into() } else { "b".into() };
    match egress {
        true => record.ingress = None,
        false => record.egress = None,
    }
    let is_denied = record.ingress.as_ref().is_some_and(|d| d.verdict == podgate_policy::Verdict::Denied);
    record.verdict = if is_denied { FlowVerdict::Denied } else { FlowVerdict::Unknown };
    record
}

/// Two nodes behind a relay, and a third address where nobody is.
async fn relay(directory: &tempfile::TempDir, with_absent: bool) -> (Served, Served, Channel) {
    let (a, b) = (Served::node(directory, "a"), Served::node(directory, "b"));
    a.push(vec![half(allowed(1), true), half(denied(2), true), outbound(4)]);
    b.push(vec![half(allowed(1), false), half(denied(2), false)]);
    let mut peers = vec![a.address.clone(), b.address.clone()];
    if with_absent {
        peers.push(Address::Unix(directory.path().join("c")));
    }
    let address = Address::Unix(directory.path().join("relay"));
    // Ended with the test.
    std::mem::forget(listen(&address, services(Peers::new(peers, None), "relay")));
    let channel = connect(&address, None, PATIENCE).await.unwrap();
    (a, b, channel)
}

async fn records(channel: &Channel, request: GetRecordsRequest) -> (Vec<FlowRecord>, Vec<Answer>) {
    let mut stream = RecordsClient::new(channel.clone()).get_records(request).await.unwrap().into_inner();
    let (mut records, mut others) = (Vec::new(), Vec::new());
    while let Some(answer) = stream.message().await.unwrap() {
        match answer.answer.unwrap() {
            Answer::Record(json) => records.push(serde_json::from_slice(&json).unwrap()),
            other => others.push(other),
        }
    }
    (records, others)
}

#[tokio::test]
async fn two_nodes_are_one_answer_and_counted_together() {
    let directory = tempfile::tempdir().unwrap();
    let (_a, _b, channel) = relay(&directory, false).await;
    let (all, _) = records(&channel, GetRecordsRequest::default()).await;
    assert_eq!(all, [allowed(1), denied(2), outbound(4)]);
    let (last, _) = records(&channel, GetRecordsRequest { number: 2, ..Default::default() }).await;
    assert_eq!(last, [denied(2), outbound(4)]);
    let (first, _) =
        records(&channel, GetRecordsRequest { number: 1, first: true, ..Default::default() }).await;
    assert_eq!(first, [allowed(1)]);

    let mut stream = ObserverClient::new(channel.clone())
        .get_flows(GetFlowsRequest { number: 3, ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let mut told = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        told.push((answer.time.unwrap().seconds, answer.node_name));
    }
    assert_eq!(
        told,
        [(2, "a".to_owned()), (2, "b".to_owned()), (4, "a".to_owned())],
        "the last of all, not of each"
    );
}

#[tokio::test]
async fn nodes_that_are_away_are_named_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (_a, _b, channel) = relay(&directory, true).await;
    let (all, others) = records(&channel, GetRecordsRequest::default()).await;
    assert_eq!(all.len(), 3);
    let away = others.iter().find_map(|other| match other {
        Answer::NodeStatus(status) if status.state_change() == NodeState::NodeUnavailable => Some(status),
        _ => None,
    });
    assert!(away.unwrap().node_names[0].ends_with("/c"), "{others:?}");
    assert!(
        others.iter().any(|other| matches!(other, Answer::Losses(v1::Losses { nodes: 1, .. }))),
        "{others:?}"
    );

    let mut observer = ObserverClient::new(channel);
    let status = observer.server_status(ServerStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(
        (status.num_connected_nodes, status.num_unavailable_nodes, status.num_flows),
        (Some(2), Some(1), 5)
    );
    let nodes = observer.get_nodes(GetNodesRequest {}).await.unwrap().into_inner().nodes;
    let connected = nodes.iter().filter(|node| node.state() == NodeState::NodeConnected).count();
    assert_eq!((nodes.len(), connected), (3, 2));
    let namespaces = observer.get_namespaces(GetNamespacesRequest {}).await.unwrap().into_inner().namespaces;
    assert_eq!(namespaces.len(), 1);
    let bad = GetFlowsRequest {
        whitelist: vec![crate::proto::flow::FlowFilter { http_path: vec!["/".into()], ..Default::default() }],
        ..Default::default()
    };
    assert_eq!(observer.get_flows(bad).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn followers_hear_of_nodes_that_go_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let (a, mut b, channel) = relay(&directory, false).await;
    let request = GetRecordsRequest { follow: true, ..Default::default() };
    let mut stream = RecordsClient::new(channel).get_records(request).await.unwrap().into_inner();
    let mut heard = async |wanted: &str| loop {
        let told = match stream.message().await.unwrap().unwrap().answer.unwrap() {
            Answer::Record(json) => {
                let record: FlowRecord = serde_json::from_slice(&json).unwrap();
                format!("record {:?}", record.verdict)
            }
            Answer::NodeStatus(status) => {
                let name = status.node_names[0].rsplit('/').next().unwrap_or_default().to_owned();
                format!("{} {name}", status.state_change().as_str_name())
            }
            Answer::Losses(_) => continue,
        };
        if told == wanted {
            return;
        }
    };
    heard("NODE_CONNECTED b").await;
    // Both are followed once something of theirs comes through.
    let (mut one, mut other) = (half(allowed(5), true), half(allowed(5), false));
    (one.time, other.time) = (now(), now());
    a.push(vec![one]);
    b.push(vec![other]);
    heard("record Allowed").await;

    drop(b.end.take());
    heard("NODE_UNAVAILABLE b").await;
    b = Served::node(&directory, "b");
    let mut late = half(denied(6), false);
    late.time = now();
    b.push(vec![late]);
    heard("NODE_CONNECTED b").await;
    heard("record Denied").await;
}
