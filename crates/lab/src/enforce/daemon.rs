//! The daemon's loop: one thread, so that nothing happens between two steps of a change.
//!
//! ```text
//! manifests --inotify--> Files -> Sources -> Cluster -> Delta -> every node's kernel
//! every node's events --10 ms--> Joiner -> FlowRecord -> watchers
//! requests -> answers
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use podgate_api::Object;
use podgate_datapath::Mode as KernelMode;
use podgate_flow::{History, Limits, Losses, Timestamp};
use podgate_observe::{Keeper, Observer, wall_clock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::engine::Engine;
use super::files::{Change, Files};
use super::flows;
use super::kernel::REASSERT_EVERY;
use super::names;
use super::naming::{rulings, set_addresses};
use super::protocol::{Lost, LostBy, Notice, NoticeEvent, Reply, Request, SOCKET, Status};
use super::server::Server;
use super::sources::{Reading, Sources};
use crate::error::{Error, Result};
use crate::plan::{Plan, is_policy};
use crate::state::{Lab, Spec};
use crate::up::ENFORCE_READY;
use crate::{interrupt, up};

/// How often events are read. The kernel wakes nobody for them: that would cost every connection.
const TICK: Duration = Duration::from_millis(10);
/// How often losses are counted and failed publications tried again.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Enforces a lab's policies until SIGTERM or SIGINT; what is in the kernel then stays in force.
///
/// # Errors
/// When the lab is not up, or the kernel can't enforce. Broken manifests are no error: see [`Status`].
pub fn run(lab: &Lab) -> Result<()> {
    interrupt::catch()?;
    let mut daemon = Daemon::start(lab.clone())?;
    let ready = lab.file(ENFORCE_READY);
    std::fs::write(&ready, "").map_err(|e| Error::io(format!("write {}", ready.display()), e))?;
    daemon.serve()
}

pub(super) struct Daemon {
    pub(super) lab: Lab,
    spec: Spec,
    pub(super) plan: Plan,
    files: Files,
    sources: Sources,
    pub(super) enforced: Engine,
    /// All policies, those that are staged too, beside the enforced ones; only while some are.
    pub(super) candidate: Option<Engine>,
    pub(super) observer: Observer,
    keeper: Keeper,
    /// What was last written of names.
    pub(super) saved_names: String,
    server: Server,
    network: Network,
    publications: u64,
    last_micros: Option<u64>,
    slowest_micros: u64,
    failure: String,
}

impl Daemon {
    fn start(lab: Lab) -> Result<Daemon> {
        let (spec, plan) = request(&lab)?;
        let history = Arc::new(History::new(Limits::default()));
        flows::start(&lab, history.clone())?;
        let mut daemon = Daemon {
            files: Files::new(spec.paths.clone())?,
            enforced: Engine::open(&lab, &plan, KernelMode::Enforce)?,
            candidate: None,
            server: Server::bind(&lab.file(SOCKET))?,
            network: Network::start(&lab)?,
            sources: Sources::new(&lab),
            observer: Observer::new(history),
            keeper: flows::keeper(&lab)?,
            saved_names: String::new(),
            publications: 0,
            last_micros: None,
            slowest_micros: 0,
            failure: String::new(),
            lab,
            spec,
            plan,
        };
        let noticed = Instant::now();
        daemon.files.take_events(noticed);
        let changes = daemon.files.look(noticed);
        daemon.read(&changes, false);
        names::restore(&daemon.lab, &mut daemon.observer)?;
        daemon.observer.turn_names(&mut [&mut daemon.enforced.cluster]);
        daemon.enforce(noticed)?;
        Ok(daemon)
    }

    fn serve(&mut self) -> Result<()> {
        let mut next_tick = Instant::now();
        let mut next_housekeeping = Instant::now();
        let mut next_reassert = Instant::now() + REASSERT_EVERY;
        while !interrupt::requested() {
            self.wait(next_tick)?;
            let now = Instant::now();
            if self.files.take_events(now) {
                let changes = self.files.look(now);
                if !changes.is_empty() {
                    self.read(&changes, true);
                    self.enforce_or_tell(now);
                }
            }
            if now >= next_tick {
                next_tick = now + TICK;
                self.tell_failure("names", Daemon::names);
                self.flows();
                self.network_news();
                self.tell_failure("settle", |daemon| {
                    daemon.engines().try_for_each(|engine| engine.kernels.settle())
                });
            }
            for (client, request) in self.server.turn() {
                let reply = self.answer(request);
                self.server.reply(client, &reply);
            }
            if now >= next_housekeeping {
                next_housekeeping = now + HOUSEKEEPING;
                self.totals();
                self.tell_failure("names", Daemon::save_names);
                let count = self.enforced.kernels.take_lost();
                if count > 0 {
                    self.server.broadcast(&Reply::Lost(Lost { count, by: LostBy::Kernel }));
                }
                if self.engines().any(|engine| engine.kernels.is_behind()) {
                    self.enforce_or_tell(now);
                }
            }
            if now >= next_reassert {
                next_reassert = now + REASSERT_EVERY;
                self.tell_failure("reassert", |daemon| {
                    daemon.engines().try_for_each(|engine| engine.kernels.reassert())
                });
            }
        }
        log("ended; what is in the kernel stays in force");
        Ok(())
    }

    /// Sleeps until something happens or is due.
    fn wait(&self, tick: Instant) -> Result<()> {
        let due = self.files.due().map_or(tick, |due| due.min(tick));
        let left = due.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let files = self.files.fd();
        let mut fds = vec![PollFd::new(&files, PollFlags::IN)];
        let sockets: Vec<_> = self.server.sockets().collect();
        fds.extend(sockets.iter().map(|(socket, is_writing)| {
            let write = if *is_writing { PollFlags::OUT } else { PollFlags::empty() };
            PollFd::new(socket, PollFlags::IN | write)
        }));
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::io("wait for events", error.into())),
        }
    }

    // === manifests ===

    /// Reads changed manifests, and tells what is wrong with them.
    fn read(&mut self, changes: &[Change], keep_good: bool) {
        for change in changes {
            let (Change::Written(path) | Change::Gone(path)) = change;
            let file = path.display().to_string();
            match self.sources.take(change, keep_good, |path| self.files.is_being_written(path)) {
                Reading::Good => {}
                Reading::Mended => self.notice(NoticeEvent::Mended { file }),
                Reading::Broken(diagnostics) => self.notice(NoticeEvent::Broken { file, diagnostics }),
            }
        }
    }

    /// Makes the manifests current: in the engine, in every kernel, then in the lab's network.
    fn enforce(&mut self, noticed: Instant) -> Result<()> {
        let mut input = self.sources.objects(&self.files.in_order());
        if !self.spec.policies {
            input.retain(|object| !is_policy(object));
        }
        let plan = Plan::new(self.lab.name(), &input, self.spec.nodes, Some(&self.plan))?;
        let objects = plan.objects(&input);
        let staged = podgate_api::staged(&objects);
        let in_force = objects.iter().filter(|object| !staged.contains(&object.key()));
        let mut changes = self.enforced.tell(in_force.cloned());
        let publishing = self.enforced.publish(&self.lab, &plan);
        let micros = noticed.elapsed().as_micros() as u64;
        let is_published = publishing?;
        if is_published {
            self.publications += 1;
            if self.publications > 1 {
                self.last_micros = Some(micros);
                self.slowest_micros = self.slowest_micros.max(micros);
            }
        }
        changes.extend(self.stage(&plan, objects, !staged.is_empty())?);
        if is_published || !changes.is_empty() {
            self.notice(NoticeEvent::Published { changes, micros });
        }
        set_addresses(self.observer.names(), &plan);
        self.observer.set_resolvers(names::resolvers(&plan));
        // Policy comes first: a new pod is isolated before it has a network.
        if plan != self.plan {
            self.network.follow(plan.clone());
            self.plan = plan;
        }
        self.failure.clear();
        Ok(())
    }

    /// Has staged policies evaluated beside the enforced ones. Returns what changed of them.
    fn stage(&mut self, plan: &Plan, objects: Vec<Object>, is_any: bool) -> Result<Vec<String>> {
        if !is_any {
            if let Some(candidate) = self.candidate.take() {
                candidate.kernels.remove(&self.lab, plan)?;
            }
            return Ok(Vec::new());
        }
        let candidate = match &mut self.candidate {
            Some(candidate) => candidate,
            none => {
                let opened = Engine::open(&self.lab, plan, KernelMode::Observe { allowed: true })?;
                let candidate = none.insert(opened);
                self.observer.tell_names(&mut candidate.cluster);
                candidate
            }
        };
        let changes = candidate.tell(objects);
        candidate.publish(&self.lab, plan)?;
        let enforced = &self.enforced.objects;
        let is_staged = |line: &String| !enforced.keys().any(|key| line.ends_with(&key.to_string()));
        let staged = changes.into_iter().filter(is_staged).map(|line| format!("{line} (staged)"));
        Ok(staged.collect())
    }

    fn engines(&mut self) -> impl Iterator<Item = &mut Engine> {
        [&mut self.enforced].into_iter().chain(&mut self.candidate)
    }

    fn enforce_or_tell(&mut self, noticed: Instant) {
        self.tell_failure("enforce", |daemon| daemon.enforce(noticed));
    }

    /// Runs a step whose failure must not end the daemon: the kernel keeps what it has.
    fn tell_failure(&mut self, step: &str, work: impl FnOnce(&mut Daemon) -> Result<()>) {
        if let Err(error) = work(self) {
            let error = format!("{step}: {error}");
            // Said once, though it is tried again every second.
            if self.failure != error {
                self.failure.clone_from(&error);
                self.notice(NoticeEvent::Failed { error });
            }
        }
    }

    /// Takes over the lab's request and plan as they are in the run directory.
    fn reload(&mut self) -> Result<()> {
        let noticed = Instant::now();
        let (spec, plan) = request(&self.lab)?;
        if spec.paths != self.spec.paths {
            self.files = Files::new(spec.paths.clone())?;
            self.sources = Sources::new(&self.lab);
        }
        let is_first = spec.paths != self.spec.paths;
        (self.spec, self.plan) = (spec, plan);
        self.files.take_events(noticed);
        let mut changes = self.files.look(noticed);
        // Who asks wants to see what is there now: a file that is missing may be on its way back only for
        // as long as an editor takes to replace it.
        while let Some(due) = self.files.due() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            changes.extend(self.files.look(Instant::now()));
        }
        self.read(&changes, !is_first);
        self.enforce(noticed)?;
        // An older plan that waits for its turn must not have the last word.
        if self.network.is_busy() {
            self.network.follow(self.plan.clone());
        }
        Ok(())
    }

    // === flows ===

    fn flows(&mut self) {
        let Daemon { enforced, candidate, observer, keeper, .. } = self;
        let Engine { cluster, kernels, .. } = enforced;
        let mut polled = kernels.poll_events(|node, event| observer.event(node, &event, cluster));
        // After the enforcing programs' events: the staged ones' of the same packets are there by then.
        if let Some(Engine { cluster, kernels, .. }) = candidate {
            polled =
                polled.and(kernels.poll_events(|node, event| observer.staged_event(node, &event, cluster)));
        }
        let (records, minutes) = observer.turn(wall_clock(), cluster);
        keeper.keep(&records, &minutes, cluster);
        for record in records {
            self.server.broadcast(&Reply::Flow(record));
        }
        self.tell_failure("events", |_| polled);
    }

    fn totals(&mut self) {
        let Daemon { enforced: Engine { cluster, kernels, .. }, observer, .. } = self;
        let taken = kernels.take_totals(|node, total| drop(observer.count(node, &total, cluster)));
        let losses = Losses { disk: self.keeper.lost(), ..kernels.losses() };
        observer.history().set_losses(losses);
        self.tell_failure("totals", |_| taken);
    }

    // === clients ===

    fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::Evaluate(queries) => Reply::Rulings(rulings(&self.enforced.cluster, &queries)),
            Request::Reload => match self.reload() {
                Ok(()) => Reply::Status(Box::new(self.status())),
                Err(error) => Reply::Error(error.to_string()),
            },
            Request::Status | Request::Watch => Reply::Status(Box::new(self.status())),
        }
    }

    fn status(&self) -> Status {
        let mut objects: BTreeMap<&str, usize> = BTreeMap::new();
        for key in self.enforced.objects.keys() {
            *objects.entry(key.kind).or_default() += 1;
        }
        Status {
            policies: self.spec.policies,
            objects: objects.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            files: self.files.in_order().len(),
            diagnostics: self.sources.diagnostics(),
            nodes: self.enforced.kernels.status(),
            publications: self.publications,
            publish_micros: self.last_micros.map(|last| (last, self.slowest_micros)),
            watchers: self.server.watchers(),
            watchers_lost: self.server.lost(),
            failure: self.failure.clone(),
        }
    }

    fn notice(&mut self, event: NoticeEvent) {
        let notice = Notice { time: wall_clock(), event };
        log(&notice.event.to_string());
        self.server.broadcast(&Reply::Notice(notice));
    }

    fn network_news(&mut self) {
        for outcome in self.network.news() {
            let error = outcome.err().map(|error| error.to_string()).unwrap_or_default();
            self.failure.clone_from(&error);
            self.notice(NoticeEvent::Network { error });
        }
    }
}

