//! Probing: every connection that could be tried is tried for real, beside what policy says of it.
//!
//! ```text
//! Plan -> matrix (sources x targets) -> expected (engine) \
//!                                    -> measured (wire)   -> ProbeReport
//! ```
//!
//! Sockets are opened inside the network namespaces of the lab, one thread for each source. What differs
//! from the expectation is tried a second time with more patience, so that a slow machine makes no false
//! difference.

mod expect;
mod icmp;
mod last;
mod matrix;
mod report;
mod sctp;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use podgate_api::{ClusterPortMatch, Object, PortMatch, Protocol};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use expect::{Query, Ruling};
pub use last::{LastProbe, Try};
pub use matrix::{Families, Selection, Wanted};
pub use report::{
    Cell, Expectation, Expected, Measured, Place, PlaceKind, Possible, ProbeReport, Target, TargetKind,
};
pub use wire::Wire;

use crate::enforce::{Client, evaluate, in_force};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::state::Lab;
use crate::up;
use matrix::{Matrix, Trial};
use podgate_observe::wall_clock;
use wire::Attempt;

/// How to probe.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long an answer may take, the first time.
    pub timeout: Duration,
    /// Which connections.
    pub selection: Selection,
}

impl Default for Options {
    fn default() -> Self {
        Options { timeout: Duration::from_secs(1), selection: Selection::default() }
    }
}

/// How much more patient the second attempt is.
const PATIENCE: u32 = 3;
/// Attempts at a time and source that should be answered: each costs both ends time.
const BUSY_WINDOW: usize = 48;
/// Attempts at a time and source that should be dropped: they only wait.
const IDLE_WINDOW: usize = 2048;
/// Sources at a time: more threads than this only fight for processors.
const MAX_SOURCES: usize = 256;

/// Probes a lab that is up. The expectation is the enforcement daemon's, which knows what is in force; without
/// a daemon it is made from the manifests.
///
/// # Errors
/// As [`run`], and when the lab is not up.
pub fn lab(lab: &Lab, options: &Options) -> Result<ProbeReport> {
    in_lab(lab, options.timeout, |plan, objects| {
        let mut selection = options.selection.clone();
        selection.undeclared = selection.undeclared.or_else(|| port_in_a_range(objects));
        Matrix::new(plan, &selection)
    })
}

/// Tries just these connections of a lab that is up; the report has a cell for each, in their order.
///
/// # Errors
/// As [`lab`], and when an address is none of the lab's.
pub fn attempts(lab: &Lab, wanted: &[Wanted], timeout: Duration) -> Result<ProbeReport> {
    in_lab(lab, timeout, |plan, _| Matrix::of(plan, wanted))
}

fn in_lab(
    lab: &Lab,
    timeout: Duration,
    matrix: impl FnOnce(&Plan, &[Object]) -> Result<Matrix>,
) -> Result<ProbeReport> {
    up::require_root()?;
    let is_down =
        || Error::message(format!("lab {} is not up; bring it up with `podgate lab up`", lab.name()));
    let (spec, plan) = (lab.spec()?.ok_or_else(is_down)?, lab.plan()?.ok_or_else(is_down)?);
    let objects = in_force(lab, &spec).objects;
    let matrix = matrix(&plan, &objects)?;
    let report = match Client::connect(lab)? {
        Some(mut client) => try_all(&plan, matrix, |queries| client.evaluate(queries), timeout),
        None => try_all(&plan, matrix, |queries| Ok(evaluate(&plan, &objects, queries)), timeout),
    }?;
    LastProbe::new(wall_clock(), &report).keep(lab)?;
    Ok(report)
}

/// A port inside a range of ports that a policy names: shows more than any other undeclared port.
fn port_in_a_range(objects: &[Object]) -> Option<u16> {
    let in_range = |protocol: Protocol, port: &PortMatch| match *port {
        PortMatch::Range(first, last) if protocol == Protocol::Tcp && first < last => {
            Some(first + (last - first) / 2)
        }
        _ => None,
    };
    objects.iter().find_map(|object| match object {
        Object::NetworkPolicy(policy) => {
            let rules = policy.ingress.iter().chain(&policy.egress);
            let mut ports = rules.flat_map(|rule| rule.ports.iter().flatten());
            ports.find_map(|port| in_range(port.protocol, &port.port))
        }
        Object::ClusterPolicy(policy) => {
            let rules = policy.ingress.iter().chain(&policy.egress);
            let mut ports = rules.flat_map(|rule| rule.ports.iter().flatten());
            ports.find_map(|port| match &port.matches {
                ClusterPortMatch::Port(protocol, port) => in_range(*protocol, port),
                _ => None,
            })
        }
        _ => None,
    })
}

