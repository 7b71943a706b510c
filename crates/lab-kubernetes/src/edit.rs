//! Many edits in a row, faster than a kubectl each could make them.

use std::path::Path;
use std::time::Duration;

use http::Request;
use podgate_lab::{Error, Result};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::kubelet::{client, said};

/// Names the editor in the objects' managed fields.
const MANAGER: &str = "podgate-lab";

/// A change of one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Makes the object at this path as given, where it was not so.
    Apply {
        /// The object's path on the API server.
        path: String,
        /// The object, or the fields of it that matter.
        object: Value,
    },
    /// Deletes the object at this path; fine when there is none.
    Delete {
        /// The object's path on the API server.
        path: String,
    },
}

impl Edit {
    fn request(&self) -> std::result::Result<Request<Vec<u8>>, http::Error> {
        match self {
            Edit::Apply { path, object } => {
                Request::patch(format!("{path}?fieldManager={MANAGER}&force=true"))
                    .header("content-type", "application/apply-patch+yaml")
                    .body(object.to_string().into_bytes())
            }
            Edit::Delete { path } => Request::delete(path).body(Vec::new()),
        }
    }

    fn path(&self) -> &str {
        match self {
            Edit::Apply { path, .. } | Edit::Delete { path } => path,
        }
    }
}

/// Makes the edits from the calling thread's namespace. See [`Cluster::edit`](crate::Cluster::edit).
pub(crate) fn make(kubeconfig: &Path, edits: &[Edit], every: Duration) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start a client", error))?;
    runtime.block_on(async {
        let client = client(kubeconfig).await?;
        let mut ticks = interval(every.max(Duration::from_micros(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut late = 0;
        for edit in edits {
            let due = ticks.tick().await;
            late += usize::from(Instant::now() > due + every);
            let refused =
                |error: &dyn std::fmt::Display| Error::message(format!("edit {}: {error}", edit.path()));
            let request = edit.request().map_err(|error| refused(&error))?;
            match client.request_text(request).await {
                Err(kube::Error::Api(status))
                    if status.code == 404 && matches!(edit, Edit::Delete { .. }) => {}
                Err(error) => return Err(refused(&said(&error))),
                Ok(_) => {}
            }
        }
        Ok(late)
    })
}
