//! What a change would do: to what policy allows, to what `podgate check` says, and to flows that were seen.
//! Nothing is written anywhere.

mod patch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podgate_advise::{Judge, Replay};
use podgate_analysis::World;
use podgate_analysis::diff::Diff;
use podgate_api::{Loaded, Object, ObjectKey, load_text};
use podgate_flow::Timestamp;

use crate::ask::{Ask, Window};
use crate::fault::Fault;
use crate::findings;
use crate::model::{Candidate, WhatIf, WhatIfCell};
use crate::places::Places;
use crate::policies::{Policy, all};
use crate::recommend::settled;
use crate::state::file_text;
use crate::status::problem;
use crate::table::Table;

/// Answers /what-if.
pub fn what_if(ask: &Ask) -> Result<WhatIf, Fault> {
    let candidate: Candidate = serde_json::from_slice(&ask.body).map_err(|error| {
        Fault::bad(format!("the body is no candidate: {error}; /openapi.json describes it"))
    })?;
    let since = match &candidate.since {
        Some(text) => ask.time(text).map_err(|why| Fault::bad(format!("since: {why}")))?,
        None => Timestamp(0),
    };
    let snapshot = &ask.snapshot;
    let inventory = &snapshot.inventory;
    let tried = Tried::new(&candidate, &inventory.loaded)?;
    let objects = podgate_advise::without_staged(tried.loaded.objects.clone());
    let world = World::new(objects.clone(), &inventory.options);
    let table = Table::new(&world);
    let places = Places::new(&world, &table);
    let files = file_text(&inventory.loaded);
    let text = |name: &str| tried.texts.get(name).cloned().or_else(|| files(name));
    let found = findings::of(tried.loaded.clone(), &inventory.options, &inventory.checks, &text);
    let fingerprints = |of: &[podgate_lint::Finding]| -> BTreeSet<String> {
        of.iter().map(|finding| finding.fingerprint.clone()).collect()
    };
    let (before, after) = (fingerprints(snapshot.findings()), fingerprints(&found));
    let replay = match ask.server.is_watched() {
        true => {
            let window = Window { since, until: Timestamp(u64::MAX) };
            let seen = settled(ask, window, &objects)?;
            let settings = inventory.options.settings;
            // What the policies of today deny anyway is no work of the candidate, whatever those of its time did.
            let now = podgate_advise::without_staged(inventory.loaded.objects.clone());
            let mut now = Judge::new(now, settings, &seen);
            let seen = seen.under(&mut now);
            Some(Replay::new(&seen, &mut Judge::new(objects, settings, &seen)))
        }
        false => None,
    };
    Ok(WhatIf {
        revision: snapshot.revision(),
        problems: tried.diagnostics.iter().map(problem).collect(),
        new_findings: found.into_iter().filter(|finding| !before.contains(&finding.fingerprint)).collect(),
        mended_findings: snapshot
            .findings()
            .iter()
            .filter(|finding| !after.contains(&finding.fingerprint))
            .cloned()
            .collect(),
        diff: Diff::new(snapshot.world(), &world),
        cells: cells(snapshot.table(), snapshot.places(), &table, &places),
        replay,
        patch: patch::of(&inventory.loaded, &tried.changes),
    })
}

/// A candidate on top of the objects.
struct Tried {
    loaded: Loaded,
    /// What could not be read of the candidate.
    diagnostics: Vec<podgate_api::Diagnostic>,
    /// The texts of edits by their names.
    texts: BTreeMap<String, Arc<str>>,
    changes: Vec<Change>,
}

/// A document that changes.
pub struct Change {
    /// The policy that is there, where it replaces or deletes one.
    pub old: Option<Object>,
    /// What is written; `None`: it is deleted.
    pub new: Option<String>,
    /// Names a new file.
    pub name: String,
}

impl Tried {
    fn new(candidate: &Candidate, there: &Loaded) -> Result<Tried, Fault> {
        let mut loaded = there.clone();
        let mut changes = Vec::new();
        let mut texts = BTreeMap::new();
        let mut diagnostics = Vec::new();
        let policies = all(&there.objects);
        let find = |id: &str| -> Result<Policy<'_>, Fault> {
            let found = policies.iter().copied().find(|policy| policy.id() == id);
            found.ok_or_else(|| Fault::missing(format!("no policy has the id {id}: /policies lists them")))
        };
        let mut gone: BTreeSet<ObjectKey> = BTreeSet::new();
        for id in &candidate.deleted {
            let policy = find(id)?;
            gone.insert(policy.key());
            changes.push(Change { old: Some(policy.object()), new: None, name: String::new() });
        }
        let mut added = Vec::new();
        for (number, edit) in candidate.edits.iter().enumerate() {
            let name = format!("edit {}", number + 1);
            let read = load_text(&name, &edit.yaml);
            let mut old = match &edit.replaces {
                Some(id) => Some(find(id)?),
                None => None,
            };
            // Written again under its own name it replaces what is there, whether that was said or not.
            let again =
                |object: &Object| policies.iter().copied().find(|policy| policy.key() == object.key());
            old = old.or_else(|| read.objects.iter().find_map(again));
            gone.extend(old.map(Policy::key));
            let title = read.objects.first().map(|object| {
                let meta = object.meta();
                let parts = [meta.namespace.as_str(), meta.name.as_str()];
                parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
            });
            changes.push(Change {
                old: old.map(Policy::object),
                new: Some(edit.yaml.clone()),
                name: title.unwrap_or_else(|| format!("policy-{}", number + 1)),
            });
            texts.insert(name, Arc::from(edit.yaml.as_str()));
            diagnostics.extend(read.diagnostics);
            loaded.ignores.extend(read.ignores);
            added.extend(read.objects);
        }
        loaded.objects.retain(|object| !gone.contains(&object.key()));
        // What is written last counts.
        loaded.objects.extend(added);
        loaded.diagnostics.extend(diagnostics.iter().cloned());
        Ok(Tried { loaded, diagnostics, texts, changes })
    }
}

/// Cells that have other ports, of parties that are in both tables.
fn cells(old: &Table, old_places: &Places, new: &Table, new_places: &Places) -> Vec<WhatIfCell> {
    let known = new.ports.iter().enumerate().map(|(at, ports)| (ports, at as u32));
    let known: rustc_hash::FxHashMap<_, u32> = known.collect();
    // The number in the new table of each port set of the old one.
    let same: Vec<Option<u32>> = old.ports.iter().map(|ports| known.get(ports).copied()).collect();
    let shared: Vec<(usize, usize)> = (0..old.parties.len())
        .filter_map(|at| {
            let there = new_places.find(&old_places.get(at).id)?;
            (there < new.parties.len()).then_some((at, there))
        })
        .collect();
    let word = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let mut cells = Vec::new();
    for (old_from, new_from) in &shared {
        for (old_to, new_to) in &shared {
            let (before, after) = (old.cell(*old_from, *old_to), new.cell(*new_from, *new_to));
            if same[before as usize] != Some(after) {
                cells.push(WhatIfCell {
                    from: old_places.get(*old_from).id.clone(),
                    to: old_places.get(*old_to).id.clone(),
                    before: word(old.ports[before as usize].text()),
                    after: word(new.ports[after as usize].text()),
                });
            }
        }
    }
    cells
}
