//! Flows as a reader takes them: from podgate, from any other server of the Hubble API, or from a file.

use std::io::BufRead;
use std::time::Duration;

use podgate_flow::{Filter, FlowRecord, Query, Take};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::choice::{Unusable, own_filter};
use crate::client::{Address, Tls, Unreachable, connect};
use crate::flows::timestamp;
use crate::json;
use crate::proto::observer::get_flows_response::ResponseTypes;
use crate::proto::observer::observer_client::ObserverClient;
use crate::proto::observer::{
    GetFlowsRequest, GetNamespacesRequest, GetNamespacesResponse, GetNodesRequest, GetNodesResponse,
    ServerStatusRequest, ServerStatusResponse,
};
use crate::proto::podgate::v1::get_records_response::Answer;
use crate::proto::podgate::v1::records_client::RecordsClient;
use crate::proto::podgate::v1::{self, GetRecordsRequest, Losses};
use crate::proto::relay::NodeStatusEvent;
use crate::unflow::from_hubble;

/// Something that a reader hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A connection.
    Record(Box<FlowRecord>),
    /// Flows that are missing.
    Losses(Losses),
    /// Nodes that came or went.
    Nodes(NodeStatusEvent),
}

/// Why flows can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The server can't be spoken to.
    #[error("no flows can be read from {0}")]
    Unreachable(#[from] Unreachable),
    /// It refuses.
    #[error("the server at {0} answers: {1}")]
    Refused(Address, String),
    /// What it sent is no flow.
    #[error("the server at {0} sent a flow that can't be read ({1}): is it of another version?")]
    Unreadable(Address, String),
    /// The filters mean nothing.
    #[error("{0}")]
    Filter(#[from] Unusable),
    /// The file can't be read.
    #[error("line {line}: {why}")]
    Line {
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A thread or socket can't be made.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// A server, for those who wait for its answers.
#[derive(Debug)]
pub struct Server {
    address: Address,
    channel: Channel,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Connects to a server.
    pub fn connect(address: Address, tls: Option<&Tls>, patience: Duration) -> Result<Server, ReadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let channel = runtime.block_on(connect(&address, tls, patience))?;
        Ok(Server { address, channel, runtime })
    }

    /// Hands over what the server has, until there is no more, `take` returns false, or Ctrl-C is pressed.
    pub fn read(
        &self,
        request: GetRecordsRequest,
        mut take: impl FnMut(Heard) -> bool,
    ) -> Result<(), ReadError> {
        self.runtime.block_on(async {
            tokio::select! {
                done = self.read_all(request, &mut take) => done,
                _ = tokio::signal::ctrl_c() => Err(ReadError::Interrupted),
            }
        })
    }

    async fn read_all(
        &self,
        request: GetRecordsRequest,
        take: &mut impl FnMut(Heard) -> bool,
    ) -> Result<(), ReadError> {
        let mut client = RecordsClient::new(self.channel.clone());
        let mut stream = match client.get_records(request.clone()).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Code::Unimplemented => {
                return self.read_flows(request, take).await;
            }
            Err(status) => return Err(self.refused(&status)),
        };
        while let Some(answer) = stream.message().await.map_err(|status| self.refused(&status))? {
            let heard = match answer.answer {
                Some(Answer::Record(json)) => {
                    let record = serde_json::from_slice(&json)
                        .map_err(|error| ReadError::Unreadable(self.address.clone(), error.to_string()))?;
                    Heard::Record(record)
                }
                Some(Answer::Losses(losses)) => Heard::Losses(losses),
                Some(Answer::NodeStatus(status)) => Heard::Nodes(status),
                None => continue,
            };
            if !take(heard) {
                break;
            }
        }
        Ok(())
    }

    /// What every server of the Hubble API has. Policies and rules are chosen here: its filters don't know them.
    async fn read_flows(
        &self,
        request: GetRecordsRequest,
        take: &mut impl FnMut(Heard) -> bool,
    ) -> Result<(), ReadError> {
        let filter = own_filter(&request.any_of, &request.none_of, "")?;
        let is_beyond_hubble = |filter: &&v1::Filter| {
            !filter.policy.is_empty() || !filter.rule.is_empty() || filter.staged || filter.cut
        };
        let own_any = request.any_of.iter().any(|filter| is_beyond_hubble(&filter));
        let of = |filters: &[v1::Filter]| -> Vec<_> {
            filters.iter().map(|filter| filter.flow.clone().unwrap_or_default()).collect()
        };
        let blacklist: Vec<v1::Filter> =
            request.none_of.iter().filter(|filter| !is_beyond_hubble(filter)).cloned().collect();
        let request = GetFlowsRequest {
            number: request.number,
            first: request.first,
            follow: request.follow,
            since: request.since,
            until: request.until,
            whitelist: of(&request.any_of),
            blacklist: of(&blacklist),
            ..GetFlowsRequest::default()
        };
        let is_wanted = |record: &FlowRecord| !own_any || filter.accepts(record);
        let mut client = ObserverClient::new(self.channel.clone());
        let mut stream =
            client.get_flows(request).await.map_err(|status| self.refused(&status))?.into_inner();
        while let Some(answer) = stream.message().await.map_err(|status| self.refused(&status))? {
            let heard = match answer.response_types {
                Some(ResponseTypes::Flow(flow)) => {
                    from_hubble(&flow).filter(is_wanted).map(|record| Heard::Record(Box::new(record)))
                }
                Some(ResponseTypes::NodeStatus(status)) => Some(Heard::Nodes(status)),
                Some(ResponseTypes::LostEvents(lost)) => {
                    Some(Heard::Losses(Losses { kernel: lost.num_events_lost, ..Losses::default() }))
                }
                None => None,
            };
            if heard.is_some_and(|heard| !take(heard)) {
                break;
            }
        }
        Ok(())
    }

    /// How the server is.
    pub fn status(&self) -> Result<ServerStatusResponse, ReadError> {
        let mut client = ObserverClient::new(self.channel.clone());
        let answer = self.runtime.block_on(client.server_status(ServerStatusRequest {}));
        answer.map(tonic::Response::into_inner).map_err(|status| self.refused(&status))
    }

    /// The nodes that it has flows of.
    pub fn nodes(&self) -> Result<GetNodesResponse, ReadError> {
        let mut client = ObserverClient::new(self.channel.clone());
        let answer = self.runtime.block_on(client.get_nodes(GetNodesRequest {}));
        answer.map(tonic::Response::into_inner).map_err(|status| self.refused(&status))
    }

    /// The namespaces that it has flows of.
    pub fn namespaces(&self) -> Result<GetNamespacesResponse, ReadError> {
        let mut client = ObserverClient::new(self.channel.clone());
        let answer = self.runtime.block_on(client.get_namespaces(GetNamespacesRequest {}));
        answer.map(tonic::Response::into_inner).map_err(|status| self.refused(&status))
    }

    fn refused(&self, status: &Status) -> ReadError {
        ReadError::Refused(self.address.clone(), status.message().to_owned())
    }
}

/// The records of a file that fit: lines of Hubble's JSON or of podgate's own. What is about no connection is left out,
/// and so are losses and nodes.
pub fn read_file(file: impl BufRead, request: &GetRecordsRequest) -> Result<Vec<FlowRecord>, ReadError> {
    let filter: Filter = own_filter(&request.any_of, &request.none_of, "")?;
    let number = usize::try_from(request.number).unwrap_or(usize::MAX);
    let take = match (number, request.first) {
        (0, _) => Take::All,
        (number, true) => Take::First(number),
        (number, false) => Take::Last(number),
    };
    let (since, until) = (request.since.as_ref().map(timestamp), request.until.as_ref().map(timestamp));
    let query = Query { filter, since, until, take };
    let mut records: Vec<Box<FlowRecord>> = Vec::new();
    for (i, line) in file.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let record = read_line(&line).map_err(|why| ReadError::Line { line: i + 1, why })?;
        let Some(record) = record else { continue };
        // The two directions of one connection, as podgate's own flows have them one after the other.
        match records.last_mut().filter(|last| !record.id.is_unset() && last.id == record.id) {
            Some(last) => join(last, record),
            None => records.push(Box::new(record)),
        }
    }
    records.retain(|record| query.accepts(record));
    Ok(query.finish(records).into_iter().map(|record| *record).collect())
}

