//! Flows as a reader takes them: from podgate, from any other server of the Hubble API, or from a file.

use std::io::BufRead;
use std::time::Duration;

use podgate_flow::FlowRecord;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::choice::{Unusable, own_filter};
use crate::client::{Address, Tls, Unreachable, connect, is_broken};
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
    /// It is gone, or cut off.
    #[error("the connection to {0} broke")]
    Broken(Address),
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
        match is_broken(status) {
            true => ReadError::Broken(self.address.clone()),
            false => ReadError::Refused(self.address.clone(), status.message().to_owned()),
        }
    }
}

/// Hands over what a file has, in its order, until there is no more or `take` returns false: lines of Hubble's JSON, of
/// podgate's own, and of `podgate lab watch`. What is about no connection is left out. Returns the number of a last line
/// that is not whole: whoever wrote it was stopped, or goes on writing.
///
/// # Errors
/// When the file can't be read, or a line of it is no flow.
pub fn read_lines(
    mut file: impl BufRead,
    mut take: impl FnMut(Heard) -> bool,
) -> Result<Option<usize>, ReadError> {
    let mut waiting: Option<Box<FlowRecord>> = None;
    let mut text = String::new();
    let mut cut_short = None;
    for line in 1.. {
        text.clear();
        if file.read_line(&mut text)? == 0 {
            break;
        }
        let heard = match read_line(text.trim()) {
            Ok(Some(heard)) => heard,
            Ok(None) => continue,
            Err(_) if !text.ends_with('\n') => {
                cut_short = Some(line);
                break;
            }
            Err(why) => return Err(ReadError::Line { line, why }),
        };
        let next = match heard {
            Heard::Record(record) => {
                // The two directions of one connection, as podgate's own flows have them one after the other.
                match waiting.as_deref_mut().filter(|last| !record.id.is_unset() && last.id == record.id) {
                    Some(last) => {
                        join(last, *record);
                        continue;
                    }
                    None => waiting.replace(record).map(Heard::Record),
                }
            }
            other => Some(other),
        };
        if next.is_some_and(|next| !take(next)) {
            return Ok(None);
        }
    }
    waiting.map(|last| take(Heard::Record(last)));
    Ok(cut_short)
}

/// A line of `podgate lab watch -o json`: one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Watched {
    flow: Option<Box<FlowRecord>>,
    lost: Option<Lost>,
    #[serde(rename = "notice")]
    _notice: Option<IgnoredAny>,
    #[serde(rename = "error")]
    _error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Lost {
    count: u64,
}

fn read_line(line: &str) -> Result<Option<Heard>, String> {
    let lost = |kernel| Heard::Losses(Losses { kernel, ..Losses::default() });
    if line.is_empty() {
        return Ok(None);
    }
    if let Ok(record) = serde_json::from_str(line) {
        return Ok(Some(Heard::Record(record)));
    }
    if let Ok(Watched { flow, lost: count, .. }) = serde_json::from_str(line) {
        return Ok(flow.map(Heard::Record).or(count.map(|lost_here| lost(lost_here.count))));
    }
    Ok(match json::read_response(line)?.response_types {
        Some(ResponseTypes::Flow(flow)) => from_hubble(&flow).map(|record| Heard::Record(Box::new(record))),
        Some(ResponseTypes::LostEvents(events)) => Some(lost(events.num_events_lost)),
        Some(ResponseTypes::NodeStatus(status)) => Some(Heard::Nodes(status)),
        None => None,
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

    #[track_caller]
    fn heard(text: &str) -> (Vec<FlowRecord>, u64, Option<usize>) {
        let (mut records, mut lost) = (Vec::new(), 0);
        let cut_short = read_lines(text.as_bytes(), |heard| {
            match heard {
                Heard::Record(record) => records.push(*record),
                Heard::Losses(losses) => lost += losses.kernel,
                Heard::Nodes(_) => {}
            }
            true
        });
        (records, lost, cut_short.unwrap())
    }

    #[test]
    fn both_directions_of_a_saved_connection_are_one_record_again() {
        let (records, _, _) = heard(&saved(&[allowed(1), denied(2), outbound(3)]));
        let told: Vec<_> =
            records.iter().map(|r| (r.verdict, r.egress.is_some(), r.ingress.is_some())).collect();
        use podgate_flow::FlowVerdict::{Allowed, Denied};
        assert_eq!(told, [(Allowed, true, true), (Denied, true, true), (Allowed, false, false)]);
        assert_eq!((&*records[1].node, records[1].suppressed), ("b", 36));
    }

    #[test]
    fn own_lines_come_back_and_bad_ones_are_named() {
        let line = serde_json::to_string(&denied(2)).unwrap();
        for text in [format!("\n{line}\n"), format!("{{\"flow\":{line}}}\n")] {
            assert_eq!(heard(&text).0, [denied(2)], "{text}");
        }
        let error = read_lines(format!("{line}\nnonsense\n").as_bytes(), |_| true).unwrap_err();
        assert!(error.to_string().starts_with("line 2: "), "{error}");
        assert!(read_lines(b"{\"flow\":{\"time\":7}}\n".as_slice(), |_| true).is_err());
        assert_eq!(heard(&format!("{line}\n{}", &line[..40])), (vec![denied(2)], 0, Some(2)));
    }

    #[test]
    fn losses_in_a_file_are_heard() {
        let text = "{\"lost\":{\"count\":7,\"by\":\"kernel\"}}\n{\"notice\":{\"text\":\"x\"}}\n\
            {\"lost_events\":{\"source\":\"PERF_EVENT_RING_BUFFER\",\"num_events_lost\":\"5\"}}\n";
        assert_eq!(heard(text), (vec![], 12, None));
    }
}
