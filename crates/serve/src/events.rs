//! What is told as it happens: server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use podgate_flow::FlowRecord;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ask::Ask;
use crate::fault::Fault;
use crate::flows::{filters, watched};
use crate::model::Missed;
use crate::state::Server;
use crate::status;

/// How often the status is looked at: a flood of flows is told of once in a while.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How long a thread sleeps at most before it looks whether the server is over.
const NAP: Duration = Duration::from_millis(500);
/// Flows that are taken from the history at once.
const BATCH: usize = 500;

/// Follows what changes, on behalf of all who listen.
pub fn follow(server: &Arc<Server>) -> Vec<JoinHandle<()>> {
    let mut followers = Vec::new();
    if let Some(history) = server.source.history.clone() {
        let server = server.clone();
        followers.push(tokio::task::spawn_blocking(move || {
            let mut number = history.next();
            while !*server.over.borrow() {
                history.wait(number, NAP);
                if history.next() != number {
                    number = history.next();
                    server.came.send_replace(number);
                }
            }
        }));
    }
    let server = server.clone();
    followers.push(tokio::spawn(async move {
        let mut over = server.over.subscribe();
        let mut inventory = server.source.inventory.clone();
        let mut is_alive = true;
        while !*over.borrow_and_update() {
            // Nobody listens: nothing is worked out.
            if server.status.receiver_count() > 0 {
                tell_status(&server).await;
            }
            tokio::select! {
                _ = over.changed() => {}
                changed = inventory.changed(), if is_alive => is_alive = changed.is_ok(),
                () = tokio::time::sleep(STATUS_EVERY) => {}
            }
        }
    }));
    followers
}

async fn tell_status(server: &Arc<Server>) {
    let asked = server.clone();
    let made = tokio::task::spawn_blocking(move || {
        let ask = Ask::status(asked);
        status::status(&ask)
    });
    let Ok(Ok(status)) = made.await else { return };
    server.status.send_if_modified(|last| {
        let is_new = last.as_ref().is_none_or(|last| !last.is_like(&status));
        if is_new {
            *last = Some(Arc::new(status));
        }
        is_new
    });
}

/// Answers /events.
pub fn statuses(ask: Ask) -> Result<Response, Fault> {
    let server = ask.server;
    let state = (server.status.subscribe(), server.over.subscribe(), server);
    let stream = unfold((state, true), async |((mut statuses, mut over, server), is_first)| {
        let mut has_to_wait = !is_first;
        loop {
            if has_to_wait && is_over(&mut over, statuses.changed()).await {
                return None;
            }
            has_to_wait = true;
            let told = statuses.borrow_and_update().clone();
            // The first one may be of a time when nobody listened: the follower tells a new one soon.
            if let Some(status) = told
                && (!is_first || status.revision == server.snapshot().revision())
            {
                return Some((
                    Ok::<_, Infallible>(event("status", &*status)),
                    ((statuses, over, server), false),
                ));
            }
        }
    });
    Ok(sse(stream))
}

/// Answers /flows/stream.
pub fn flows(ask: Ask) -> Result<Response, Fault> {
    watched(&ask)?;
    let filter = filters::parse(ask.parameters()).map_err(Fault::bad)?;
    let server = ask.server;
    let Some(history) = server.source.history.clone() else {
        return Err(Fault::missing("no flows come here any more: /flows has those that are kept"));
    };
    struct State {
        number: u64,
        waiting: std::collections::VecDeque<Event>,
        came: watch::Receiver<u64>,
        over: watch::Receiver<bool>,
    }
    let state = State {
        number: history.next(),
        waiting: Default::default(),
        came: server.came.subscribe(),
        over: server.over.subscribe(),
    };
    let stream = unfold((state, history, filter), async |(mut state, history, filter)| {
        loop {
            if let Some(event) = state.waiting.pop_front() {
                return Some((Ok::<_, Infallible>(event), (state, history, filter)));
            }
            state.came.borrow_and_update();
            let batch = history.since(state.number, BATCH);
            let is_nothing = batch.next == state.number;
            state.number = batch.next;
            if batch.missed > 0 {
                state.waiting.push_back(event("lost", &Missed { missed: batch.missed }));
            }
            let fitting = batch.records.iter().filter(|record| filter.accepts(record));
            state.waiting.extend(fitting.map(|record: &Arc<FlowRecord>| event("flow", &**record)));
            if is_nothing && is_over(&mut state.over, state.came.changed()).await {
                return None;
            }
        }
    });
    Ok(sse(stream))
}

/// Waits for a change. `true`: the server ends first.
async fn is_over(
    over: &mut watch::Receiver<bool>,
    changed: impl Future<Output = Result<(), watch::error::RecvError>>,
) -> bool {
    tokio::select! {
        _ = over.wait_for(|over| *over) => true,
        changed = changed => changed.is_err(),
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(data)
}

fn sse<S>(stream: S) -> Response
where
    S: futures_util::Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}
