//! An engine, what it was told, and the kernels that hold what it makes of it.

use std::collections::BTreeMap;

use podgate_api::{Object, ObjectKey};
use podgate_datapath::Mode;
use podgate_policy::{Cluster, Settings};

use super::kernel::Kernels;
use crate::error::Result;
use crate::plan::Plan;
use crate::state::Lab;

/// See the module.
pub(super) struct Engine {
    pub(super) cluster: Cluster,
    pub(super) objects: BTreeMap<ObjectKey, Object>,
    pub(super) kernels: Kernels,
}

impl Engine {
    /// An engine that knows nothing, with every node's kernel.
    pub(super) fn open(lab: &Lab, plan: &Plan, mode: Mode) -> Result<Engine> {
        Ok(Engine {
            cluster: Cluster::new(Settings::default()),
            objects: BTreeMap::new(),
            kernels: Kernels::open(lab, plan, mode)?,
        })
    }

    /// Tells the engine how the objects differ from those it knows. Returns a line for each.
    pub(super) fn tell(&mut self, objects: impl IntoIterator<Item = Object>) -> Vec<String> {
        let wanted: BTreeMap<ObjectKey, Object> =
            objects.into_iter().map(|object| (object.key(), object)).collect();
        let mut changes = Vec::new();
        let is_first = self.objects.is_empty();
        for key in self.objects.keys().filter(|key| !wanted.contains_key(key)) {
            self.cluster.delete(key);
            changes.push(format!("- {key}"));
        }
        for (key, object) in &wanted {
            let known = self.objects.get(key);
            if known == Some(object) {
                continue;
            }
            self.cluster.apply(object.clone());
            match known {
                Some(_) => changes.push(format!("~ {key}")),
                None if !is_first => changes.push(format!("+ {key}")),
                None => {}
            }
        }
        self.objects = wanted;
        changes
    }

    /// Makes what was told current in every kernel. `false`: nothing was to be done.
    pub(super) fn publish(&mut self, lab: &Lab, plan: &Plan) -> Result<bool> {
        let delta = self.cluster.commit();
        let is_new_node = self.kernels.follow(lab, plan)?;
        if delta.is_empty() && !is_new_node && !self.kernels.is_behind() {
            return Ok(false);
        }
        self.kernels.publish(&self.cluster, &delta)?;
        Ok(true)
    }
}
