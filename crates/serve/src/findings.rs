//! What `podgate check` finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podgate_analysis::WorldOptions;
use podgate_api::{Loaded, Object};
use podgate_lint::config::Config;
use podgate_lint::ignore::Ignores;
use podgate_lint::{Context, Finding, ObjectRef};

use crate::ask::Ask;
use crate::fault::Fault;
use crate::model::FindingList;
use crate::policies::all;
use crate::state::Snapshot;

/// The findings about objects, the worst first; without those that objects or
/// the team's choices leave out. Of staged policies is found
/// what would be if they were enforced; of everything else, what is there without them.
pub fn of(
    mut loaded: Loaded,
    options: &WorldOptions,
    checks: &Config,
    text: &(impl Fn(&str) -> Option<Arc<str>> + Sync),
) -> Vec<Finding> {
    let settings = checks.settings();
    let ignores = Ignores::new(&loaded);
    let diagnostics = podgate_lint::prepare(&mut loaded);
    let run = |objects: Vec<Object>| {
        let world = podgate_lint::world(objects, options.clone());
        podgate_lint::run(&Context::new(&world, &diagnostics, text, &settings))
    };
    let staged = podgate_api::staged(&loaded.objects).into_iter();
    let staged: BTreeSet<ObjectRef> = staged
        .map(|key| ObjectRef { kind: key.kind.to_owned(), namespace: key.namespace, name: key.name })
        .collect();
    let mut findings = run(podgate_advise::without_staged(loaded.objects.clone()));
    if !staged.is_empty() {
        findings.extend(run(loaded.objects).into_iter().filter(|finding| staged.contains(&finding.object)));
        podgate_lint::sort(&mut findings);
    }
    checks.rate(&mut findings);
    findings.retain(|finding| ignores.find(finding).is_none() && checks.ignores(finding).is_none());
    findings.sort_by_key(rank);
    findings
}

/// How many findings are about each workload, or about a policy that selects it.
pub fn by_workload(snapshot: &Snapshot) -> Vec<usize> {
    let world = snapshot.world();
    let mut counts = vec![0; world.workloads.len()];
    let policies = all(&snapshot.inventory.loaded.objects);
    let mut of_policy: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let mut of_object: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    let kinds: BTreeSet<&str> = policies.iter().map(|policy| policy.kind_name()).collect();
    for finding in snapshot.findings() {
        let object = &finding.object;
        let key = (object.kind.as_str(), object.namespace.as_str(), object.name.as_str());
        let counts = if kinds.contains(key.0) { &mut of_policy } else { &mut of_object };
        *counts.entry(key).or_default() += 1;
    }
    for policy in policies {
        let name = policy.reference();
        if let Some(found) = of_policy.get(&(name.kind.as_str(), &*name.namespace, &*name.name)) {
            policy.subjects(world).keys().for_each(|workload| counts[workload.0 as usize] += found);
        }
    }
    for (at, workload) in world.workloads.iter().enumerate() {
        let key = (workload.kind.as_str(), workload.namespace.as_str(), workload.name.as_str());
        counts[at] += of_object.get(&key).copied().unwrap_or_default();
    }
    counts
}

fn rank(finding: &Finding) -> u8 {
    match finding.severity {
        podgate_lint::Severity::Error => 0,
        podgate_lint::Severity::Warning => 1,
        podgate_lint::Severity::Info => 2,
    }
}

/// All of them.
pub fn list(ask: &Ask) -> Result<FindingList, Fault> {
    Ok(FindingList { revision: ask.snapshot.revision(), findings: ask.snapshot.findings().to_vec() })
}
