//! The loop.

mod answers;
mod flows;
mod hearing;
mod names;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use podgate_archive::Archive;
use podgate_cni::{Claim, Claims, Reply};
use podgate_datapath::{DnsAnswers, Repair};
use podgate_flow::History;
use podgate_kube::{Client, News, Watched, Watching, watch};
use podgate_observe::{Keeper, Observer};
use podgate_policy::Settings;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::doorman::{self, Call, Waiting, refused};
use crate::error::Error;
use crate::exports::Exports;
use crate::feedback::{self, Said, Write};
use crate::gate::{Gate, InForce};
use crate::http::{self, Health, Served};
use crate::inventory::{Inventory, LocalPod, is_of};
use crate::memory::{Known, Memory};
use crate::metrics::{Kind, Metrics, Resource, Scope, State};
use crate::options::{Options, PodConditions};
use crate::staging::{Staging, open_observer};
use crate::status::Status;
use crate::traces::Tracer;

/// How often events are read, and what publications put off is looked at. The kernel wakes nobody for them: that would cost every connection.
const EVENTS_EVERY: Duration = Duration::from_millis(10);
/// How often the kernel is checked for what others undo.
const REASSERT_EVERY: Duration = Duration::from_millis(500);
/// How often numbers and conditions are brought up to date.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(1);
/// How long news are gathered before they are published, when more keep coming.
const GATHER: Duration = Duration::from_millis(5);

/// How long an agent waits before it looks again whether another one has ended.
const OCCUPIED: Duration = Duration::from_millis(250);
/// How long an agent that ends waits for a collector to take its last traces.
const LAST_TRACES: Duration = Duration::from_secs(1);

/// How long a thread that decodes stays when there is nothing to do: its share of the heap is taken from there.
const DECODER_STAYS: Duration = Duration::from_secs(2);
/// How long after a list memory is handed back: its decoders have gone by then.
const HAND_BACK_AFTER: Duration = Duration::from_secs(4);

/// Messages that may wait for the loop. Who sends more waits: lists of a large cluster come faster than they are
/// taken in, and would fill the memory with objects.
const BACKLOG: usize = 32;

/// When news came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) read: Instant,
    pub(crate) decoded: Instant,
}

/// What reaches the loop.
#[derive(Debug)]
pub(crate) enum Message {
    /// The API server's news, and when they were read and decoded.
    News(Heard, Vec<News>),
    Cni(Call),
    Status(oneshot::Sender<Box<Status>>),
    Stop,
}

