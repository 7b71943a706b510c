//! Which kinds a server has, and in which versions.

use std::sync::PoisonError;

use serde::Deserialize;

use super::Watched;
use crate::Client;
use crate::client::Fault;
use crate::kinds::{BUILT_IN, CUSTOM, Kind};

#[derive(Deserialize)]
struct Group {
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
}

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

/// What is known of a kind at this server.
pub(crate) enum Served {
    /// It has it.
    As(Kind),
    /// It has it in versions only that podgate does not read.
    Otherwise(String),
    /// It does not have it.
    Not,
}

/// Finds out whether the server has a kind, in the best version that is read. Kinds that every server has are not
/// looked for.
pub(crate) async fn served(client: &Client, what: Watched) -> Result<Served, Fault> {
    if let Some(kind) = BUILT_IN.iter().find(|kind| kind.kind == what.kind()) {
        return Ok(Served::As(*kind));
    }
    let found = look_for(client, what).await?;
    let mut versions = client.versions().lock().unwrap_or_else(PoisonError::into_inner);
    match &found {
        Served::As(kind) => versions.insert(what, *kind),
        Served::Otherwise(_) | Served::Not => versions.remove(&what),
    };
    Ok(found)
}

async fn look_for(client: &Client, what: Watched) -> Result<Served, Fault> {
    let found = CUSTOM.iter().find_map(|custom| {
        let kind = custom.kinds.iter().find(|kind| kind.kind == what.kind())?;
        Some((custom, kind))
    });
    let Some((custom, known)) = found else { return Ok(Served::Not) };
    let group = format!("/apis/{}", custom.group);
    let Some(Group { versions }) = client.get(&group).await? else { return Ok(Served::Not) };
    let mut theirs: Vec<String> = versions.into_iter().map(|version| version.version).collect();
    // The best first.
    let rank = |version: &String| known.versions.iter().position(|known| known == version);
    theirs.sort_by_key(|version| rank(version).unwrap_or(usize::MAX));
    let mut others = Vec::new();
    for version in theirs {
        let Some(Resources { resources }) = client.get(&format!("{group}/{version}")).await? else {
            continue;
        };
        if resources.iter().any(|resource| resource.name == known.resource) {
            match rank(&version) {
                Some(rank) => {
                    return Ok(Served::As(Kind {
                        group: custom.group,
                        version: known.versions[rank],
                        resource: known.resource,
                        kind: known.kind,
                        essential: custom.essential,
                    }));
                }
                None => others.push(format!("{}/{version}", custom.group)),
            }
        }
    }
    Ok(if others.is_empty() { Served::Not } else { Served::Otherwise(others.join(", ")) })
}
