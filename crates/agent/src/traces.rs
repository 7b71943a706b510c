//! The way of a change from the API server into the kernel, told to a collector of OpenTelemetry.
//!
//! ```text
//! loop: hear -> publish -> answer --Trace--> bounded queue --> export: OTLP over HTTP --> collector
//! ```
//!
//! One trace a publication that took in news. The loop notes instants and never waits: what finds no room in the
//! queue is dropped and counted. Without a collector there is no [`Tracer`], and nothing is noted.

mod export;
mod otlp;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::time::{Instant, SystemTime};

use podgate_kube::{News, Watched};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::gate::Steps;
use crate::metrics::{Metrics, Outcome};
use crate::options::TraceOptions;

/// Changed objects that a trace names; all are counted.
const NAMED: usize = 8;
/// Tries of one publication that a trace shows. More come only when the kernel refuses for minutes.
const TRIES: usize = 8;
/// Traces that wait to be sent.
const QUEUE: usize = 256;

/// A stretch of time with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    name: &'static str,
    begun: Instant,
    ended: Instant,
    attributes: Vec<(&'static str, Value)>,
    /// Why it failed; empty when it didn't.
    failure: String,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Count(u64),
    Is(bool),
}

/// All that one publication did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The whole way, from the first byte read to the last answer.
    root: Step,
    /// Its parts.
    steps: Vec<Step>,
    /// What time it was at some instant.
    clock: (Instant, SystemTime),
}

/// How much news of a kind matter, and what a change is called in which they are the weightiest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Pod,
    Node,
    Namespace,
    Policy,
}

impl Weight {
    fn of(what: Watched) -> Weight {
        match what {
            Watched::Pods | Watched::Services => Weight::Pod,
            Watched::Nodes => Weight::Node,
            Watched::Namespaces => Weight::Namespace,
            Watched::NetworkPolicies
            | Watched::ClusterNetworkPolicies
            | Watched::AdminNetworkPolicies
            | Watched::BaselineAdminNetworkPolicies => Weight::Policy,
        }
    }

    fn change(self) -> &'static str {
        match self {
            Weight::Pod => "pod change",
            Weight::Node => "node change",
            Weight::Namespace => "namespace change",
            Weight::Policy => "policy change",
        }
    }
}

/// A changed object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Changed {
    weight: Weight,
    kind: &'static str,
    name: String,
    /// `metadata.resourceVersion`; empty for what is gone.
    version: String,
}

/// News that aren't in the kernel yet.
#[derive(Debug)]
struct Pending {
    read: Instant,
    decoded: Instant,
    weight: Weight,
    /// The weightiest first.
    named: Vec<Changed>,
    count: u64,
    steps: Vec<Step>,
    /// When the last try ended, and whether it was the last.
    ended: Option<Instant>,
    is_done: bool,
}

/// News as they were before the inventory took them: what they changed is known only afterwards.
#[derive(Debug)]
pub(crate) struct Note {
    weight: Weight,
    changed: Option<Changed>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tracer {
    node: String,
    pod_ratio: f64,
    /// Grows by the ratio with each change that is sampled by it; one that makes it 1 is told.
    share: f64,
    pending: Option<Pending>,
    queue: mpsc::Sender<Trace>,
    metrics: Metrics,
}

impl Tracer {
    /// A tracer, and the task that sends what it tells until it is dropped.
    pub(crate) fn start(
        options: &TraceOptions,
        node: &str,
        metrics: &Metrics,
        runtime: &Handle,
    ) -> Result<(Tracer, JoinHandle<()>), String> {
        let (queue, traces) = mpsc::channel(QUEUE);
        let exporter = export::Exporter::new(options, node, metrics.clone())?;
        let tracer = Tracer::new(node, options.pod_ratio, queue, metrics);
        Ok((tracer, runtime.spawn(exporter.send_all(traces))))
    }

    fn new(node: &str, pod_ratio: f64, queue: mpsc::Sender<Trace>, metrics: &Metrics) -> Tracer {
        let (node, metrics) = (node.to_owned(), metrics.clone());
        Tracer { node, pod_ratio, share: 0.0, pending: None, queue, metrics }
    }

