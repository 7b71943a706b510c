//! Policies that are only watched: evaluated in the kernel beside those in force, and only told of.
//!
//! ```text
//! API server's news --+--> Inventory, Gate: what decides; hears nothing of staged policies
//!                     +--> Shadow (Inventory, Gate in observing mode): all policies; only while some are staged
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use podgate_api::{Mode, Object, ObjectKey, mode_of};
use podgate_datapath::{BpfDatapath, Datapath, Mode as KernelMode, Options};
use podgate_kube::{News, Watched};
use podgate_observe::Observer;

use crate::gate::Gate;
use crate::inventory::{Effect, Inventory};

/// What all policies together would do.
pub(crate) struct Shadow {
    pub(crate) inventory: Inventory,
    pub(crate) gate: Gate,
}

/// Opens what evaluates staged policies.
pub(crate) type Open = fn(Options) -> Result<Box<dyn Datapath + Send>, String>;

/// In the kernel.
pub(crate) fn open_observer(options: Options) -> Result<Box<dyn Datapath + Send>, String> {
    match BpfDatapath::open(options) {
        Ok(datapath) => Ok(Box::new(datapath)),
        Err(error) => Err(error.to_string()),
    }
}

/// See the module.
pub(crate) struct Staging {
    /// Every policy is staged, whatever its annotations say.
    all: bool,
    /// How the observing datapath is opened.
    options: Options,
    open: Open,
    /// Modes that namespaces are annotated with.
    namespaces: BTreeMap<String, Mode>,
    /// Modes that policies are annotated with: most aren't.
    annotated: BTreeMap<ObjectKey, Mode>,
    /// The staged policies.
    policies: BTreeSet<ObjectKey>,
    pub(crate) shadow: Option<Box<Shadow>>,
    /// Why staged policies aren't evaluated.
    failure: Option<String>,
}

impl Staging {
    pub(crate) fn new(all: bool, mut options: Options, open: Open) -> Staging {
        options.mode = KernelMode::Observe { allowed: true };
        options.totals = None;
        options.answers = None;
        let mut dir = options.pin_dir.into_os_string();
        dir.push("-staged");
        options.pin_dir = dir.into();
        Staging {
            all,
            options,
            open,
            namespaces: BTreeMap::new(),
            annotated: BTreeMap::new(),
            policies: BTreeSet::new(),
            shadow: None,
            failure: None,
        }
    }

    /// How many policies are staged.
    pub(crate) fn count(&self) -> usize {
        self.policies.len()
    }

    /// Why staged policies aren't evaluated; `None`: they are, or there are none.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Takes a piece of news: what decides hears of it, or the shadow alone.
    pub(crate) fn take(&mut self, news: News, inventory: &mut Inventory, gate: &mut Gate) -> Effect {
        let mut effect = Effect::default();
        if let News::Applied(Watched::Namespaces, item) = &news {
            let meta = item.object.meta();
            let mode = annotated(&item.object).unwrap_or_default();
            effect.is_change = self.annotate(&meta.name.clone(), mode, inventory, gate);
        }
        if let News::Deleted(Watched::Namespaces, key, _) = &news {
            effect.is_change = self.annotate(&key.name.clone(), Mode::Enforced, inventory, gate);
        }
        match &news {
            News::Applied(_, item) if is_policy(&item.object) => {
                let key = item.object.key();
                match annotated(&item.object) {
                    Some(mode) => drop(self.annotated.insert(key.clone(), mode)),
                    None => drop(self.annotated.remove(&key)),
                }
                if self.is_staged(&key) {
                    self.policies.insert(key.clone());
                    self.cast(inventory, gate);
                    self.tell_shadow(&news);
                    effect.is_change |= inventory.drop_policy(&key, &mut gate.cluster);
                    return effect;
                }
                self.policies.remove(&key);
            }
            News::Deleted(_, key, _) => {
                self.annotated.remove(key);
                self.policies.remove(key);
            }
            _ => {}
        }
        self.tell_shadow(&news);
        if let (News::Synced(what) | News::Absent(what), Some(shadow)) = (&news, &self.shadow) {
            // What a new list doesn't name any more.
            let is_there = |key: &ObjectKey| key.kind != kind_of(*what) || shadow.inventory.has_policy(key);
            self.policies.retain(is_there);
        }
        let told = inventory.take(news, &mut gate.cluster);
        Effect { is_change: effect.is_change | told.is_change, ..told }
    }

