//! Connections that the applications of a lab would make, made again and again: users, for policies to be tried on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::netns;
use crate::plan::{OUTSIDE_ADDRESSES, Plan, PodPlan};
use crate::probe::Wire;
use crate::probe::wire::{Attempt, Outcome, try_all};

/// Connections of a route that are open at the same time.
const WINDOW: usize = 16;
/// A connection that takes longer has failed.
const TIMEOUT: Duration = Duration::from_millis(900);
/// How long a loop rests.
const PAUSE: Duration = Duration::from_millis(40);

/// Who connects to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `namespace/name` of a workload, each of whose pods connects; or `outside`.
    pub from: &'static str,
    /// `namespace/name` of a Service; from `outside` its node port is used. Or `outside`.
    pub to: &'static str,
    /// Port of the Service, or of the host outside.
    pub port: u16,
    /// How.
    pub wire: Wire,
}

/// Connections being made, until [`Load::stop`] or until dropped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    tallies: Vec<Arc<Tally>>,
}

#[derive(Debug)]
struct Tally {
    route: Route,
    made: AtomicU64,
    failed: AtomicU64,
    problem: Mutex<String>,
}

/// What came of a route's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Which route.
    pub route: Route,
    /// Connections that were made.
    pub made: u64,
    /// Those among them that got no answer.
    pub failed: u64,
    /// What was wrong with the last of these.
    pub problem: String,
}

impl Load {
    /// Starts to connect along each route.
    ///
    /// # Errors
    /// When a route names nothing of the plan, or a namespace can't be entered.
    pub fn start(plan: &Plan, routes: &[Route]) -> Result<Load> {
        let mut load = Load { stop: Arc::default(), threads: Vec::new(), tallies: Vec::new() };
        for route in routes {
            let tally = Arc::new(Tally {
                route: *route,
                made: AtomicU64::new(0),
                failed: AtomicU64::new(0),
                problem: Mutex::default(),
            });
            let attempt = Attempt { from: None, to: goal(plan, route)?, wire: route.wire, ask_name: true };
            for name in sources(plan, route)? {
                let (netns, stop) = (netns::open(name)?, load.stop.clone());
                let (tally, attempt) = (tally.clone(), attempt.clone());
                let failed = |error| Error::io(format!("make connections in {name}"), error);
                let work = move || match netns::enter(&netns) {
                    Ok(()) => tally.run(&attempt, &stop),
                    Err(error) => tally.fail(1, error.to_string()),
                };
                let named = std::thread::Builder::new().name("load".to_owned());
                load.threads.push(named.spawn(work).map_err(failed)?);
            }
            load.tallies.push(tally);
        }
        Ok(load)
    }

    /// What came of the connections so far, by route.
    pub fn counts(&self) -> Vec<Count> {
        self.tallies.iter().map(|tally| tally.count()).collect()
    }

    /// Ends all connections. Returns what came of them.
    pub fn stop(mut self) -> Vec<Count> {
        self.end();
        self.counts()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing more to count.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Tally {
    fn run(&self, attempt: &Attempt, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match try_all(std::slice::from_ref(attempt), WINDOW, TIMEOUT) {
                Ok(outcomes) => outcomes.iter().for_each(|outcome| self.take(outcome)),
                Err(error) => self.fail(1, error.to_string()),
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn take(&self, outcome: &Outcome) {
        // Before it is known to have failed: readers must never see more failed than made.
        self.made.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Reached(_) => {}
            Outcome::Dropped => self.fail(0, "no answer".to_owned()),
            Outcome::Failed(why) => self.fail(0, why.clone()),
        }
    }

    fn fail(&self, made: u64, problem: String) {
        self.made.fetch_add(made, Ordering::Relaxed);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> Count {
        let failed = self.failed.load(Ordering::Relaxed);
        Count {
            route: self.route,
            made: self.made.load(Ordering::Relaxed),
            failed,
            problem: self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// Network namespaces that a route's connections come from.
fn sources<'a>(plan: &'a Plan, route: &Route) -> Result<Vec<&'a str>> {
    if route.from == "outside" {
        return Ok(vec![&plan.outside.netns]);
    }
    let is_of = |pod: &&PodPlan| {
        let owner = pod.owner.as_ref().map_or(pod.name.as_str(), |(_, name)| name);
        route.from.split_once('/') == Some((pod.namespace.as_str(), owner))
    };
    let found: Vec<&str> = plan.pods.iter().filter(is_of).map(|pod| pod.netns.as_str()).collect();
    if found.is_empty() {
        return Err(Error::message(format!("no pod of lab {} belongs to {}", plan.lab, route.from)));
    }
    Ok(found)
}

/// Where a route leads.
fn goal(plan: &Plan, route: &Route) -> Result<SocketAddr> {
    if route.to == "outside" {
        return Ok(SocketAddr::new(OUTSIDE_ADDRESSES.0.into(), route.port));
    }
    let missing =
        || Error::message(format!("lab {} has no Service {} with port {}", plan.lab, route.to, route.port));
    let (namespace, name) = route.to.split_once('/').ok_or_else(missing)?;
    let service = plan.services.iter().find(|s| (s.namespace.as_str(), s.name.as_str()) == (namespace, name));
    let service = service.ok_or_else(missing)?;
    let protocol = route.wire.number(true);
    let is_it =
        |port: &&crate::plan::ServicePortPlan| (port.port, port.protocol.number()) == (route.port, protocol);
    let port = service.ports.iter().find(is_it).ok_or_else(missing)?;
    match (route.from, port.node_port) {
        ("outside", Some(node_port)) => Ok(SocketAddr::new(plan.nodes[0].v4(), node_port)),
        _ => Ok(SocketAddr::new(*service.cluster_ips.first().ok_or_else(missing)?, route.port)),
    }
}