/// Request and plan of a lab that is up.
fn request(lab: &Lab) -> Result<(Spec, Plan)> {
    let is_down =
        || Error::message(format!("lab {} is not up; bring it up with `podgate lab up`", lab.name()));
    Ok((lab.spec()?.ok_or_else(is_down)?, lab.plan()?.ok_or_else(is_down)?))
}

/// Brings the lab's network in line with plans, beside the loop: it takes longer than flows can wait.
struct Network {
    plans: mpsc::Sender<Plan>,
    outcomes: mpsc::Receiver<Outcome>,
    /// Plans whose outcome isn't known yet.
    waiting: usize,
}

/// How many plans are dealt with, the older ones by leaving them out, and what came of the newest.
type Outcome = (usize, Result<()>);

impl Network {
    fn start(lab: &Lab) -> Result<Network> {
        let (plans, to_do) = mpsc::channel::<Plan>();
        let (done, outcomes) = mpsc::channel();
        let lab = lab.clone();
        let worker = move || {
            while let Ok(first) = to_do.recv() {
                // Only the newest plan matters.
                let (count, newest) = to_do.try_iter().fold((1, first), |(count, _), plan| (count + 1, plan));
                if done.send((count, up::apply(&lab, &newest))).is_err() {
                    return;
                }
            }
        };
        let named = std::thread::Builder::new().name("network".to_owned());
        named.spawn(worker).map_err(|e| Error::io("start a thread", e))?;
        Ok(Network { plans, outcomes, waiting: 0 })
    }

    fn follow(&mut self, plan: Plan) {
        // The worker ends only with the daemon.
        self.waiting += usize::from(self.plans.send(plan).is_ok());
    }

    fn is_busy(&self) -> bool {
        self.waiting > 0
    }

    fn news(&mut self) -> Vec<Result<()>> {
        let news: Vec<Outcome> = self.outcomes.try_iter().collect();
        self.waiting -= news.iter().map(|(count, _)| count).sum::<usize>();
        news.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

/// A line of the daemon's log, which is its standard error.
#[expect(clippy::print_stderr, reason = "the daemon's log is its standard error")]
pub(super) fn log(text: &str) {
    let time: Timestamp = wall_clock();
    eprintln!("{time} {text}");
}
