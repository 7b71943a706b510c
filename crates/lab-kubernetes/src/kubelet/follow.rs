//! Following all objects of a kind: a list, then what becomes of it, through restarts of the API server.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::{log, said};

/// Waiting times between attempts to reach the API server.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What happened to the objects of a kind.
pub(super) enum News<K> {
    /// These are all; what is not among them is gone.
    All(Vec<K>),
    /// New or changed.
    Applied(K),
    /// Gone.
    Deleted(K),
}

/// Tells all news, for ever. `fields` is a field selector, empty for everything.
pub(super) async fn follow<K>(api: Api<K>, fields: &str, mut tell: impl FnMut(News<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let mut pause = FIRST_PAUSE;
    loop {
        match once(&api, fields, &mut tell).await {
            // An expired watch: list at once.
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                log(&format!("following {}: {}", K::plural(&()), said(&error)));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn once<K>(api: &Api<K>, fields: &str, tell: &mut impl FnMut(News<K>)) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let list = api.list(&ListParams::default().fields(fields)).await?;
    let mut version = list.metadata.resource_version.clone().unwrap_or_default();
    tell(News::All(list.items));
    let params = WatchParams::default().fields(fields);
    loop {
        let mut events = std::pin::pin!(api.watch(&params, &version).await?);
        while let Some(event) = events.next().await {
            let seen = match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let seen = object.resource_version();
                    tell(News::Applied(object));
                    seen
                }
                WatchEvent::Deleted(object) => {
                    let seen = object.resource_version();
                    tell(News::Deleted(object));
                    seen
                }
                WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
                WatchEvent::Error(status) if status.code == 410 => return Ok(()),
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            };
            version = seen.unwrap_or(version);
        }
    }
}

/// The namespaced kind's API in the object's own namespace.
pub(super) fn beside<K>(client: kube::Client, namespace: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client, namespace)
}
