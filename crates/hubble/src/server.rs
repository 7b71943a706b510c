//! The Hubble API and podgate's own, of one history: a node's, or a lab's.

mod flows;
mod records;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::Stream;
use podgate_flow::{History, Party, Timestamp};
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::flows::Naming;
use crate::health::Serving;
use crate::proto::observer::observer_server::{Observer, ObserverServer};
use crate::proto::observer::*;
use crate::proto::podgate::v1::records_server::{Records, RecordsServer};
use crate::proto::podgate::v1::{GetRecordsRequest, GetRecordsResponse};
use crate::proto::relay::NodeState;
use crate::tail::Tail;

/// Answers that wait for their reader.
pub(crate) const WAITING: usize = 256;
/// How long the rate of flows looks back.
const RATE_OVER: Duration = Duration::from_secs(60);

/// A stream of answers.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Who serves.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The node's name.
    pub node: String,
    /// The cluster's name.
    pub cluster: String,
    /// Under which address others reach it, if they do.
    pub address: String,
    /// Whether they have to use TLS.
    pub tls: bool,
}

impl ServerInfo {
    /// A node without an address that others reach it by, of a cluster that has no name of its own.
    pub fn new(node: impl Into<String>) -> ServerInfo {
        ServerInfo { node: node.into(), cluster: "default".to_owned(), address: String::new(), tls: false }
    }
}

/// The services for a history; give them to [`crate::serve()`].
pub fn services(history: Arc<History>, info: ServerInfo) -> std::io::Result<Routes> {
    let naming = Naming::new(info.cluster.clone());
    let server = Node { tail: Tail::new(history)?, info, naming, started: Instant::now() };
    Ok(Routes::new(ObserverServer::new(server.clone()))
        .add_service(RecordsServer::new(server))
        .add_service(Serving::service()))
}

#[derive(Clone, Debug)]
struct Node {
    tail: Tail,
    info: ServerInfo,
    naming: Naming,
    started: Instant,
}

/// The time of day.
pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64)
}

/// A stream from a task that sends into a channel. The task's next attempt to send fails when the reader is gone.
pub(crate) fn answers<T: Send + 'static>(
    receiver: mpsc::Receiver<Result<T, Status>>,
) -> Response<Answers<T>> {
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|answer| (answer, receiver))
    });
    Response::new(Box::pin(stream))
}

#[tonic::async_trait]
impl Observer for Node {
    type GetFlowsStream = Answers<GetFlowsResponse>;
    type GetAgentEventsStream = Answers<GetAgentEventsResponse>;
    type GetDebugEventsStream = Answers<GetDebugEventsResponse>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        flows::start(self, request.into_inner())
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
        let (seen, kept) = self.tail.history.count();
        let node = crate::proto::observer::Node {
            name: self.info.node.clone(),
            version: self.version(),
            address: self.info.address.clone(),
            state: NodeState::NodeConnected.into(),
            tls: Some(Tls { enabled: self.info.tls, server_name: String::new() }),
            uptime_ns: self.started.elapsed().as_nanos() as u64,
            num_flows: kept as u64,
            max_flows: self.tail.history.limits().records as u64,
            seen_flows: seen,
        };
        Ok(Response::new(GetNodesResponse { nodes: vec![node] }))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let records = self.tail.history.since(0, usize::MAX).records;
        let parties = records.iter().flat_map(|record| [&record.source.party, &record.destination.party]);
        let mut namespaces: Vec<String> = parties
            .filter_map(|party| match &**party {
                Party::Pod { namespace, .. } => Some(namespace.clone()),
                _ => None,
            })
            .collect();
        namespaces.sort();
        namespaces.dedup();
        let named = |namespace| Namespace { cluster: self.info.cluster.clone(), namespace };
        Ok(Response::new(GetNamespacesResponse { namespaces: namespaces.into_iter().map(named).collect() }))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let history = &self.tail.history;
        let (seen, kept) = history.count();
        let since = Timestamp(now().0.saturating_sub(RATE_OVER.as_nanos() as u64));
        let records = history.since(0, usize::MAX).records;
        let recent = records.iter().filter(|record| record.time >= since).count();
        let over = RATE_OVER.min(self.started.elapsed()).as_secs_f64().max(1.0);
        Ok(Response::new(ServerStatusResponse {
            num_flows: kept as u64,
            max_flows: history.limits().records as u64,
            seen_flows: seen,
            uptime_ns: self.started.elapsed().as_nanos() as u64,
            num_connected_nodes: None,
            num_unavailable_nodes: None,
            unavailable_nodes: Vec::new(),
            version: self.version(),
            flows_rate: recent as f64 / over,
        }))
    }
}

#[tonic::async_trait]
impl Records for Node {
    type GetRecordsStream = Answers<GetRecordsResponse>;

    async fn get_records(
        &self,
        request: Request<GetRecordsRequest>,
    ) -> Result<Response<Self::GetRecordsStream>, Status> {
        records::start(self, request.into_inner())
    }
}

impl Node {
    fn version(&self) -> String {
        format!("podgate v{}", self.naming.version)
    }
}

#[cfg(test)]
mod tests;