    /// Takes down what news are about, before they are taken in.
    pub(crate) fn note(&self, news: &News) -> Option<Note> {
        let (what, namespace, name, version) = match news {
            News::Applied(what, item) => {
                let meta = item.object.meta();
                (*what, &meta.namespace, &meta.name, &*item.resource_version)
            }
            News::Deleted(what, key, _) => (*what, &key.namespace, &key.name, ""),
            _ => return None,
        };
        let weight = Weight::of(what);
        // Lists of a large cluster change hundreds of thousands: those that won't be named cost no text.
        let is_named = self.pending.as_ref().is_none_or(|pending| {
            pending.named.len() < NAMED || pending.named.last().is_some_and(|last| last.weight < weight)
        });
        let changed = is_named.then(|| Changed {
            weight,
            kind: what.kind(),
            name: if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") },
            version: version.to_owned(),
        });
        Some(Note { weight, changed })
    }

    /// The noted news are a change: read and decoded at these instants.
    pub(crate) fn hear(&mut self, read: Instant, decoded: Instant, note: Note) {
        let pending = self.pending.get_or_insert_with(|| Pending {
            read,
            decoded,
            weight: note.weight,
            named: Vec::new(),
            count: 0,
            steps: Vec::new(),
            ended: None,
            is_done: false,
        });
        pending.count += 1;
        pending.weight = pending.weight.max(note.weight);
        if let Some(changed) = note.changed {
            pending.named.push(changed);
            pending.named.sort_by_key(|changed| Reverse(changed.weight));
            pending.named.truncate(NAMED);
        }
    }

    /// What was heard has been published, or the kernel has refused it: then it will be tried again.
    pub(crate) fn publish(&mut self, steps: &Steps, failure: &str) {
        let Some(pending) = &mut self.pending else { return };
        if pending.ended.is_none() {
            pending.steps.push(step("heard", pending.read, pending.decoded, Vec::new()));
            pending.steps.push(step("gathered", pending.decoded, steps.begun, Vec::new()));
        }
        pending.ended = Some(steps.published);
        pending.is_done = failure.is_empty();
        if pending.steps.len() >= 2 * TRIES {
            return;
        }
        let size = vec![
            ("podgate.addresses", Value::Count(steps.addresses as u64)),
            ("podgate.programs", Value::Count(steps.programs as u64)),
        ];
        pending.steps.push(step("compiled", steps.begun, steps.compiled, size));
        if steps.is_publication {
            let how = vec![
                ("podgate.backend", Value::Text(steps.backend.to_string())),
                ("podgate.full", Value::Is(steps.is_full)),
            ];
            let mut published = step("published", steps.compiled, steps.published, how);
            failure.clone_into(&mut published.failure);
            pending.steps.push(published);
        }
    }

    /// Everybody who waited has been answered: what is done is told.
    pub(crate) fn finish(&mut self, conditions: u64, now: Instant) {
        let Some(pending) = self.pending.take_if(|pending| pending.is_done) else { return };
        if !self.is_sampled(pending.weight) {
            return;
        }
        let mut steps = pending.steps;
        if let Some(published) = pending.ended {
            let count = vec![("podgate.conditions", Value::Count(conditions))];
            steps.push(step("answered", published, now, count));
        }
        let texts = |of: fn(&Changed) -> &str| {
            Value::Texts(pending.named.iter().map(|changed| of(changed).to_owned()).collect())
        };
        let attributes = vec![
            ("k8s.node.name", Value::Text(self.node.clone())),
            ("podgate.objects.count", Value::Count(pending.count)),
            ("podgate.objects.kinds", texts(|changed| changed.kind)),
            ("podgate.objects.names", texts(|changed| &changed.name)),
            ("podgate.objects.resource_versions", texts(|changed| &changed.version)),
        ];
        let root = step(pending.weight.change(), pending.read, now, attributes);
        let trace = Trace { root, steps, clock: (Instant::now(), SystemTime::now()) };
        if self.queue.try_send(trace).is_err() {
            self.metrics.traces.get_or_create(&Outcome { result: "dropped" }).inc();
        }
    }

    /// Changes of policies and namespaces are all told; of the others, evenly, the ratio that was asked for.
    fn is_sampled(&mut self, weight: Weight) -> bool {
        if weight >= Weight::Namespace {
            return true;
        }
        self.share += self.pod_ratio;
        let is_sampled = self.share >= 1.0;
        self.share -= if is_sampled { 1.0 } else { 0.0 };
        is_sampled
    }
}

fn step(name: &'static str, begun: Instant, ended: Instant, attributes: Vec<(&'static str, Value)>) -> Step {
    Step { name, begun, ended, attributes, failure: String::new() }
}
