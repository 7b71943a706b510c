//! One question to all peers.

use std::time::Duration;

use futures_util::future::join_all;
use podgate_flow::Timestamp;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::Peers;
use super::merge::{APART, Item, Window};
use crate::client::{self, Address};
use crate::server::now;

/// How long a peer may stay silent while the past is read.
const SILENCE: Duration = Duration::from_secs(10);
/// How long answers of followers wait for those that belong before them.
const HELD: Duration = Duration::from_millis(300);
/// The first and the last pause before a peer is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What a peer said.
pub(super) enum Said<T> {
    /// An answer.
    Item(T),
    /// Something without a place in time.
    Aside(Aside),
}

/// What isn't an answer.
#[derive(Clone, Debug)]
pub(super) enum Aside {
    /// A peer can be heard.
    Heard(String),
    /// A peer can't be heard, and why.
    Away(String, String),
    /// Flows are missing, and why, as the peer says it.
    Lost(Lost),
}

/// Both forms of losses.
#[derive(Clone, Debug)]
pub(super) enum Lost {
    /// Of the Hubble API, with the node's name.
    Event(crate::proto::flow::LostEvent, String),
    /// Of podgate's own.
    Own(crate::proto::podgate::v1::Losses),
}

/// A question that peers can be asked.
pub(super) trait Question: Clone + Send + Sync + 'static {
    /// Its answers.
    type Item: Item;
    /// The messages that answers travel in.
    type Message: Send;

    /// Asks a peer.
    fn ask(
        &self,
        channel: Channel,
    ) -> impl Future<Output = Result<tonic::Streaming<Self::Message>, Status>> + Send;

    /// What a message says.
    fn read(message: Self::Message) -> Result<Option<Said<Self::Item>>, String>;

    /// How many are wanted (0: all), whether the oldest, and whether to go on.
    fn wants(&self) -> (usize, bool, bool);

    /// The same, for what happened from a time on.
    fn from(&self, since: Timestamp) -> Self;

    /// Whether answers of followers end by themselves.
    fn ends(&self) -> bool;
}

/// Sends what the peers say, in order, until there is no more. `None`: the reader went away.
pub(super) async fn ask<Q: Question>(
    peers: Peers,
    question: Q,
    sender: mpsc::Sender<Said<Q::Item>>,
) -> Option<()> {
    let (number, first, follow) = question.wants();
    let all = peers.now().await;
    if follow {
        return self::follow(peers, all, question, sender).await;
    }
    let heads = all.into_iter().map(|peer| {
        let (peers, question) = (peers.clone(), question.clone());
        async move { Past::open(&peers, peer, &question).await }
    });
    let mut pasts: Vec<Past<Q>> = Vec::new();
    for opened in join_all(heads).await {
        match opened {
            Ok((past, asides)) => {
                for aside in asides {
                    sender.send(Said::Aside(aside)).await.ok()?;
                }
                pasts.push(past);
            }
            Err(aside) => sender.send(Said::Aside(aside)).await.ok()?,
        }
    }
    let mut merged = Merged { window: Window::new(), last: Vec::new(), number, first, sent: 0 };
    loop {
        // The peer whose next answer is the oldest.
        pasts.retain(|past| past.head.is_some());
        let Some(oldest) = pasts.iter_mut().min_by_key(|past| past.head.as_ref().map(Item::time)) else {
            break;
        };
        let (item, asides) = oldest.next().await;
        for aside in asides {
            sender.send(Said::Aside(aside)).await.ok()?;
        }
        let Some(item) = item else { continue };
        let settled = earlier(item.time(), APART);
        merged.window.push(item, now());
        let ready = merged.window.before(settled);
        if !merged.send(ready, &sender).await? {
            return Some(());
        }
    }
    let rest = merged.window.rest();
    merged.send(rest, &sender).await?;
    let surplus = merged.last.len().saturating_sub(number);
    for item in merged.last.into_iter().skip(surplus) {
        sender.send(Said::Item(item)).await.ok()?;
    }
    Some(())
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_sub(by.as_nanos() as u64))
}

/// Answers that are in order, of which as many are sent as are wanted.
struct Merged<T> {
    window: Window<T>,
    last: Vec<T>,
    number: usize,
    first: bool,
    sent: usize,
}

impl<T: Item> Merged<T> {
    /// `Some(false)`: enough.
    async fn send(&mut self, items: Vec<T>, sender: &mpsc::Sender<Said<T>>) -> Option<bool> {
        if self.number > 0 && !self.first {
            self.last.extend(items);
            // Not each time: that would move all of them for each one.
            if self.last.len() >= self.number.saturating_mul(2) {
                self.last.drain(..self.last.len() - self.number);
            }
            return Some(true);
        }
        for item in items {
            if self.number > 0 && self.sent == self.number {
                return Some(false);
            }
            self.sent += 1;
            sender.send(Said::Item(item)).await.ok()?;
        }
        Some(true)
    }
}

/// A peer's answer about the past, which is in order.
struct Past<Q: Question> {
    peer: Address,
    stream: tonic::Streaming<Q::Message>,
    head: Option<Q::Item>,
}