/// Tries the selected connections of a lab, and compares them with what `judge` expects of them.
///
/// # Errors
/// When `judge` fails, when the selection selects nothing, or when a namespace can't be entered.
pub fn run(
    plan: &Plan,
    judge: impl FnOnce(&[Query]) -> Result<Vec<Ruling>>,
    options: &Options,
) -> Result<ProbeReport> {
    try_all(plan, Matrix::new(plan, &options.selection)?, judge, options.timeout)
}

fn try_all(
    plan: &Plan,
    matrix: Matrix,
    judge: impl FnOnce(&[Query]) -> Result<Vec<Ruling>>,
    timeout: Duration,
) -> Result<ProbeReport> {
    let started = Instant::now();
    let expected = expect::expectations(plan, &matrix, judge)?;
    let every: Vec<usize> = (0..matrix.trials.len()).collect();
    let mut measured: Vec<Measured> = vec![Measured::Dropped; matrix.trials.len()];
    for (at, outcome) in measure(&matrix, &expected, &every, timeout)? {
        measured[at] = outcome;
    }
    let differing: Vec<usize> =
        every.into_iter().filter(|at| !expected[*at].agrees(&measured[*at])).collect();
    for (at, outcome) in measure(&matrix, &expected, &differing, timeout * PATIENCE)? {
        measured[at] = outcome;
    }
    let cells = matrix
        .trials
        .iter()
        .zip(expected)
        .zip(measured)
        .map(|((trial, expected), measured)| Cell {
            from: trial.from,
            to: trial.to,
            source_ip: trial.source_ip,
            target_ip: trial.target_ip,
            expected,
            measured,
        })
        .collect();
    Ok(ProbeReport {
        lab: plan.lab.clone(),
        sources: matrix.sources.into_iter().map(|source| source.place).collect(),
        targets: matrix.targets.into_iter().map(|target| target.target).collect(),
        cells,
        retried: differing.len(),
        notes: matrix.notes,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Tries some of the matrix's connections; tells what came of each.
fn measure(
    matrix: &Matrix,
    expected: &[Expected],
    which: &[usize],
    timeout: Duration,
) -> Result<Vec<(usize, Measured)>> {
    let mut by_netns: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for at in which {
        by_netns.entry(&matrix.sources[matrix.trials[*at].from].netns).or_default().push(*at);
    }
    let jobs: Vec<(&str, Vec<usize>)> = by_netns.into_iter().collect();
    let workers = jobs.len().min(MAX_SOURCES);
    let per_source = raise_open_files() / workers.max(1);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(which.len())));
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while let Some((netns, trials)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcomes = from_netns(netns, matrix, expected, trials, per_source, timeout)?;
                        done.lock().unwrap_or_else(|e| e.into_inner()).extend(outcomes);
                    }
                    Ok(())
                })
            })
            .collect();
        handles.into_iter().try_for_each(|handle| match handle.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(done.into_inner().unwrap_or_else(|e| e.into_inner()))
}

/// Tries the connections of one source: first those that should be answered, then those that should not.
fn from_netns(
    netns: &str,
    matrix: &Matrix,
    expected: &[Expected],
    trials: &[usize],
    open_files: usize,
    timeout: Duration,
) -> Result<Vec<(usize, Measured)>> {
    let (busy, idle): (Vec<usize>, Vec<usize>) =
        trials.iter().partition(|at| expected[**at].verdict != Expectation::Denied);
    let attempts_of = |which: &[usize]| -> Vec<Attempt> {
        which.iter().map(|at| attempt(matrix, &matrix.trials[*at], &expected[*at])).collect()
    };
    let outcomes = crate::netns::run(netns, || -> std::io::Result<Vec<wire::Outcome>> {
        let mut outcomes = wire::try_all(&attempts_of(&busy), BUSY_WINDOW.min(open_files), timeout)?;
        outcomes.extend(wire::try_all(&attempts_of(&idle), IDLE_WINDOW.min(open_files), timeout)?);
        Ok(outcomes)
    })?
    .map_err(|error| Error::io(format!("probe from network namespace {netns}"), error))?;
    Ok(busy.into_iter().chain(idle).zip(outcomes.into_iter().map(Measured::from)).collect())
}

fn attempt(matrix: &Matrix, trial: &Trial, expected: &Expected) -> Attempt {
    Attempt {
        from: matrix.sources[trial.from].bind.then_some(trial.source_ip),
        to: (trial.target_ip, matrix.targets[trial.to].target.port).into(),
        wire: matrix.targets[trial.to].target.wire,
        ask_name: expected.verdict == Expectation::Depends,
    }
}

/// Raises the limit of open files as far as it goes, and tells how many sockets may be open together.
fn raise_open_files() -> usize {
    const KEPT_FREE: u64 = 128;
    const ENOUGH: u64 = 65_536;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    let mut current = limit.current.unwrap_or(ENOUGH);
    if current < wanted
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).is_ok()
    {
        current = wanted;
    }
    current.saturating_sub(KEPT_FREE).max(KEPT_FREE) as usize
}