fn read_line(line: &str) -> Result<Option<FlowRecord>, String> {
    if let Ok(record) = serde_json::from_str::<FlowRecord>(line) {
        return Ok(Some(record));
    }
    Ok(match json::read_response(line)?.response_types {
        Some(ResponseTypes::Flow(flow)) => from_hubble(&flow),
        _ => None,
    })
}

/// Adds the other direction of the same connection.
pub(crate) fn join(first: &mut FlowRecord, second: FlowRecord) {
    use podgate_flow::FlowVerdict::{Allowed, Denied, Unknown};
    let was_denied = first.verdict == Denied;
    first.verdict = match (first.verdict, second.verdict) {
        (Denied, _) | (_, Denied) => Denied,
        (Allowed, _) | (_, Allowed) => Allowed,
        (Unknown, Unknown) if first.egress.is_none() == second.egress.is_none() => Unknown,
        // Each end let it through, and neither had heard of the other.
        (Unknown, Unknown) => Allowed,
    };
    // The node that denied; else that of the source, whichever was heard first.
    let is_source = first.egress.is_none() && second.egress.is_some();
    if second.verdict == Denied || (is_source && !was_denied) {
        first.node = second.node;
    }
    first.egress = first.egress.take().or(second.egress);
    first.ingress = first.ingress.take().or(second.ingress);
    first.staged = first.staged.take().or(second.staged);
    first.asked = first.asked.or(second.asked);
    first.service = first.service.take().or(second.service);
    first.cut |= second.cut;
    first.suppressed = first.suppressed.max(second.suppressed);
    for (end, other) in [(&mut first.source, second.source), (&mut first.destination, second.destination)] {
        let knows_less = matches!(&*end.party, podgate_flow::Party::Pod { node: None, .. });
        if knows_less && matches!(&*other.party, podgate_flow::Party::Pod { .. }) {
            end.party = other.party;
        }
        end.dns = end.dns.take().or(other.dns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{allowed, denied, outbound};
    use crate::flows::{Naming, to_hubble};

    /// The records as `hubble observe -o jsonpb` saves them.
    fn saved(records: &[FlowRecord]) -> String {
        let flows = records.iter().flat_map(|record| to_hubble(record, &Naming::new("kind")));
        let line = |flow: crate::proto::flow::Flow| {
            let response_types = Some(ResponseTypes::Flow(flow));
            json::response(&crate::proto::observer::GetFlowsResponse { response_types, ..Default::default() })
                + "\n"
        };
        flows.map(line).collect()
    }

    #[test]
    fn both_directions_of_a_saved_connection_are_one_record_again() {
        let text = saved(&[allowed(1), denied(2), outbound(3)]);
        let records = read_file(text.as_bytes(), &GetRecordsRequest::default()).unwrap();
        let told: Vec<_> =
            records.iter().map(|r| (r.verdict, r.egress.is_some(), r.ingress.is_some())).collect();
        use podgate_flow::FlowVerdict::{Allowed, Denied};
        assert_eq!(told, [(Allowed, true, true), (Denied, true, true), (Allowed, false, false)]);
        assert_eq!((&*records[1].node, records[1].suppressed), ("b", 36));
        let policy = v1::Filter { policy: vec!["default-deny".into()], ..Default::default() };
        let request = GetRecordsRequest { any_of: vec![policy], number: 5, ..Default::default() };
        assert_eq!(read_file(text.as_bytes(), &request).unwrap().len(), 1);
    }

    #[test]
    fn own_lines_come_back_and_bad_ones_are_named() {
        let line = serde_json::to_string(&denied(2)).unwrap();
        let records = read_file(format!("\n{line}\n").as_bytes(), &GetRecordsRequest::default()).unwrap();
        assert_eq!(records, [denied(2)]);
        let error =
            read_file(format!("{line}\nnonsense\n").as_bytes(), &GetRecordsRequest::default()).unwrap_err();
        assert!(error.to_string().starts_with("line 2: "), "{error}");
    }
}
