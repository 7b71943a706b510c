//! What the flows could not tell: the window, what is missing in it, and who was not heard.

use std::collections::BTreeMap;

use podgate_policy::Direction;
use serde::Serialize;

use super::draft::connections;
use super::inventory::{Inventory, WorkloadKey};
use super::learn::{Lessons, Teacher};
use super::{Options, Recommended};
use crate::judge::Unjudged;
use crate::seen::{Lost, Seen, Window};

/// Fewer connections than this are hardly a habit.
const RARE: u64 = 5;

/// See the module.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// The time that the records cover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How many records there were.
    pub records: u64,
    /// What is missing in them.
    pub lost: Lost,
    /// Workloads that took part in nothing: they get no policy.
    pub never_seen: Vec<String>,
    /// Workloads that took part in nothing that was let through: they get no policy.
    pub only_denied: Vec<String>,
    /// Workloads with few connections.
    pub rarely_seen: Vec<String>,
    /// Jobs and CronJobs that did not run.
    pub not_run: Vec<String>,
    /// Workloads to which no connection was opened: their ingress is denied.
    pub without_ingress: Vec<String>,
    /// Workloads that opened no connection: their egress is denied.
    pub without_egress: Vec<String>,
    /// Workloads with fewer pods seen than there are.
    pub partly_seen: Vec<String>,
    /// Connections that were let through and that no NetworkPolicy can name.
    pub unsayable: Vec<String>,
    /// Connections that were let through and taught nothing, with why.
    pub unlearned: Vec<String>,
    /// Workloads in the host network: no policy selects them.
    pub host_network: Vec<String>,
}

impl Statement {
    pub(super) fn new(
        inventory: &Inventory,
        teacher: &Teacher<'_>,
        seen: &Seen,
        policies: &[Recommended],
        mut unlearned: BTreeMap<Unjudged, u64>,
        options: &Options,
    ) -> Statement {
        let mut statement = Statement {
            window: seen.window,
            records: seen.records,
            lost: seen.lost,
            unsayable: teacher.unsayable.iter().cloned().collect(),
            ..Statement::default()
        };
        for (key, group) in &inventory.groups {
            if !options.covers(&key.namespace) {
                continue;
            }
            let title = key.to_string();
            if group.host_network {
                statement.host_network.push(title);
                continue;
            }
            let count = teacher.lessons.get(key).map_or(0, |lessons| lessons.connections);
            match (count, key.kind.as_str()) {
                (0, _) if group.was_denied => statement.only_denied.push(title),
                (0, "CronJob" | "Job") => statement.not_run.push(title),
                (0, _) => statement.never_seen.push(title),
                (1..RARE, _) => statement.rarely_seen.push(format!("{title}: {}", connections(count))),
                _ => {}
            }
            let heard = group.pods.intersection(&group.seen).count();
            if count > 0 && heard < group.pods.len() {
                statement.partly_seen.push(format!("{key}: {heard} of {} pods", group.pods.len()));
            }
        }
        for policy in policies {
            let Some(lessons) = teacher.lessons.get(&policy.workload) else { continue };
            for (direction, list) in [
                (Direction::Ingress, &mut statement.without_ingress),
                (Direction::Egress, &mut statement.without_egress),
            ] {
                if lessons.of(direction).is_empty() {
                    list.push(policy.workload.to_string());
                }
            }
        }
        let unclear = seen.unclear.values().map(|tally| tally.allowed).sum::<u64>();
        if unclear > 0 {
            *unlearned.entry(Unjudged::UnclearBeginning).or_insert(0) += unclear;
        }
        let unknown = seen.flows.values().map(|tally| tally.unknown).sum::<u64>();
        if unknown > 0 {
            *unlearned.entry(Unjudged::UnknownOutcome).or_insert(0) += unknown;
        }
        let text = |(why, number): (Unjudged, u64)| format!("{}: {}", connections(number), why.as_str());
        statement.unlearned = unlearned.into_iter().map(text).collect();
        statement
    }

    /// The window and what is missing in it, a line each.
    pub fn head(&self) -> Vec<String> {
        let window = match self.window {
            Some(window) => format!("Window: {window}, {} records.", self.records),
            None => "Window: no records.".to_owned(),
        };
        let lost = match self.lost.told() {
            None => "Nothing is known to be missing.".to_owned(),
            Some(told) => format!(
                "Missing: {told}. What they would have told is not in here: a connection that is not named below may \
                 still be needed."
            ),
        };
        vec![window, lost]
    }

    /// What was not seen, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut list = |title: &str, items: &[String]| {
            if !items.is_empty() {
                lines.push(format!("{title}:"));
                lines.extend(items.iter().map(|item| format!("  {item}")));
            }
        };
        list("No connection of these was seen, so they get no policy", &self.never_seen);
        list("All that these tried was denied, so they get no policy", &self.only_denied);
        list("These jobs did not run, so they get no policy", &self.not_run);
        list("Seen rarely, so their policies may lack something", &self.rarely_seen);
        list("Not all pods of these were seen", &self.partly_seen);
        list("Nobody connected to these, so all their ingress is denied", &self.without_ingress);
        list("These connected to nobody, so all their egress is denied", &self.without_egress);
        list("Left out, because no NetworkPolicy can say it", &self.unsayable);
        list("Not learned", &self.unlearned);
        list("In the host network, where no policy selects them", &self.host_network);
        if lines.is_empty() {
            lines.push("Every workload of the input was seen.".to_owned());
        }
        lines.push(
            "What did not happen in this window, such as a backup, a failover or a month's end, is not allowed for.".to_owned(),
        );
        lines
    }
}

/// What stands above a workload's policy.
pub(super) fn about(key: &WorkloadKey, inventory: &Inventory, lessons: &Lessons, seen: &Seen) -> Vec<String> {
    let group = &inventory.groups[key];
    let pods = match group.pods.len() {
        0 if group.seen.len() == 1 => "1 pod seen".to_owned(),
        0 => format!("{} pods seen", group.seen.len()),
        total => format!("{} of {total} pods seen", group.pods.intersection(&group.seen).count()),
    };
    let lost = seen.lost.told().unwrap_or_else(|| "no event lost".to_owned());
    let window = seen.window.map(|window| format!(", {window}")).unwrap_or_default();
    vec![format!("What {key} needs: {}, {pods}, {lost}{window}.", connections(lessons.connections))]
}
