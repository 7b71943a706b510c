//! From lines to news.

use std::borrow::Cow;
use std::time::Instant;

use memchr::memchr;
use podgate_api::{Answer, AnswerReader, Refusal, WatchEvent};

use super::{Item, News, Watched};

/// What some lines of a watch say.
#[derive(Debug)]
pub(super) struct Batch {
    /// When the last of the lines was read.
    pub read: Instant,
    pub news: Vec<News>,
    /// The newest version that was told, and whether a bookmark ended the first list with it.
    pub version: Option<Box<str>>,
    pub ends_list: bool,
    /// What ended the batch before its last line.
    pub end: Option<End>,
    /// How many lines told something.
    pub events: usize,
}

/// Why no further line is read.
#[derive(Debug)]
pub(super) enum End {
    /// The server ends the watch.
    Refused(Refusal),
    /// A line is none of a watch.
    Garbage(String),
    /// A version is older than one that was told before.
    BackInTime,
}

/// Reads lines. `since` is the version that is known; `None` while the first list is told, in no order.
pub(super) fn decode(
    what: Watched,
    reader: &AnswerReader,
    lines: &[u8],
    read: Instant,
    mut since: Option<u64>,
    mut is_listing: bool,
) -> Batch {
    let mut batch = Batch { read, news: Vec::new(), version: None, ends_list: false, end: None, events: 0 };
    let mut rest = lines;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(memchr(b'\n', rest).map_or(rest.len(), |end| end + 1));
        rest = after;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let text = text_of(line);
        let event = match reader.event(&text) {
            Ok(event) => event,
            Err(fault) => {
                batch.end = Some(End::Garbage(format!("{fault} (`{}`)", beginning(&text))));
                break;
            }
        };
        let version = match &event {
            WatchEvent::Applied(answer) | WatchEvent::Deleted(answer) => Some(&answer.resource_version),
            WatchEvent::Bookmark { resource_version, .. } => Some(resource_version),
            WatchEvent::Refused(_) => None,
        };
        let ends_list = is_listing && matches!(event, WatchEvent::Bookmark { ends_list: true, .. });
        if let Some(version) = version.filter(|_| !is_listing || ends_list) {
            // Versions are numbers that grow, whatever else the text of one means.
            let number = version.parse::<u64>().ok();
            if number < since && number.is_some() {
                batch.end = Some(End::BackInTime);
                break;
            }
            since = number.or(since);
            if !version.is_empty() {
                batch.version = Some(version.clone());
            }
        }
        batch.events += usize::from(!matches!(event, WatchEvent::Refused(_)));
        match event {
            WatchEvent::Applied(answer) => applied(what, answer, &mut batch.news),
            WatchEvent::Deleted(answer) => batch.news.push(News::Deleted(what, answer.key, answer.uid)),
            WatchEvent::Bookmark { .. } => {
                if ends_list {
                    batch.news.push(News::Synced(what));
                    batch.ends_list = true;
                    is_listing = false;
                }
            }
            WatchEvent::Refused(refusal) => {
                batch.end = Some(End::Refused(refusal));
                break;
            }
        }
    }
    batch
}

/// An object, and what is wrong with it.
pub(super) fn applied(what: Watched, answer: Answer, news: &mut Vec<News>) {
    let has_errors = answer.has_errors();
    let Answer { key, resource_version, generation, object, diagnostics, .. } = answer;
    if let Some(object) = object {
        news.push(News::Applied(what, Item { object, resource_version, generation }));
    }
    if has_errors {
        news.push(News::Unreadable(what, key, diagnostics));
    }
}

/// Servers send nothing but UTF-8, to check which is quick.
pub(super) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Enough of a line to recognize what sent it.
pub(super) fn beginning(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.trim().chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.trim().chars().nth(SHOWN).is_some() { format!("{shown}…") } else { shown }
}
