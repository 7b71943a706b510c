//! Events, in series where they repeat.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::Method;
use serde_json::json;

use super::JSON;
use super::status::time;
use crate::pages::encoded;
use crate::{Client, Error};

/// What is told again within this time belongs to the same series.
const SERIES: Duration = Duration::from_secs(600);
/// As many series are remembered.
const MOST: usize = 1024;
/// The longest note that the API takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// A time with microseconds, as Events have it.
const MICRO_TIME: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// The object that an Event is about, and who tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventAbout {
    /// `apiVersion` of the object, such as `networking.k8s.io/v1`.
    pub api_version: String,
    /// Kind of the object.
    pub kind: String,
    /// Namespace of the object; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// UID of the object; empty when unknown.
    pub uid: String,
    /// Who tells, such as the node's name.
    pub reporter: String,
}

/// Whether an Event is worth looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody should look at it.
    Warning,
}

impl EventKind {
    const fn as_str(self) -> &'static str {
        match self {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        }
    }
}

/// The Events that were told lately.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<(EventAbout, String, String), Series>);

#[derive(Clone, Debug)]
struct Series {
    /// Name of the Event.
    name: String,
    count: u64,
    last: Instant,
}

impl Told {
    /// The series that goes on, if one does, counted up.
    fn again(&mut self, key: &(EventAbout, String, String)) -> Option<Series> {
        let series = self.0.get_mut(key).filter(|series| series.last.elapsed() < SERIES)?;
        series.count += 1;
        series.last = Instant::now();
        Some(series.clone())
    }

    fn begins(&mut self, key: (EventAbout, String, String), name: String) {
        if self.0.len() >= MOST {
            self.0.retain(|_, series| series.last.elapsed() < SERIES);
        }
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, series)| series.last).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, Series { name, count: 1, last: Instant::now() });
    }
}

impl Client {
    /// Tells an Event. The same reason and note about the same object within ten minutes count as one series.
    pub async fn tell_event(
        &self,
        about: &EventAbout,
        reason: &str,
        note: &str,
        kind: EventKind,
    ) -> Result<(), Error> {
        // Events of objects without a namespace live in this one.
        let namespace = if about.namespace.is_empty() { "default" } else { &about.namespace };
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", encoded(namespace));
        let what = format!("tell an Event about {} {}", about.kind, about.name);
        let key = (about.clone(), reason.to_owned(), note.to_owned());
        let now = SystemTime::now();
        let again = self.told().lock().unwrap_or_else(PoisonError::into_inner).again(&key);
        if let Some(series) = again {
            let path = format!("{path}/{}", encoded(&series.name));
            let patch = json!({"series": {"count": series.count, "lastObservedTime": time(now, MICRO_TIME)}});
            let patched =
                self.write(Method::PATCH, &path, "application/merge-patch+json", &patch, &what).await;
            match patched {
                // Events are deleted after an hour or so, by hand sooner: then it is told anew.
                Err(error) if error.status() == Some(404) => {}
                other => return other.map(drop),
            }
        }
        let name = event_name(&about.name, now);
        let mut regarding = json!({
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
        });
        for (field, value) in [("namespace", &about.namespace), ("uid", &about.uid)] {
            if !value.is_empty() {
                regarding[field] = value.as_str().into();
            }
        }
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": time(now, MICRO_TIME),
            "reportingController": "podgate.dev/agent",
            "reportingInstance": about.reporter,
            "action": "Enforce",
            "reason": reason,
            "regarding": regarding,
            "note": shortened(note),
            "type": kind.as_str(),
        });
        self.write(Method::POST, &path, JSON, &event, &what).await?;
        self.told().lock().unwrap_or_else(PoisonError::into_inner).begins(key, name);
        Ok(())
    }
}

/// A name that no other Event has: the object's, with the time.
fn event_name(object: &str, now: SystemTime) -> String {
    const LONGEST: usize = 200;
    let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let start = &object[..object.floor_char_boundary(LONGEST)];
    format!("{}.{nanos:x}", start.trim_end_matches(['-', '.']))
}

/// As much of a note as the API takes.
fn shortened(note: &str) -> String {
    if note.len() <= LONGEST_NOTE {
        return note.to_owned();
    }
    format!("{}…", &note[..note.floor_char_boundary(LONGEST_NOTE - '…'.len_utf8())])
}
