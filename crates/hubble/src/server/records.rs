//! GetRecords: whole records, for podgate's own commands.

use std::time::Duration;

use podgate_flow::{FlowRecord, Losses, Query};
use tokio::sync::mpsc;
use tonic::{Response, Status};

use super::{Answers, Node, WAITING, answers, now};
use crate::choice;
use crate::proto::podgate::v1;
use crate::proto::podgate::v1::get_records_response::Answer;
use crate::proto::podgate::v1::{GetRecordsRequest, GetRecordsResponse};

const TICK: Duration = Duration::from_secs(1);

/// Reads a request and starts to answer it.
pub(super) fn start(
    node: &Node,
    request: GetRecordsRequest,
) -> Result<Response<Answers<GetRecordsResponse>>, Status> {
    let query = choice::query(&request, &node.info.cluster)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let past = !request.follow || request.number > 0 || query.since.is_some();
    let (sender, receiver) = mpsc::channel(WAITING);
    let job = Job { node: node.clone(), query, sender };
    tokio::spawn(async move { job.run(past, request.follow).await.unwrap_or_default() });
    Ok(answers(receiver))
}

struct Job {
    node: Node,
    query: Query,
    sender: mpsc::Sender<Result<GetRecordsResponse, Status>>,
}

impl Job {
    /// `None`: the reader went away.
    async fn run(self, past: bool, follow: bool) -> Option<()> {
        let history = self.node.tail.history.clone();
        let mut next = history.next();
        let mut losses = history.losses();
        self.answer(Answer::Losses(v1::Losses { since_start: true, ..told(&Losses::default(), &losses, 0) }))
            .await?;
        if past {
            let batch = history.since(0, usize::MAX);
            next = batch.next;
            let fitting = batch.records.into_iter().filter(|record| self.query.accepts(record)).collect();
            for record in self.query.finish(fitting) {
                self.send(&record).await?;
            }
        }
        let mut missed = 0;
        let mut last = tokio::time::Instant::now();
        while follow && self.query.until.is_none_or(|until| now() < until) {
            let batch = history.since(next, WAITING);
            next = batch.next;
            missed += batch.missed;
            for record in batch.records.iter().filter(|record| self.query.accepts(record)) {
                self.send(record).await?;
            }
            if last.elapsed() >= TICK {
                last = tokio::time::Instant::now();
                let after = history.losses();
                let more = told(&losses, &after, std::mem::take(&mut missed));
                losses = after;
                if more != v1::Losses::default() {
                    self.answer(Answer::Losses(more)).await?;
                }
            }
            if batch.records.is_empty() {
                let mut come = self.node.tail.next.clone();
                tokio::select! {
                    () = self.sender.closed() => return None,
                    _ = tokio::time::timeout(TICK, come.wait_for(|number| *number > next)) => {}
                }
            }
        }
        Some(())
    }

    async fn send(&self, record: &FlowRecord) -> Option<()> {
        match serde_json::to_vec(record) {
            Ok(json) => self.answer(Answer::Record(json)).await,
            Err(error) => {
                let status = Status::internal(format!("a record can't be written as JSON: {error}"));
                self.sender.send(Err(status)).await.ok()
            }
        }
    }

    async fn answer(&self, answer: Answer) -> Option<()> {
        self.sender.send(Ok(GetRecordsResponse { answer: Some(answer) })).await.ok()
    }
}

/// What has been lost in between.
fn told(before: &Losses, after: &Losses, reader: u64) -> v1::Losses {
    v1::Losses {
        since_start: false,
        kernel: after.kernel.saturating_sub(before.kernel),
        suppressed: after.suppressed.saturating_sub(before.suppressed),
        disk: after.disk.saturating_sub(before.disk),
        export: after.export.saturating_sub(before.export),
        nodes: after.nodes.saturating_sub(before.nodes),
        reader,
    }
}
