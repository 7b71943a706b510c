//! Conditions of pods and policies.

use std::time::SystemTime;

use http::Method;
use serde_json::{Value, json};

use crate::client::Fault;
use crate::pages::encoded;
use crate::watch::{Served, served};
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

impl Condition {
    fn to_json(&self) -> Value {
        json!({
            "type": self.kind,
            "status": if self.status { "True" } else { "False" },
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": time(self.since, "%Y-%m-%dT%H:%M:%SZ"),
        })
    }
}

/// A time as the API writes it.
pub(super) fn time(at: SystemTime, format: &str) -> String {
    // Outside of the years -9999 to 9999 there is nothing to be told.
    let at = jiff::Timestamp::try_from(at).unwrap_or_default();
    at.strftime(format).to_string()
}

impl Client {
    /// Sets one condition of a pod; its other conditions stay. Refused when the pod of this name has another UID:
    /// with status 422, or 409, as the server's version has it.
    pub async fn set_pod_condition(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        condition: &Condition,
    ) -> Result<(), Error> {
        let path = format!("/api/v1/namespaces/{}/pods/{}/status", encoded(namespace), encoded(pod));
        let patch = json!({"metadata": {"uid": uid}, "status": {"conditions": [condition.to_json()]}});
        let what = format!("set the condition {} of pod {namespace}/{pod}", condition.kind);
        // Conditions are merged by their type.
        let merge = "application/strategic-merge-patch+json";
        self.write(Method::PATCH, &path, merge, &patch, &what).await.map(drop)
    }

    /// Sets one condition of a cluster-scoped policy by server-side apply: `manager` owns what it sets, other
    /// managers' conditions stay. A manager has one condition a policy: what it set before is gone. `generation` is
    /// what the condition is about.
    pub async fn set_policy_condition(
        &self,
        what: Watched,
        name: &str,
        generation: i64,
        manager: &str,
        condition: &Condition,
    ) -> Result<(), Error> {
        let doing = format!("set the condition {} of {} {name}", condition.kind, what.kind());
        let known =
            self.versions().lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&what).copied();
        let kind = match known {
            Some(kind) => kind,
            None => match served(self, what).await {
                Ok(Served::As(kind)) => kind,
                Ok(Served::Otherwise(_) | Served::Not) => {
                    let said = format!("the server has no {}", what.resource());
                    return Err(self.failed(Fault::Status { code: 404, said, retry_after: None }, &doing));
                }
                Err(fault) => return Err(self.failed(fault, &doing)),
            },
        };
        let path =
            format!("{}/{}/status?fieldManager={}&force=true", kind.path(), encoded(name), encoded(manager));
        let mut set = condition.to_json();
        set["observedGeneration"] = generation.into();
        let apply = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.kind,
            "metadata": {"name": name},
            "status": {"conditions": [set]},
        });
        self.write(Method::PATCH, &path, "application/apply-patch+yaml", &apply, &doing).await.map(drop)
    }
}
