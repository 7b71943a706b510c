//! The services of a relay.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use podgate_flow::FlowRecord;
use prost_types::Timestamp as ProtoTime;
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::Peers;
use super::ask::{Aside, Lost, Question, Said, ask};
use crate::choice;
use crate::client;
use crate::flows::time;
use crate::health::Serving;
use crate::mask::Mask;
use crate::proto::observer::get_flows_response::ResponseTypes;
use crate::proto::observer::observer_client::ObserverClient;
use crate::proto::observer::observer_server::{Observer, ObserverServer};
use crate::proto::observer::*;
use crate::proto::podgate::v1::get_records_response::Answer;
use crate::proto::podgate::v1::records_client::RecordsClient;
use crate::proto::podgate::v1::records_server::{Records, RecordsServer};
use crate::proto::podgate::v1::{GetRecordsRequest, GetRecordsResponse, Losses};
use crate::proto::relay::{NodeState, NodeStatusEvent};
use crate::server::{Answers, WAITING, answers, now};

/// How long a peer may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// The services of a relay of this name; give them to [`crate::serve()`].
pub fn services(peers: Peers, name: impl Into<String>) -> Routes {
    let relay = Relay { peers, name: name.into(), started: Instant::now() };
    Routes::new(ObserverServer::new(relay.clone()))
        .add_service(RecordsServer::new(relay))
        .add_service(Serving::service())
}

#[derive(Clone, Debug)]
struct Relay {
    peers: Peers,
    name: String,
    started: Instant,
}

fn since(time_of: podgate_flow::Timestamp) -> Option<ProtoTime> {
    Some(time(time_of))
}

impl Question for GetFlowsRequest {
    type Item = GetFlowsResponse;
    type Message = GetFlowsResponse;

    async fn ask(&self, channel: Channel) -> Result<Streaming<GetFlowsResponse>, Status> {
        ObserverClient::new(channel).get_flows(self.clone()).await.map(Response::into_inner)
    }

    fn read(message: GetFlowsResponse) -> Result<Option<Said<GetFlowsResponse>>, String> {
        Ok(match message.response_types {
            Some(ResponseTypes::LostEvents(lost)) => {
                Some(Said::Aside(Aside::Lost(Lost::Event(lost, message.node_name))))
            }
            Some(ResponseTypes::Flow(_)) => Some(Said::Item(message)),
            Some(ResponseTypes::NodeStatus(_)) | None => None,
        })
    }

    fn wants(&self) -> (usize, bool, bool) {
        (usize::try_from(self.number).unwrap_or(usize::MAX), self.first, self.follow)
    }

    fn from(&self, from: podgate_flow::Timestamp) -> Self {
        GetFlowsRequest { number: 0, first: false, since: since(from), ..self.clone() }
    }

    fn ends(&self) -> bool {
        self.until.is_some()
    }
}

impl Question for GetRecordsRequest {
    type Item = FlowRecord;
    type Message = GetRecordsResponse;

    async fn ask(&self, channel: Channel) -> Result<Streaming<GetRecordsResponse>, Status> {
        RecordsClient::new(channel).get_records(self.clone()).await.map(Response::into_inner)
    }

    fn read(message: GetRecordsResponse) -> Result<Option<Said<FlowRecord>>, String> {
        Ok(match message.answer {
            Some(Answer::Record(json)) => {
                let record = serde_json::from_slice(&json);
                Some(Said::Item(record.map_err(|error| format!("a record of it can't be read: {error}"))?))
            }
            Some(Answer::Losses(losses)) => Some(Said::Aside(Aside::Lost(Lost::Own(losses)))),
            Some(Answer::NodeStatus(_)) | None => None,
        })
    }

    fn wants(&self) -> (usize, bool, bool) {
        (usize::try_from(self.number).unwrap_or(usize::MAX), self.first, self.follow)
    }

    fn from(&self, from: podgate_flow::Timestamp) -> Self {
        GetRecordsRequest { number: 0, first: false, since: since(from), ..self.clone() }
    }

    fn ends(&self) -> bool {
        self.until.is_some()
    }
}

/// The state of a node, where an aside tells one.
fn node_status(aside: &Aside) -> Option<NodeStatusEvent> {
    let (state, name, why) = match aside {
        Aside::Heard(name) => (NodeState::NodeConnected, name, ""),
        Aside::Away(name, why) => (NodeState::NodeUnavailable, name, why.as_str()),
        Aside::Lost(_) => return None,
    };
    let node_names = vec![name.clone()];
    Some(NodeStatusEvent { state_change: state.into(), node_names, message: why.to_owned() })
}

/// An answer of all peers, each part of it put into a message.
fn stream<Q: Question, M: Send + 'static>(
    peers: Peers,
    question: Q,
    message: impl Fn(Said<Q::Item>) -> Vec<M> + Send + 'static,
) -> Response<Answers<M>> {
    let (said, mut heard) = mpsc::channel(WAITING);
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move { ask(peers, question, said).await.unwrap_or_default() });
    tokio::spawn(async move {
        while let Some(said) = tokio::select! {
            said = heard.recv() => said,
            () = sender.closed() => None,
        } {
            for message in message(said) {
                if sender.send(Ok(message)).await.is_err() {
                    return;
                }
            }
        }
    });
    answers(receiver)
}

#[tonic::async_trait]
impl Records for Relay {
    type GetRecordsStream = Answers<GetRecordsResponse>;

