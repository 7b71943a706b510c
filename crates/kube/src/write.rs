//! What an agent writes back.

use std::time::SystemTime;

use crate::{Client, Error, Watched};

/// An entry of `status.conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `type`, such as `podgate.dev/enforced`.
    pub kind: String,
    /// `status`: `True` or `False`.
    pub status: bool,
    /// `reason`: one word in CamelCase, never empty.
    pub reason: String,
    /// `message`: for people.
    pub message: String,
    /// `lastTransitionTime`: since when `status` has its value.
    pub since: SystemTime,
}

/// The object that an Event is about, and who tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventAbout {
    /// `apiVersion` of the object, such as `networking.k8s.io/v1`.
    pub api_version: String,
    /// Kind of the object.
    pub kind: String,
    /// Namespace of the object; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// UID of the object; empty when unknown.
    pub uid: String,
    /// Who tells, such as the node's name.
    pub reporter: String,
}

/// Whether an Event is worth looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody should look at it.
    Warning,
}

impl Client {
    /// Sets one condition of a pod. Refused with status 409 when the pod of this name has another UID.
    pub async fn set_pod_condition(
        &self,
        _namespace: &str,
        _pod: &str,
        _uid: &str,
        _condition: &Condition,
    ) -> Result<(), Error> {
        Err(Error::Expired)
    }

    /// Sets one condition of a cluster-scoped policy by server-side apply. `manager` owns what it sets: another
    /// manager's conditions stay. `generation` is what the condition is about.
    pub async fn set_policy_condition(
        &self,
        _what: Watched,
        _name: &str,
        _generation: i64,
        _manager: &str,
        _condition: &Condition,
    ) -> Result<(), Error> {
        Err(Error::Expired)
    }

    /// Tells an Event. The same reason and note about the same object within ten minutes count as one series.
    pub async fn tell_event(
        &self,
        _about: &EventAbout,
        _reason: &str,
        _note: &str,
        _kind: EventKind,
    ) -> Result<(), Error> {
        Err(Error::Expired)
    }

    /// Whether the bearer of a token may GET a path that is no resource: who it is, is asked from the API server.
    pub async fn may_get(&self, _bearer: &str, _path: &str) -> Result<bool, Error> {
        Err(Error::Expired)
    }
}