/// Runs an agent until `stop` is called or SIGTERM or SIGINT comes. What is in the kernel stays in force.
///
/// # Errors
/// When it can't start: later failures are told and tried again.
pub fn run(options: Options) -> Result<(), Error> {
    // A page of 2 MiB is kept for whatever little of it is in use. A kernel without them can't take them away.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("podgate-io")
        .thread_keep_alive(DECODER_STAYS)
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let client = runtime.block_on(Client::connect(&options.kube))?;
    let (messages, inbox) = sync_channel(BACKLOG);
    runtime.spawn(stop_on_signals(messages.clone()));
    let Some(mut agent) = Agent::open_when_free(&options, &runtime, &client, &inbox)? else {
        return Ok(());
    };
    let traces = agent.trace(&runtime)?;
    let _guard = runtime.enter();
    let cni = options.cni_socket();
    let listener = doorman::listen(&cni).map_err(|e| Error::io("listen on", cni, e))?;
    runtime.spawn(doorman::serve(listener, messages.clone()));
    crate::flows::start(&options, agent.observer.history())?;
    let own = options.socket();
    let listener = doorman::listen(&own).map_err(|e| Error::io("listen on", own, e))?;
    let served =
        Served { loop_: messages.clone(), health: agent.health.clone(), registry: agent.registry.clone() };
    let private = http::private(served.clone());
    if let Some(api) = options.api.clone() {
        let (address, private, client) = (api.address, private.clone(), client.clone());
        runtime.spawn(async move {
            if let Err(why) = http::tls::serve(api, private, client).await {
                tracing::error!(%address, why, "the API is not served");
            }
        });
    }
    runtime.spawn(async move { axum::serve(listener, private).await });
    if let Some(address) = options.metrics {
        runtime.spawn(async move {
            if let Err(error) = http::serve_public(address, served).await {
                tracing::error!(%address, %error, "metrics and health are not served");
            }
        });
    }
    let sink = move |read, news| {
        drop(messages.send(Message::News(Heard { read, decoded: Instant::now() }, news)));
    };
    let watching = watch(&client, &Watched::ALL, runtime.handle(), sink);
    agent.serve(&inbox, &watching);
    drop(watching);
    // The last traces are sent as soon as nobody tells any more.
    drop(agent);
    if let Some(traces) = traces {
        let sent = async { tokio::time::timeout(LAST_TRACES, traces).await };
        drop(runtime.block_on(sent));
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("ended; what is in the kernel stays in force");
    Ok(())
}

async fn stop_on_signals(messages: SyncSender<Message>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    drop(messages.send(Message::Stop));
}

struct Agent {
    options: Options,
    cluster: String,
    started: Instant,
    gate: Gate,
    inventory: Inventory,
    claims: Claims,
    memory: Memory,
    adopted: bool,
    waiting: Vec<Waiting>,
    said: Said,
    writes: mpsc::Sender<Write>,
    sources: BTreeMap<Watched, Source>,
    faults: BTreeMap<String, FaultyPolicy>,
    repairs: BTreeMap<Repair, u64>,
    metrics: Metrics,
    registry: Arc<prometheus_client::registry::Registry>,
    health: Arc<Mutex<Health>>,
    /// When the oldest change was heard that isn't in the kernel yet.
    heard: Option<Instant>,
    /// What failed beside publishing, by step.
    failures: BTreeMap<&'static str, String>,
    observer: Observer,
    keeper: Option<Keeper>,
    exports: Exports,
    /// What was last written of names.
    saved_names: String,
    staging: Staging,
    /// This node's name, as records have it.
    node: Arc<str>,
    /// Why BPF doesn't enforce; empty when it does, or wasn't asked for.
    without_bpf: String,
    /// `None`: nobody wants to know.
    tracer: Option<Tracer>,
    /// Conditions written since the last trace ended.
    conditions: u64,
    /// When memory is handed back.
    hand_back: Option<Instant>,
}

#[derive(Debug, Default)]
struct Source {
    is_absent: bool,
    interrupted: String,
    interruptions: u64,
    news: u64,
}

/// A policy that can't be enforced as written.
#[derive(Debug)]
struct FaultyPolicy {
    what: Watched,
    message: String,
}

impl Agent {
    /// [`Agent::open`] once no other agent has the node: its predecessor may take a while to end. What that one put
    /// into the kernel stays in force meanwhile. `None`: told to end before.
    fn open_when_free(
        options: &Options,
        runtime: &Runtime,
        client: &Client,
        inbox: &Receiver<Message>,
    ) -> Result<Option<Agent>, Error> {
        use podgate_datapath::Error as Refused;
        let mut is_told = false;
        loop {
            match Agent::open(options, client.context(), runtime, client) {
                Err(Error::Datapath(why @ (Refused::InUse { .. } | Refused::LogGroup { .. }))) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%why, "another agent has this node; waiting for it to end");
                    }
                }
                opened => return opened.map(Some),
            }
            if let Ok(Message::Stop) = inbox.recv_timeout(OCCUPIED) {
                return Ok(None);
            }
        }
    }

    fn open(options: &Options, cluster: &str, runtime: &Runtime, client: &Client) -> Result<Agent, Error> {
        let run_dir = &options.run_dir;
        std::fs::create_dir_all(run_dir).map_err(|e| Error::io("make the directory", run_dir, e))?;
        let memory = Memory::open(&options.state_dir, &options.node)?;
        let claims = Claims::beside(&options.cni_socket());
        let mut known = Vec::new();
        for claim in claims.load().map_err(|e| Error::io("read claims in", run_dir, e))? {
            match claim {
                Ok(claim) => known.push(claim),
                Err((path, error)) => {
                    tracing::warn!(path = %path.display(), %error, "a claim can't be read and is left out");
                }
            }
        }
        let opened = podgate_datapath::open(options.backend, datapath_options(options, &memory))?;
        if let Some(why) = &opened.without_bpf {
            tracing::warn!(%why, "nftables enforces: the kernel can't do BPF");
        }
        let without_bpf = opened.without_bpf.map(|why| why.to_string()).unwrap_or_default();
        let mut gate = Gate::new(opened.datapath, Settings { icmp_echo: options.icmp_echo });
        let adopted = gate.is_attached();
        if !adopted && memory.known().is_some() {
            // After a reboot no pod may talk before its policies are known. On a node that podgate has never
            // enforced on, running pods are left alone until then.
            tracing::info!("enforced here before: this node's pods are closed until policies are known");
            gate.publish(Instant::now()).map_err(|why| tracing::error!(why, "cannot close pods")).ok();
        }
        let (metrics, registry) = Metrics::new();
        let (writes, queue) = mpsc::channel(feedback::QUEUE);
        runtime.spawn(feedback::write_all(client.clone(), options.node.clone(), queue, metrics.clone()));
        let health = Health { turned: Instant::now(), unready: "not synced yet".into() };
        let keeper = match &options.flows.disk {
            Some((dir, caps)) => Some(Keeper::new(Archive::open(dir, *caps).map_err(Error::Archive)?)),
            None => None,
        };
        let observer = observer(options);
        let archive = keeper.as_ref().map(Keeper::archive);
        let exports = Exports::start(&options.flows.exports, &options.node, observer.history(), archive)?;
        let staging =
            Staging::new(options.flows.stage_all, datapath_options(options, &memory), open_observer);
        Ok(Agent {
            cluster: cluster.to_owned(),
            started: Instant::now(),
            inventory: Inventory::new(&options.node, known),
            options: options.clone(),
            gate,
            claims,
            memory,
            adopted,
            waiting: Vec::new(),
            said: Said::default(),
            writes,
            sources: Watched::ALL.into_iter().map(|what| (what, Source::default())).collect(),
            faults: BTreeMap::new(),
            repairs: BTreeMap::new(),
            metrics,
            registry: Arc::new(registry),
            health: Arc::new(Mutex::new(health)),
            heard: None,
            failures: BTreeMap::new(),
            staging,
            keeper,
            exports,
            observer,
            saved_names: String::new(),
            node: options.node.as_str().into(),
            without_bpf,
            tracer: None,
            conditions: 0,
            hand_back: None,
        })
    }

    /// Begins to tell a collector, if there is one. The task ends when the agent is dropped and all is sent.
    fn trace(&mut self, runtime: &Runtime) -> Result<Option<JoinHandle<()>>, Error> {
        let Some(options) = &self.options.traces else { return Ok(None) };
        let started = Tracer::start(options, &self.options.node, &self.metrics, runtime.handle());
        let (tracer, task) =
            started.map_err(|why| Error::Traces { endpoint: options.endpoint.clone(), why })?;
        self.tracer = Some(tracer);
        Ok(Some(task))
    }

    fn serve(&mut self, inbox: &Receiver<Message>, watching: &Watching) {
        self.restore_names();
        let start = Instant::now();
        let (mut next_events, mut next_reassert, mut next_housekeeping) =
            (start, start + REASSERT_EVERY, start);
        loop {
            let now = Instant::now();
            let due = next_events.min(next_reassert).min(next_housekeeping);
            match inbox.recv_timeout(due.saturating_duration_since(now)) {
                Ok(first) => {
                    if !self.hear_all(first, inbox, watching) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.enforce();
            if self.inventory.is_synced() {
                self.staging.publish(Instant::now());
            }
            self.answer_waiting();
            let conditions = std::mem::take(&mut self.conditions);
            if let Some(tracer) = &mut self.tracer {
                tracer.finish(conditions, Instant::now());
            }
            let now = Instant::now();
            if now >= next_events {
                next_events = now + EVENTS_EVERY;
                let settled = self.gate.settle();
                self.note("clean up", settled);
                self.watch_names();
                self.watch_flows();
            }
            if now >= next_reassert {
                next_reassert = now + REASSERT_EVERY;
                self.reassert();
            }
            if now >= next_housekeeping {
                next_housekeeping = now + HOUSEKEEPING_EVERY;
                self.count_flows();
                self.save_names();
                self.metrics.names.set(&self.observer.dns_counts());
                self.keep_house();
                self.hand_back();
            }
        }
    }

    /// A list is many times larger than what is kept of it.
    fn hand_back(&mut self) {
        if self.hand_back.is_some_and(|at| Instant::now() >= at) {
            self.hand_back = None;
            if let Some(hand_back) = self.options.hand_back {
                hand_back();
            }
        }
    }

    fn pod_cidrs(&self) -> Vec<ipnet::IpNet> {
        match self.options.pod_cidrs.is_empty() {
            true => self.inventory.pod_cidrs.clone(),
            false => self.options.pod_cidrs.clone(),
        }
    }

    fn follow_pod_cidrs(&mut self) {
        let cidrs = self.pod_cidrs();
        self.staging.also(|_, gate| drop(gate.set_pod_cidrs(&cidrs)));
        let set = self.gate.set_pod_cidrs(&cidrs);
        self.note("pod CIDRs", set);
    }

    /// Publishes what was heard.
    fn enforce(&mut self) {
        if !self.inventory.is_synced() {
            return;
        }
        let now = Instant::now();
        let is_due = self.gate.retry_at().is_some_and(|at| now >= at);
        if self.heard.is_none() && !is_due {
            return;
        }
        if self.gate.retry_at().is_some_and(|at| now < at) {
            return;
        }
        let was_failing = !self.gate.failure().is_empty();
        let is_first = self.gate.publications().0 == 0;
        let published = self.gate.publish(now);
        if let Some(tracer) = &mut self.tracer {
            tracer.publish(self.gate.steps(), published.as_ref().err().map_or("", String::as_str));
        }
        match published {
            Ok(is_change) => {
                if is_change {
                    let since = self.heard.filter(|_| !is_first).map(|heard| heard.elapsed());
                    self.metrics.published("done", self.gate.publications().1, since);
                }
                if is_first || was_failing {
                    tracing::info!(
                        pods = self.gate.cluster.size().pods,
                        policies = self.inventory.policies().0,
                        micros = self.gate.publications().1.as_micros() as u64,
                        "in force"
                    );
                }
                self.heard = None;
                let known = Known { node: self.options.node.clone(), pod_cidrs: self.pod_cidrs() };
                let kept = self.memory.keep(known).map_err(|error| error.to_string());
                self.note("remember", kept);
                self.tell_pods();
            }
            Err(why) => {
                self.metrics.published("failed", now.elapsed(), None);
                if !was_failing {
                    tracing::error!(why, "the kernel refuses a change and keeps the state before");
                }
            }
        }
    }

    fn reassert(&mut self) {
        match self.gate.reassert() {
            Ok(repairs) => {
                for repair in repairs {
                    tracing::warn!(kind = repair.name(), "somebody undid enforcement; restored");
                    *self.repairs.entry(repair).or_default() += 1;
                    self.metrics.repairs.get_or_create(&Kind { kind: repair.name() }).inc();
                }
                self.failures.remove("restore");
            }
            Err(why) => self.note("restore", Err(why)),
        }
    }

    /// Remembers or forgets a failure, and tells it once.
    fn note(&mut self, step: &'static str, result: Result<(), String>) {
        match result {
            Ok(()) => drop(self.failures.remove(step)),
            Err(why) => {
                if self.failures.get(step) != Some(&why) {
                    tracing::error!(step, why, "failed; it will be tried again");
                }
                self.failures.insert(step, why);
            }
        }
    }

    /// The state of a pod's addresses together.
    fn in_force(&self, local: &LocalPod) -> InForce {
        let states = local.ips.iter().map(|ip: &IpAddr| self.gate.in_force(*ip));
        match states.max_by_key(|state| match state {
            InForce::Yes => 0,
            InForce::Closed => 1,
            InForce::No => 2,
        }) {
            Some(state) => state,
            None => InForce::No,
        }
    }

    fn keep_house(&mut self) {
        let size = self.gate.cluster.size();
        let metrics = &self.metrics;
        metrics.synced.set(i64::from(self.inventory.is_synced()));
        metrics.enforcing.set(i64::from(self.gate.is_attached()));
        metrics.addresses.set(size.pods as i64);
        metrics.classes.set(size.classes as i64);
        metrics.programs.set(size.programs as i64);
        let (all, here) = self.inventory.policies();
        metrics.policies.get_or_create(&Scope { scope: "cluster" }).set(all as i64);
        metrics.policies.get_or_create(&Scope { scope: "node" }).set(here as i64);
        metrics.faults.set(self.faults.len() as i64);
        let report = self.gate.report();
        metrics.unplaced.set((report.unplaced.len() + report.unplaced_prefixes.len()) as i64);
        let mut states: BTreeMap<&'static str, i64> =
            ["in-force", "closed", "waiting", "exempt"].into_iter().map(|state| (state, 0)).collect();
        for (_, local) in self.inventory.local_pods() {
            *states.entry(self.state_name(local)).or_default() += 1;
        }
        for (state, count) in states {
            metrics.pods.get_or_create(&State { state }).set(count);
        }
        match self.gate.counters() {
            Ok(counters) => {
                self.count_losses(&counters);
                self.metrics.set_counters(&counters);
                self.failures.remove("counters");
            }
            Err(why) => self.note("counters", Err(why)),
        }
        let unready = self.unready();
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        *health = Health { turned: Instant::now(), unready };
    }

    fn unready(&self) -> String {
        let missing: Vec<&str> = self.inventory.missing().map(Watched::resource).collect();
        if !missing.is_empty() {
            return format!("not listed yet: {}", missing.join(", "));
        }
        match self.gate.failure() {
            "" if !self.gate.is_attached() => "nothing is enforced yet".to_owned(),
            "" => String::new(),
            why => format!("the kernel is not current: {why}"),
        }
    }

    // === what is written to the API server ===

    fn tell_pods(&mut self) {
        if self.options.pod_conditions == PodConditions::Off {
            return;
        }
        let mut writes = Vec::new();
        let uids: rustc_hash::FxHashSet<String> =
            self.inventory.local_pods().map(|(_, local)| local.pod.meta.uid.clone()).collect();
        self.said.keep_pods(|uid| uids.contains(uid));
        let Agent { said, inventory, gate, options, .. } = self;
        for ((namespace, name), local) in inventory.local_pods() {
            let is_gated = local.pod.readiness_gates.iter().any(|gate| gate == feedback::IN_FORCE);
            if !local.is_judged()
                || local.ips.is_empty()
                || !(is_gated || options.pod_conditions == PodConditions::All)
            {
                continue;
            }
            let is_closed = local.ips.iter().any(|ip| gate.in_force(*ip) == InForce::Closed);
            let (status, reason, message) = match is_closed {
                false => (true, "InForce", "the pod's policies are in its node's kernel"),
                true => {
                    (false, "TableFull", "no room in the kernel's tables: nothing passes to or from the pod")
                }
            };
            if let Some(condition) = said.pod(&local.pod.meta.uid, status, reason, message) {
                let (namespace, name) = (namespace.clone(), name.clone());
                let uid = local.pod.meta.uid.clone();
                writes.push(Write::PodCondition { namespace, name, uid, condition });
            }
        }
        writes.into_iter().for_each(|write| self.write(write));
    }

    fn write(&mut self, write: Write) {
        self.conditions += 1;
        let queued = self.writes.try_send(write);
        self.note("status writes", queued.map_err(|error| error.to_string()));
    }
}

fn observer(options: &Options) -> Observer {
    let mut observer = Observer::new(Arc::new(History::new(options.flows.memory)));
    observer.set_resolvers(options.names.resolvers.clone());
    let limits = podgate_observe::BindingLimits::default();
    observer.set_binding_limits(podgate_observe::BindingLimits { grace: options.names.grace, ..limits });
    observer
}

fn datapath_options(options: &Options, memory: &Memory) -> podgate_datapath::Options {
    let mut datapath = podgate_datapath::Options::new(options.node.as_str(), &options.pin_dir);
    let known = memory.known().map(|known| known.pod_cidrs.clone()).unwrap_or_default();
    datapath.pod_cidrs = if options.pod_cidrs.is_empty() { known } else { options.pod_cidrs.clone() };
    datapath.unknown_pods = options.unknown_pods;
    datapath.capacity = options.capacity;
    datapath.answers = Some(DnsAnswers { ports: options.names.ports.clone(), ..DnsAnswers::default() });
    datapath
}
