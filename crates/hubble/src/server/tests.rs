use std::time::Duration;

use podgate_flow::{FlowRecord, Limits, Losses};
use tonic::Code;
use tonic::transport::Channel;

use super::*;
use crate::client::{Address, connect};
use crate::fixture::{SECOND, allowed, denied, outbound};
use crate::flows::{time, timestamp};
use crate::proto::flow::{self, Flow, FlowFilter, LostEventSource};
use crate::proto::health::HealthCheckRequest;
use crate::proto::health::health_client::HealthClient;
use crate::proto::observer::get_flows_response::ResponseTypes;
use crate::proto::observer::observer_client::ObserverClient;
use crate::proto::podgate::v1;
use crate::proto::podgate::v1::get_records_response::Answer;
use crate::proto::podgate::v1::records_client::RecordsClient;
use crate::{Listener, serve};

mod hubble_cli;

const PATIENCE: Duration = Duration::from_secs(30);

struct Served {
    history: Arc<History>,
    channel: Channel,
    directory: tempfile::TempDir,
}

impl Served {
    /// A server of these records on a socket of this machine, and a client of it.
    async fn new(records: Vec<FlowRecord>) -> Served {
        let history = Arc::new(History::new(Limits { records: 100, ..Limits::default() }));
        let served = Served::of(history).await;
        served.push(records);
        served
    }

    async fn of(history: Arc<History>) -> Served {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hubble.sock");
        let listener = Listener::Unix(tokio::net::UnixListener::bind(&path).unwrap());
        let info = ServerInfo { cluster: "kind".into(), ..ServerInfo::new("a") };
        let routes = services(history.clone(), info).unwrap();
        tokio::spawn(serve(listener, routes, std::future::pending()));
        let channel = connect(&Address::Unix(path), None, PATIENCE).await.unwrap();
        Served { history, channel, directory }
    }

    fn push(&self, records: Vec<FlowRecord>) {
        self.history.push(Timestamp(10 * SECOND), records.into_iter().map(Arc::new));
    }

    fn observer(&self) -> ObserverClient<Channel> {
        ObserverClient::new(self.channel.clone())
    }

    async fn flows(&self, request: GetFlowsRequest) -> Vec<Flow> {
        let mut stream = self.observer().get_flows(request).await.unwrap().into_inner();
        let mut flows = Vec::new();
        while let Some(answer) = stream.message().await.unwrap() {
            let Some(ResponseTypes::Flow(flow)) = answer.response_types else { panic!("{answer:?}") };
            assert_eq!((answer.node_name, answer.time), (flow.node_name.clone(), flow.time));
            flows.push(flow);
        }
        flows
    }