    async fn get_records(
        &self,
        request: Request<GetRecordsRequest>,
    ) -> Result<Response<Self::GetRecordsStream>, Status> {
        let request = request.into_inner();
        choice::own_filter(&request.any_of, &request.none_of, "")
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let answer = |answer| GetRecordsResponse { answer: Some(answer) };
        Ok(stream(self.peers.clone(), request, move |said| match said {
            Said::Item(record) => {
                serde_json::to_vec(&record).map(|json| answer(Answer::Record(json))).into_iter().collect()
            }
            Said::Aside(Aside::Lost(Lost::Own(losses))) => vec![answer(Answer::Losses(losses))],
            Said::Aside(aside) => {
                let lost = matches!(aside, Aside::Away(..))
                    .then(|| answer(Answer::Losses(Losses { nodes: 1, ..Losses::default() })));
                node_status(&aside)
                    .map(|status| answer(Answer::NodeStatus(status)))
                    .into_iter()
                    .chain(lost)
                    .collect()
            }
        }))
    }
}

#[tonic::async_trait]
impl Observer for Relay {
    type GetFlowsStream = Answers<GetFlowsResponse>;
    type GetAgentEventsStream = Answers<GetAgentEventsResponse>;
    type GetDebugEventsStream = Answers<GetDebugEventsResponse>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let request = request.into_inner();
        choice::filter(&request.whitelist, &request.blacklist, "")
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let paths = request.field_mask.as_ref().map_or(&[][..], |mask| &mask.paths);
        Mask::new(paths).map_err(Status::invalid_argument)?;
        let name = self.name.clone();
        Ok(stream(self.peers.clone(), request, move |said| match said {
            Said::Item(response) => vec![response],
            Said::Aside(Aside::Lost(Lost::Event(lost, node_name))) => {
                let response_types = Some(ResponseTypes::LostEvents(lost));
                vec![GetFlowsResponse { node_name, time: since(now()), response_types }]
            }
            Said::Aside(aside) => node_status(&aside)
                .map(|status| GetFlowsResponse {
                    node_name: name.clone(),
                    time: since(now()),
                    response_types: Some(ResponseTypes::NodeStatus(status)),
                })
                .into_iter()
                .collect(),
        }))
    }

    async fn get_agent_events(
        &self,
        _: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        Err(Status::unimplemented("podgate has no events of agents: its log and metrics tell what it does"))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        Err(Status::unimplemented("podgate has no debug events"))
    }

    async fn get_nodes(&self, _: Request<GetNodesRequest>) -> Result<Response<GetNodesResponse>, Status> {
        let mut nodes = Vec::new();
        for (peer, answer) in
            self.each(|mut client| async move { client.get_nodes(GetNodesRequest {}).await }).await
        {
            match answer {
                Ok(answer) => nodes.extend(answer.nodes.into_iter().map(|mut node| {
                    node.address = peer.clone();
                    node
                })),
                Err(_) => nodes.push(Node {
                    name: peer.clone(),
                    address: peer,
                    state: NodeState::NodeUnavailable.into(),
                    ..Node::default()
                }),
            }
        }
        nodes.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
        Ok(Response::new(GetNodesResponse { nodes }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let answers =
            self.each(|mut client| async move { client.get_namespaces(GetNamespacesRequest {}).await }).await;
        let heard = answers.into_iter().filter_map(|(_, answer)| answer.ok());
        let mut namespaces: Vec<_> = heard.flat_map(|answer| answer.namespaces).collect();
        namespaces.sort_by(|a, b| (&a.cluster, &a.namespace).cmp(&(&b.cluster, &b.namespace)));
        namespaces.dedup();
        Ok(Response::new(GetNamespacesResponse { namespaces }))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let answers =
            self.each(|mut client| async move { client.server_status(ServerStatusRequest {}).await }).await;
        let mut sum = ServerStatusResponse {
            uptime_ns: self.started.elapsed().as_nanos() as u64,
            version: format!("podgate v{}", env!("CARGO_PKG_VERSION")),
            ..ServerStatusResponse::default()
        };
        let mut connected = 0;
        for (peer, answer) in answers {
            match answer {
                Ok(status) => {
                    connected += 1;
                    sum.num_flows += status.num_flows;
                    sum.max_flows += status.max_flows;
                    sum.seen_flows += status.seen_flows;
                    sum.flows_rate += status.flows_rate;
                }
                Err(_) => sum.unavailable_nodes.push(peer),
            }
        }
        sum.num_connected_nodes = Some(connected);
        sum.num_unavailable_nodes = Some(sum.unavailable_nodes.len() as u32);
        Ok(Response::new(sum))
    }
}

impl Relay {
    /// What each peer answers to a short question, in order of their addresses.
    async fn each<T, F>(
        &self,
        question: impl Fn(ObserverClient<Channel>) -> F,
    ) -> Vec<(String, Result<T, String>)>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let question = &question;
        let asked = self.peers.now().await.into_iter().map(|peer| async move {
            let name = peer.to_string();
            let answer = async {
                let client = ObserverClient::new(self.peers.channel(&peer).await?);
                question(client).await.map(Response::into_inner).map_err(|status| {
                    self.peers.forget(&peer);
                    client::said(&status)
                })
            };
            let answer = tokio::time::timeout(PATIENCE, answer).await;
            (name, answer.unwrap_or_else(|_| Err("it does not answer".to_owned())))
        });
        join_all(asked).await
    }
}

#[cfg(test)]
mod tests;