impl<Q: Question> Past<Q> {
    async fn open(peers: &Peers, peer: Address, question: &Q) -> Result<(Past<Q>, Vec<Aside>), Aside> {
        let away = |why: String| Aside::Away(peer.to_string(), why);
        let channel = peers.channel(&peer).await.map_err(away)?;
        let stream = match tokio::time::timeout(SILENCE, question.ask(channel)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(status)) => {
                peers.forget(&peer);
                return Err(away(client::said(&status)));
            }
            Err(_) => return Err(away("it does not answer".to_owned())),
        };
        let mut past = Past { peer: peer.clone(), stream, head: None };
        let (_, asides) = past.next().await;
        Ok((past, asides))
    }

    /// The answer that is there, and makes the next one be there.
    async fn next(&mut self) -> (Option<Q::Item>, Vec<Aside>) {
        let mut asides = Vec::new();
        let head = self.head.take();
        let away = |why: String| Aside::Away(self.peer.to_string(), why);
        loop {
            let message = match tokio::time::timeout(SILENCE, self.stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => break,
                Ok(Err(status)) => {
                    asides.push(away(client::said(&status)));
                    break;
                }
                Err(_) => {
                    asides.push(away("it fell silent".to_owned()));
                    break;
                }
            };
            match Q::read(message) {
                Ok(Some(Said::Item(item))) => {
                    self.head = Some(item);
                    break;
                }
                Ok(Some(Said::Aside(aside))) => asides.push(aside),
                Ok(None) => {}
                Err(why) => {
                    asides.push(away(why));
                    break;
                }
            }
        }
        (head, asides)
    }
}

/// Goes on with what comes. What was asked of the past comes first, in order, and as much as was asked for.
async fn follow<Q: Question>(
    peers: Peers,
    all: Vec<Address>,
    question: Q,
    sender: mpsc::Sender<Said<Q::Item>>,
) -> Option<()> {
    let (number, ..) = question.wants();
    let begun = now();
    let (said, mut heard) = mpsc::channel(crate::server::WAITING);
    for peer in all {
        tokio::spawn(follow_one(peers.clone(), peer, question.clone(), said.clone()));
    }
    drop(said);
    let mut window = Window::new();
    let mut tick = tokio::time::interval(HELD / 3);
    let mut is_past = number > 0;
    loop {
        tokio::select! {
            () = sender.closed() => return None,
            next = heard.recv() => match next {
                Some(Said::Item(item)) => window.push(item, now()),
                Some(aside) => sender.send(aside).await.ok()?,
                None => break,
            },
            _ = tick.tick() => {
                let mut ready = window.came_before(earlier(now(), HELD));
                if is_past && !ready.is_empty() {
                    is_past = false;
                    let past = ready.iter().filter(|item| item.time() < begun).count();
                    ready.drain(..past.saturating_sub(number));
                }
                for item in ready {
                    sender.send(Said::Item(item)).await.ok()?;
                }
            }
        }
    }
    for item in window.rest() {
        sender.send(Said::Item(item)).await.ok()?;
    }
    Some(())
}

/// Follows one peer, again and again when it goes away. `None`: nobody listens any more.
async fn follow_one<Q: Question>(
    peers: Peers,
    peer: Address,
    first: Q,
    said: mpsc::Sender<Said<Q::Item>>,
) -> Option<()> {
    let mut pause = PAUSES.0;
    let mut question = first;
    let mut told_away = false;
    // What was not heard yet.
    let mut since = now();
    loop {
        let why = match peers.channel(&peer).await {
            Err(why) => why,
            Ok(channel) => match question.ask(channel).await {
                // What is wrong with the question stays wrong.
                Err(status) if status.code() == Code::InvalidArgument => {
                    said.send(Said::Aside(Aside::Away(peer.to_string(), client::said(&status))))
                        .await
                        .ok()?;
                    return Some(());
                }
                Err(status) => client::said(&status),
                Ok(mut stream) => {
                    pause = PAUSES.0;
                    told_away = false;
                    said.send(Said::Aside(Aside::Heard(peer.to_string()))).await.ok()?;
                    loop {
                        let message = tokio::select! {
                            () = said.closed() => return None,
                            message = stream.message() => message,
                        };
                        match message.map(|message| message.map(Q::read)) {
                            Ok(Some(Ok(Some(heard)))) => {
                                if let Said::Item(item) = &heard {
                                    since = since.max(item.time().after(Duration::from_nanos(1)));
                                }
                                said.send(heard).await.ok()?;
                            }
                            Ok(Some(Ok(None))) => {}
                            Ok(Some(Err(why))) => break why,
                            Ok(None) if question.ends() => return Some(()),
                            Ok(None) => break "it ended".to_owned(),
                            Err(status) => break client::said(&status),
                        }
                    }
                }
            },
        };
        peers.forget(&peer);
        question = question.from(since);
        if !std::mem::replace(&mut told_away, true) {
            said.send(Said::Aside(Aside::Away(peer.to_string(), why))).await.ok()?;
        }
        tokio::select! {
            () = said.closed() => return None,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}
