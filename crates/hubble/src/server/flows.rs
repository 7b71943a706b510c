//! GetFlows: what is there, then what comes.

use std::collections::VecDeque;
use std::time::Duration;

use podgate_flow::{Filter, FlowRecord, Losses, Query, Timestamp, View};
use tokio::sync::mpsc;
use tonic::{Response, Status};

use super::{Answers, Node, WAITING, answers, now};
use crate::choice;
use crate::flows::{flow_of, time, timestamp, views};
use crate::mask::Mask;
use crate::proto::flow::{LostEvent, LostEventSource};
use crate::proto::observer::get_flows_response::ResponseTypes;
use crate::proto::observer::{GetFlowsRequest, GetFlowsResponse};
use crate::proto::podgate::v1::WithDetails;

/// How often losses are told at most, and how exactly `until` is kept while nothing comes.
const TICK: Duration = Duration::from_secs(1);

/// Reads a request and starts to answer it.
pub(super) fn start(
    node: &Node,
    request: GetFlowsRequest,
) -> Result<Response<Answers<GetFlowsResponse>>, Status> {
    let filter = choice::filter(&request.whitelist, &request.blacklist, &node.info.cluster)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let paths = match (&request.field_mask, &request.experimental) {
        (Some(mask), _) => &mask.paths[..],
        (None, Some(experimental)) => experimental.field_mask.as_ref().map_or(&[][..], |mask| &mask.paths),
        (None, None) => &[],
    };
    let mask = Mask::new(paths).map_err(Status::invalid_argument)?;
    let mut naming = node.naming.clone();
    naming.details = match &request.extensions {
        None => mask.as_ref().is_some_and(|mask| mask.wants("extensions")),
        Some(any) => any.to_msg::<WithDetails>().map(|_| true).map_err(|error| {
            Status::invalid_argument(format!(
                "extensions: only podgate.v1.WithDetails is understood here: {error}"
            ))
        })?,
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    let since = request.since.as_ref().map(timestamp);
    let until = request.until.as_ref().map(timestamp);
    // Who only follows wants what comes from now on.
    let past = !request.follow || request.number > 0 || since.is_some();
    let job = Job {
        node: node.clone(),
        query: Query { filter, since, until, ..Query::default() },
        number: usize::try_from(request.number).unwrap_or(usize::MAX),
        first: request.first,
        follow: request.follow,
        make: Box::new(move |view| {
            let flow = flow_of(view, &naming);
            mask.as_ref().map_or_else(|| flow.clone(), |mask| mask.apply(&flow))
        }),
        sender,
    };
    tokio::spawn(async move { job.run(past).await.unwrap_or_default() });
    Ok(answers(receiver))
}

struct Job {
    node: Node,
    query: Query,
    number: usize,
    first: bool,
    follow: bool,
    make: Box<dyn Fn(View<'_>) -> crate::proto::flow::Flow + Send + Sync>,
    sender: mpsc::Sender<Result<GetFlowsResponse, Status>>,
}

/// `None`: the reader went away.
type Sent = Option<()>;

impl Job {
    async fn run(mut self, past: bool) -> Sent {
        let history = self.node.tail.history.clone();
        let mut next = history.next();
        if past {
            let batch = history.since(0, usize::MAX);
            next = batch.next;
            let records: Vec<_> =
                batch.records.into_iter().filter(|record| self.is_in_time(record)).collect();
            // In order of time: halves of other nodes come late.
            let records = Query::default().finish(records);
            let fitting = records.iter().flat_map(|record| fitting(&self.query.filter, record));
            for view in take(fitting, self.number, self.first) {
                self.send(view).await?;
            }
        }
        if self.follow { self.follow(next).await } else { Some(()) }
    }

    async fn follow(&mut self, mut next: u64) -> Sent {
        let history = self.node.tail.history.clone();
        let mut losses = history.losses();
        let mut missed = 0;
        let mut told = tokio::time::Instant::now();
        loop {
            let batch = history.since(next, WAITING);
            next = batch.next;
            missed += batch.missed;
            for record in batch.records.iter().filter(|record| self.is_in_time(record)) {
                for view in fitting(&self.query.filter, record) {
                    self.send(view).await?;
                }
            }
            if told.elapsed() >= TICK {
                told = tokio::time::Instant::now();
                self.tell_losses(&mut losses, &mut missed).await?;
            }
            if self.query.until.is_some_and(|until| now() >= until) {
                return Some(());
            }
            if batch.records.is_empty() {
                let mut come = self.node.tail.next.clone();
                tokio::select! {
                    () = self.sender.closed() => return None,
                    _ = tokio::time::timeout(TICK, come.wait_for(|number| *number > next)) => {}
                }
            }
        }
    }

    async fn tell_losses(&self, before: &mut Losses, missed: &mut u64) -> Sent {
        let after = self.node.tail.history.losses();
        let kernel = after.kernel.saturating_sub(before.kernel);
        *before = after;
        let lost = [
            (LostEventSource::PerfEventRingBuffer, kernel),
            (LostEventSource::HubbleRingBuffer, std::mem::take(missed)),
        ];
        for (source, count) in lost.into_iter().filter(|(_, count)| *count > 0) {
            let event = LostEvent { source: source.into(), num_events_lost: count, ..LostEvent::default() };
            self.answer(ResponseTypes::LostEvents(event), &self.node.info.node, now()).await?;
        }
        Some(())
    }

    fn is_in_time(&self, record: &FlowRecord) -> bool {
        self.query.since.is_none_or(|since| record.time >= since)
            && self.query.until.is_none_or(|until| record.time < until)
    }

    async fn send(&self, view: View<'_>) -> Sent {
        let flow = (self.make)(view);
        self.answer(ResponseTypes::Flow(flow), view.node(), view.record().time).await
    }

    async fn answer(&self, what: ResponseTypes, node: &str, at: Timestamp) -> Sent {
        let response =
            GetFlowsResponse { node_name: node.to_owned(), time: Some(time(at)), response_types: Some(what) };
        self.sender.send(Ok(response)).await.ok()
    }
}

/// The directions of a record that fit.
fn fitting<'a>(filter: &'a Filter, record: &'a FlowRecord) -> impl Iterator<Item = View<'a>> {
    views(record).filter(|view| filter.accepts_view(*view))
}

/// As many as are wanted, from either end; 0: all.
fn take<T>(all: impl Iterator<Item = T>, number: usize, first: bool) -> VecDeque<T> {
    if number == 0 {
        return all.collect();
    }
    if first {
        return all.take(number).collect();
    }
    let mut last = VecDeque::new();
    for item in all {
        if last.len() == number {
            last.pop_front();
        }
        last.push_back(item);
    }
    last
}
