//! One object as an API server tells it, in a list or in a watch, read for enforcing: by the decoders of
//! files, but from a tree of those fields alone that decide traffic.

use std::sync::Arc;

use crate::cursor::{Cursor, Sink};
use crate::decode::{self, Decoded};
use crate::json::parse_kept;
use crate::keep::Keep;
use crate::tree::{Fault, Node};
use crate::{Diagnostic, Object, ObjectKey, Severity, Source};

/// What an API server said of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Kind, namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
    /// `metadata.generation`, 0 when absent.
    pub generation: i64,
    /// The object, without what enforcing does not ask for: annotations other than `podgate.dev/…`, and what
    /// its containers are told. `None` when nothing can be made of the answer.
    pub object: Option<Object>,
    /// Findings. After an error the object is one that fails closed.
    pub diagnostics: Vec<Diagnostic>,
}

impl Answer {
    /// Whether the object can't be taken as it is written.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|found| found.severity == Severity::Error)
    }
}

/// One line of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// `ADDED` or `MODIFIED`: the object is there, in this form.
    Applied(Answer),
    /// `DELETED`: the object is gone. Only what names it is read.
    Deleted(Answer),
    /// `BOOKMARK`: everything up to this version was told.
    Bookmark {
        /// `metadata.resourceVersion`.
        resource_version: Box<str>,
        /// All objects that there were at the watch's beginning have been told.
        ends_list: bool,
    },
    /// `ERROR`: the watch ends.
    Refused(Refusal),
}

/// A `Status` that tells of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// `code`, such as 410; 0 when absent.
    pub code: u16,
    /// `reason`, such as `Expired`.
    pub reason: String,
    /// `message`, for people.
    pub message: String,
    /// `details.retryAfterSeconds`, 0 when absent.
    pub retry_after_seconds: u32,
}

/// Reads objects of one kind.
#[derive(Clone, Debug)]
pub struct AnswerReader {
    api_version: String,
    kind: &'static str,
    /// What sources of this kind's objects start with.
    origin: Arc<str>,
    keep: Keep,
    is_policy: bool,
}

/// Ends the list at the beginning of a watch.
const LIST_ENDS: &str = "k8s.io/initial-events-end";

const NAMED: [(&str, Keep); 5] = [
    ("name", Keep::All),
    ("namespace", Keep::All),
    ("uid", Keep::All),
    ("resourceVersion", Keep::All),
    ("generation", Keep::All),
];
const META: Keep = Keep::Only(&[
    ("name", Keep::All),
    ("namespace", Keep::All),
    ("uid", Keep::All),
    ("resourceVersion", Keep::All),
    ("generation", Keep::All),
    ("creationTimestamp", Keep::All),
    ("deletionTimestamp", Keep::All),
    ("labels", Keep::All),
    ("annotations", Keep::Starting(&["podgate.dev/", LIST_ENDS])),
    ("ownerReferences", Keep::Only(&[("kind", Keep::All), ("name", Keep::All), ("controller", Keep::All)])),
]);
const CONTAINER: Keep = Keep::Only(&[("ports", Keep::All), ("restartPolicy", Keep::All)]);

/// An object's fields besides those that every object has.
macro_rules! fields {
    ($($field:expr),*) => {
        Keep::Only(&[
            ("apiVersion", Keep::All), ("kind", Keep::All), ("metadata", META), $($field,)*
            // Of a `Status`.
            ("code", Keep::All), ("reason", Keep::All), ("message", Keep::All),
            ("details", Keep::Only(&[("retryAfterSeconds", Keep::All)])),
        ])
    };
}

/// A line of a watch, around what is kept of its object.
macro_rules! line {
    ($fields:expr) => {
        Keep::Only(&[("type", Keep::All), ("object", $fields)])
    };
}