    /// Does to the shadow what is done to what decides.
    pub(crate) fn also(&mut self, work: impl FnOnce(&mut Inventory, &mut Gate)) {
        if let Some(shadow) = &mut self.shadow {
            work(&mut shadow.inventory, &mut shadow.gate);
        }
    }

    /// Makes the shadow's tables current; ends it when nothing is staged any more.
    pub(crate) fn publish(&mut self, now: Instant) {
        if self.policies.is_empty() && !self.all {
            self.failure = None;
            if self.shadow.take().is_some()
                && let Err(error) = podgate_datapath::remove_observer(&self.options.pin_dir)
            {
                tracing::warn!(%error, "what evaluated staged policies can't be removed from the kernel");
            }
            return;
        }
        let Some(shadow) = &mut self.shadow else { return };
        if shadow.gate.retry_at().is_some_and(|at| now < at) {
            return;
        }
        self.failure = shadow.gate.publish(now).err();
    }

    /// Hands the shadow's events to the observer.
    pub(crate) fn watch(&mut self, observer: &mut Observer, node: &Arc<str>) {
        let Some(shadow) = &mut self.shadow else { return };
        let polled =
            shadow.gate.poll_events(&mut |event, cluster| observer.staged_event(node, &event, cluster));
        let settled = shadow.gate.settle();
        if let Err(why) = polled.map(drop).and(settled) {
            self.failure = Some(why);
        }
    }

    fn is_staged(&self, policy: &ObjectKey) -> bool {
        let namespace = || self.namespaces.get(&policy.namespace).copied().unwrap_or_default();
        self.all || self.annotated.get(policy).copied().unwrap_or_else(namespace) == Mode::Staged
    }

    /// Follows a namespace's mode. `true`: what decides has changed.
    fn annotate(&mut self, namespace: &str, mode: Mode, inventory: &mut Inventory, gate: &mut Gate) -> bool {
        let before = match mode {
            Mode::Enforced => self.namespaces.remove(namespace),
            Mode::Staged => self.namespaces.insert(namespace.to_owned(), mode),
        };
        if before.unwrap_or_default() == mode {
            return false;
        }
        let mut is_change = false;
        match mode {
            Mode::Staged => {
                for policy in inventory.policies_of(namespace) {
                    if self.is_staged(&policy.key()) {
                        self.policies.insert(policy.key());
                        self.cast(inventory, gate);
                        is_change |= inventory.drop_policy(&policy.key(), &mut gate.cluster);
                    }
                }
            }
            Mode::Enforced => {
                let policies = self.shadow.as_ref().map(|shadow| shadow.inventory.policies_of(namespace));
                for policy in policies.unwrap_or_default() {
                    if !self.is_staged(&policy.key()) && self.policies.remove(&policy.key()) {
                        is_change |= inventory.put_policy(policy, &mut gate.cluster);
                    }
                }
            }
        }
        is_change
    }

    /// Has a shadow, which begins as a copy of what decides.
    fn cast(&mut self, inventory: &Inventory, gate: &Gate) {
        if self.shadow.is_some() {
            return;
        }
        let gate = match (self.open)(self.options.clone()) {
            Ok(datapath) => Gate::with(datapath, gate.cluster.clone()),
            Err(why) => {
                if self.failure.as_ref() != Some(&why) {
                    tracing::error!(why, "staged policies are not evaluated");
                }
                self.failure = Some(why);
                return;
            }
        };
        self.failure = None;
        self.shadow = Some(Box::new(Shadow { inventory: inventory.clone(), gate }));
    }

    fn tell_shadow(&mut self, news: &News) {
        if let Some(shadow) = &mut self.shadow {
            shadow.inventory.take(news.clone(), &mut shadow.gate.cluster);
        }
    }
}

/// The mode that an object is annotated with. What can't be understood stages nothing: a slip must not open a
/// cluster. Whoever hears of the object says so.
fn annotated(object: &Object) -> Option<Mode> {
    let meta = object.meta();
    match mode_of(&meta.annotations)? {
        Ok(mode) => Some(mode),
        Err(_) => Some(Mode::Enforced),
    }
}

fn is_policy(object: &Object) -> bool {
    matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_))
}

/// The kind of a resource's objects; empty for those that are no policies.
fn kind_of(what: Watched) -> &'static str {
    match what {
        Watched::NetworkPolicies => "NetworkPolicy",
        Watched::ClusterNetworkPolicies => "ClusterNetworkPolicy",
        Watched::AdminNetworkPolicies => "AdminNetworkPolicy",
        Watched::BaselineAdminNetworkPolicies => "BaselineAdminNetworkPolicy",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