    async fn refused(&self, request: GetFlowsRequest) -> String {
        let status = self.observer().get_flows(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    }

    async fn records(&self, request: GetRecordsRequest) -> (Vec<FlowRecord>, Vec<v1::Losses>) {
        let mut client = RecordsClient::new(self.channel.clone());
        let mut stream = client.get_records(request).await.unwrap().into_inner();
        let (mut records, mut losses) = (Vec::new(), Vec::new());
        while let Some(answer) = stream.message().await.unwrap() {
            match answer.answer.unwrap() {
                Answer::Record(json) => records.push(serde_json::from_slice(&json).unwrap()),
                Answer::Losses(lost) => losses.push(lost),
                Answer::NodeStatus(status) => panic!("{status:?}"),
            }
        }
        (records, losses)
    }
}

/// Second and direction of each flow.
fn told(flows: &[Flow]) -> Vec<(i64, flow::TrafficDirection)> {
    flows.iter().map(|flow| (flow.time.as_ref().unwrap().seconds, flow.traffic_direction())).collect()
}

fn at(second: u64) -> Option<prost_types::Timestamp> {
    Some(time(Timestamp(second * SECOND)))
}

const IN: flow::TrafficDirection = flow::TrafficDirection::Ingress;
const OUT: flow::TrafficDirection = flow::TrafficDirection::Egress;

#[tokio::test]
async fn the_past_is_answered_in_order_of_time_and_counted_in_flows() {
    let served = Served::new(vec![allowed(3), denied(2), outbound(4)]).await;
    let request = GetFlowsRequest::default;
    let all = [(2, OUT), (2, IN), (3, OUT), (3, IN), (4, OUT)];
    assert_eq!(told(&served.flows(request()).await), all);
    let last = GetFlowsRequest { number: 2, ..request() };
    assert_eq!(told(&served.flows(last.clone()).await), all[3..]);
    assert_eq!(told(&served.flows(GetFlowsRequest { first: true, ..last.clone() }).await), all[..2]);
    let times = GetFlowsRequest { since: at(3), until: at(4), ..request() };
    assert_eq!(told(&served.flows(times).await), all[2..4]);

    let dropped = FlowFilter { verdict: vec![flow::Verdict::Dropped.into()], ..FlowFilter::default() };
    let chosen = GetFlowsRequest { whitelist: vec![dropped.clone()], ..last.clone() };
    assert_eq!(told(&served.flows(chosen).await), [(2, IN)], "--last counts what fits");
    let others = GetFlowsRequest { blacklist: vec![dropped], ..request() };
    assert_eq!(told(&served.flows(others).await).len(), 4);
}

#[tokio::test]
async fn masks_and_details_are_given_on_request() {
    let served = Served::new(vec![denied(2)]).await;
    let mask = |paths: &[&str]| prost_types::FieldMask {
        paths: paths.iter().map(|path| path.to_string()).collect(),
    };
    let masked =
        GetFlowsRequest { field_mask: Some(mask(&["verdict", "source.pod_name"])), ..Default::default() };
    let mut stream = served.observer().get_flows(masked).await.unwrap().into_inner();
    let answer = stream.message().await.unwrap().unwrap();
    let Some(ResponseTypes::Flow(flow)) = answer.response_types else { panic!("no flow") };
    let source = flow::Endpoint { pod_name: "web-1".into(), ..Default::default() };
    let verdict = flow::Verdict::Forwarded.into();
    assert_eq!(flow, Flow { source: Some(source), verdict, ..Flow::default() });
    assert_eq!(answer.node_name, "a", "the answer's own fields are not the mask's");

    let plain = served.flows(GetFlowsRequest::default()).await;
    assert!(plain.iter().all(|flow| flow.extensions.is_none()));
    let wish = prost_types::Any::from_msg(&v1::WithDetails {}).unwrap();
    let detailed = served.flows(GetFlowsRequest { extensions: Some(wish), ..Default::default() }).await;
    let details: v1::Details = detailed[1].extensions.as_ref().unwrap().to_msg().unwrap();
    assert_eq!(details.suppressed, 36);
}

#[tokio::test]
async fn followers_get_what_comes_and_hear_of_losses() {
    let served = Served::new(vec![allowed(1), allowed(2)]).await;
    let request = GetFlowsRequest { follow: true, number: 1, ..GetFlowsRequest::default() };
    let mut stream = served.observer().get_flows(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!((first.time.as_ref().map(timestamp), &*first.node_name), (Some(Timestamp(2 * SECOND)), "b"));
    served.history.set_losses(Losses { kernel: 7, ..Losses::default() });
    served.push(vec![outbound(5)]);
    let (mut flows, mut lost) = (0, None);
    while flows == 0 || lost.is_none() {
        match stream.message().await.unwrap().unwrap().response_types.unwrap() {
            ResponseTypes::Flow(flow) => {
                assert_eq!(flow.summary, "UDP");
                flows += 1;
            }
            ResponseTypes::LostEvents(event) => lost = Some((event.source(), event.num_events_lost)),
            ResponseTypes::NodeStatus(status) => panic!("{status:?}"),
        }
    }
    assert_eq!(lost, Some((LostEventSource::PerfEventRingBuffer, 7)));
}

#[tokio::test]
async fn what_can_not_be_answered_is_refused_with_a_reason() {
    let served = Served::new(vec![]).await;
    let filter = FlowFilter { http_path: vec!["/".into()], ..FlowFilter::default() };
    let unsupported = served.refused(GetFlowsRequest { whitelist: vec![filter], ..Default::default() }).await;
    assert!(unsupported.contains("http_path"), "{unsupported}");
    let mask = prost_types::FieldMask { paths: vec!["nothing".into()] };
    let masked = served.refused(GetFlowsRequest { field_mask: Some(mask), ..Default::default() }).await;
    assert!(masked.contains("\"nothing\""), "{masked}");
    let extensions = prost_types::Any { type_url: "a/b.C".into(), value: Vec::new() };
    let extended =
        served.refused(GetFlowsRequest { extensions: Some(extensions), ..Default::default() }).await;
    assert!(extended.contains("WithDetails"), "{extended}");
    let status = served.observer().get_agent_events(GetAgentEventsRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn the_server_tells_about_itself() {
    let served = Served::new(vec![allowed(1), denied(2), outbound(3)]).await;
    let mut observer = served.observer();
    let status = observer.server_status(ServerStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.num_flows, status.seen_flows, status.max_flows), (3, 3, 100));
    assert!(status.version.starts_with("podgate v"), "{}", status.version);
    let nodes = observer.get_nodes(GetNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!((nodes.len(), &*nodes[0].name, nodes[0].state()), (1, "a", NodeState::NodeConnected));
    let namespaces = observer.get_namespaces(GetNamespacesRequest {}).await.unwrap().into_inner().namespaces;
    assert_eq!(namespaces, [Namespace { cluster: "kind".into(), namespace: "shop".into() }]);
    let mut health = HealthClient::new(served.channel.clone());
    let check = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let status = health.check(check("observer.Observer")).await.unwrap().into_inner().status();
    assert_eq!(status.as_str_name(), "SERVING");
    assert_eq!(health.check(check("recorder.Recorder")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn podgates_own_api_has_whole_records_and_what_was_lost() {
    let served = Served::new(vec![allowed(3), denied(2), outbound(4)]).await;
    served.history.set_losses(Losses { kernel: 2, suppressed: 36, ..Losses::default() });
    let (records, losses) = served.records(GetRecordsRequest::default()).await;
    assert_eq!(records, [denied(2), allowed(3), outbound(4)]);
    let start = v1::Losses { since_start: true, kernel: 2, suppressed: 36, ..v1::Losses::default() };
    assert_eq!(losses, [start]);
    let by = v1::Filter { policy: vec!["db-in".into()], ..v1::Filter::default() };
    let (records, _) =
        served.records(GetRecordsRequest { any_of: vec![by], number: 1, ..Default::default() }).await;
    assert_eq!(records, [allowed(3)]);

    let follow = GetRecordsRequest { follow: true, ..GetRecordsRequest::default() };
    let mut client = RecordsClient::new(served.channel.clone());
    let mut stream = client.get_records(follow).await.unwrap().into_inner();
    stream.message().await.unwrap();
    served.push(vec![outbound(6)]);
    let Some(Answer::Record(json)) = stream.message().await.unwrap().unwrap().answer else { panic!() };
    assert_eq!(serde_json::from_slice::<FlowRecord>(&json).unwrap(), outbound(6));
}