const NAMESPACE: Keep = fields![];
const POD: Keep = fields![
    (
        "spec",
        Keep::Only(&[
            ("nodeName", Keep::All),
            ("hostNetwork", Keep::All),
            ("readinessGates", Keep::All),
            ("containers", CONTAINER),
            ("initContainers", CONTAINER)
        ])
    ),
    ("status", Keep::Only(&[("phase", Keep::All), ("podIP", Keep::All), ("podIPs", Keep::All)]))
];
const NODE: Keep = fields![
    ("spec", Keep::Only(&[("podCIDR", Keep::All), ("podCIDRs", Keep::All)])),
    ("status", Keep::Only(&[("addresses", Keep::All)]))
];
const SERVICE: Keep = fields![("spec", Keep::All), ("status", Keep::Only(&[("loadBalancer", Keep::All)]))];
/// A policy's specification is read whole: fields that podgate does not know are errors there.
const POLICY: Keep = fields![("spec", Keep::All)];
/// What names an object, for one that can't be read otherwise.
const NAME: Keep = Keep::Only(&[("metadata", Keep::Only(&NAMED))]);

impl AnswerReader {
    /// A reader of objects of this kind, one of those that a node agent follows. `origin` is what sources start
    /// with, such as `context:pods`: sources of policies go on with the policy's name, sources of other objects
    /// are `origin` itself, so that 200,000 pods share one.
    pub fn new(api_version: &str, kind: &'static str, origin: &str) -> Self {
        let keep = match kind {
            "Namespace" => NAMESPACE,
            "Pod" => POD,
            "Node" => NODE,
            "Service" => SERVICE,
            _ => POLICY,
        };
        let is_policy = !matches!(kind, "Namespace" | "Pod" | "Node" | "Service");
        AnswerReader { api_version: api_version.to_owned(), kind, origin: origin.into(), keep, is_policy }
    }

    /// Reads a line of a watch. An error tells what is wrong with a line that names no object.
    pub fn event(&self, line: &str) -> Result<WatchEvent, String> {
        let keep = match self.kind {
            "Namespace" => line!(NAMESPACE),
            "Pod" => line!(POD),
            "Node" => line!(NODE),
            "Service" => line!(SERVICE),
            _ => line!(POLICY),
        };
        let (node, faults) = match parse_kept(line, keep) {
            Ok(read) => read,
            Err(fault) => return self.unreadable_event(line, fault),
        };
        let sink = Sink::new(self.origin.clone(), false);
        let root = Cursor::root(&node, &sink);
        let (Some(kind), Some(object)) = (root.field("type"), root.field("object")) else {
            return Err("it has no `type` and `object`".to_owned());
        };
        match kind.raw() {
            "ADDED" | "MODIFIED" => Ok(WatchEvent::Applied(self.answer(object.node, faults)?)),
            "DELETED" => Ok(WatchEvent::Deleted(self.named(object.node, Vec::new())?)),
            "BOOKMARK" => bookmark(&object),
            "ERROR" => Ok(WatchEvent::Refused(refusal(&object))),
            other => Err(format!("`{}` is no type of event", crate::tree::shorten(other))),
        }
    }

    /// Reads an item of a list. An error tells what is wrong with one that has no name.
    pub fn item(&self, text: &str) -> Result<Answer, String> {
        match parse_kept(text, self.keep) {
            Ok((node, faults)) => self.answer(&node, faults),
            Err(fault) => {
                let (node, _) = parse_kept(text, NAME).map_err(|_| said(&fault))?;
                self.named(&node, vec![self.diagnostic(fault)])
            }
        }
    }

    /// A line that can't be read as a whole may still say which object it is about.
    fn unreadable_event(&self, line: &str, fault: Fault) -> Result<WatchEvent, String> {
        let (node, _) = parse_kept(line, line!(NAME)).map_err(|_| said(&fault))?;
        let sink = Sink::new(self.origin.clone(), false);
        let root = Cursor::root(&node, &sink);
        match (root.field("type"), root.field("object")) {
            (Some(kind), Some(object)) if matches!(kind.raw(), "ADDED" | "MODIFIED") => {
                Ok(WatchEvent::Applied(self.named(object.node, vec![self.diagnostic(fault)])?))
            }
            (Some(kind), Some(object)) if kind.raw() == "DELETED" => {
                Ok(WatchEvent::Deleted(self.named(object.node, Vec::new())?))
            }
            _ => Err(said(&fault)),
        }
    }

