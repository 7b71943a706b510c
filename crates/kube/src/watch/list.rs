//! Lists page by page, from servers that don't stream them.

use std::time::Instant;

use podgate_api::AnswerReader;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::decode::{applied, beginning, text_of};
use super::{News, Watched};
use crate::Client;
use crate::client::{Asked, Fault};
use crate::kinds::Kind;
use crate::pages::encoded;

/// Objects of one page.
const PAGE: usize = 500;
/// How often a list may start over because its pages expired.
const RESTARTS: usize = 3;

#[derive(Deserialize)]
struct List<'a> {
    metadata: ListMeta,
    /// Written as `null` by servers that have none.
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    #[serde(default, rename = "continue")]
    next: String,
    #[serde(default)]
    resource_version: Box<str>,
}

/// One page.
struct Page {
    news: Vec<News>,
    next: String,
    version: Box<str>,
}

/// Tells all objects, and returns the version that they are of.
pub(super) async fn list(
    client: &Client,
    what: Watched,
    kind: &Kind,
    reader: &AnswerReader,
    sink: &(impl Fn(Instant, Vec<News>) + Sync),
) -> Result<Box<str>, Fault> {
    let mut restarts = 0;
    'list: loop {
        let mut next = String::new();
        let mut is_first = true;
        loop {
            // A list whose pages expire all the time is taken in one piece, as other clients do.
            let limit = if restarts < RESTARTS { format!("?limit={PAGE}") } else { String::new() };
            let more = if next.is_empty() { String::new() } else { format!("&continue={}", encoded(&next)) };
            let path = format!("{}{limit}{more}", kind.path());
            let text = match client.ask(&Asked::get(&path)).await {
                Err(fault) if fault.code() == 410 && restarts < RESTARTS => {
                    restarts += 1;
                    continue 'list;
                }
                other => other?,
            };
            let read = Instant::now();
            let reader = reader.clone();
            let decoded = tokio::task::spawn_blocking(move || page(what, &reader, &text));
            let mut page = match decoded.await {
                Ok(page) => page.map_err(Fault::Unreachable)?,
                Err(error) => return Err(Fault::Unreachable(format!("a page was not read: {error}"))),
            };
            if is_first {
                page.news.insert(0, News::Listing(what));
                is_first = false;
            }
            let is_last = page.next.is_empty();
            if is_last {
                page.news.push(News::Synced(what));
            }
            sink(read, page.news);
            if is_last {
                return Ok(page.version);
            }
            next = page.next;
        }
    }
}

fn page(what: Watched, reader: &AnswerReader, text: &[u8]) -> Result<Page, String> {
    let text = text_of(text);
    let list: List<'_> = serde_json::from_str(&text).map_err(|error| {
        format!("the list is not what an API server writes: {error} (`{}`)", beginning(&text))
    })?;
    let mut news = Vec::new();
    for item in list.items.unwrap_or_default() {
        let answer =
            reader.item(item.get()).map_err(|fault| format!("an item of the list is no object: {fault}"))?;
        applied(what, answer, &mut news);
    }
    Ok(Page { news, next: list.metadata.next, version: list.metadata.resource_version })
}

/// The version that the server is at.
pub(super) async fn version(client: &Client, kind: &Kind) -> Result<Box<str>, Fault> {
    #[derive(Deserialize)]
    struct Head {
        metadata: ListMeta,
    }
    let head: Option<Head> = client.get(&format!("{}?limit=1", kind.path())).await?;
    Ok(head.map(|head| head.metadata.resource_version).unwrap_or_default())
}