    fn diagnostic(&self, fault: Fault) -> Diagnostic {
        let Fault { field, message, help, .. } = fault;
        let field = field.strip_prefix("object.").unwrap_or(&field).to_owned();
        Diagnostic {
            severity: Severity::Error,
            source: Source { file: self.origin.clone(), line: 0, column: 0 },
            field,
            message,
            help,
        }
    }

    /// What names an object.
    fn named(&self, node: &Node<'_>, diagnostics: Vec<Diagnostic>) -> Result<Answer, String> {
        let sink = Sink::new(self.origin.clone(), false);
        let root = Cursor::root(node, &sink);
        let Some(metadata) = root.field("metadata") else {
            return Err("its object has no `metadata`".to_owned());
        };
        let text = |name: &str| metadata.field(name).map(|field| field.raw()).unwrap_or_default();
        if text("name").is_empty() {
            return Err("its object has no name".to_owned());
        }
        Ok(Answer {
            key: ObjectKey {
                kind: self.kind,
                namespace: text("namespace").to_owned(),
                name: text("name").to_owned(),
            },
            uid: text("uid").to_owned(),
            resource_version: text("resourceVersion").into(),
            generation: text("generation").parse().unwrap_or_default(),
            object: None,
            diagnostics,
        })
    }

    fn answer(&self, node: &Node<'_>, faults: Vec<Fault>) -> Result<Answer, String> {
        let mut answer = self.named(node, Vec::new())?;
        let source = if self.is_policy { self.source_of(&answer.key) } else { self.origin.clone() };
        let sink = Sink::new(source, false);
        for mut fault in faults {
            if let Some(field) = fault.field.strip_prefix("object.") {
                fault.field = field.to_owned();
            }
            sink.fault(fault);
        }
        let root = Cursor::root(node, &sink);
        let mut decoded = Decoded::default();
        decode::document(&root, "", Some((&self.api_version, self.kind)), &mut decoded);
        answer.object = decoded.objects.pop().filter(|object| object.key() == answer.key);
        if answer.object.is_none() {
            root.error(
                format!("the server answers with something else than the {} that it names", self.kind),
                "look at what serves this kind: it may be an extension of the server",
            );
        }
        answer.diagnostics = sink.into_found();
        Ok(answer)
    }

    fn source_of(&self, key: &ObjectKey) -> Arc<str> {
        match key.namespace.as_str() {
            "" => format!("{}/{}", self.origin, key.name).into(),
            namespace => format!("{}/{namespace}/{}", self.origin, key.name).into(),
        }
    }
}

fn said(fault: &Fault) -> String {
    match fault.field.as_str() {
        "" => fault.message.clone(),
        field => format!("{field}: {}", fault.message),
    }
}

fn bookmark(object: &Cursor<'_>) -> Result<WatchEvent, String> {
    let metadata = object.field("metadata");
    let version = metadata.as_ref().and_then(|metadata| metadata.field("resourceVersion"));
    let Some(version) = version.map(|version| version.raw()).filter(|version| !version.is_empty()) else {
        return Err("its bookmark has no `resourceVersion`".to_owned());
    };
    let ends_list = metadata
        .as_ref()
        .and_then(|metadata| metadata.field("annotations"))
        .is_some_and(|annotations| annotations.field(LIST_ENDS).is_some_and(|ends| ends.raw() == "true"));
    Ok(WatchEvent::Bookmark { resource_version: version.into(), ends_list })
}

fn refusal(object: &Cursor<'_>) -> Refusal {
    let text = |name: &str| object.field(name).map(|field| field.raw().to_owned()).unwrap_or_default();
    let details = object.field("details");
    let seconds = details.as_ref().and_then(|details| details.field("retryAfterSeconds"));
    Refusal {
        code: text("code").parse().unwrap_or_default(),
        reason: text("reason"),
        message: text("message"),
        retry_after_seconds: seconds.and_then(|seconds| seconds.raw().parse().ok()).unwrap_or_default(),
    }
}
