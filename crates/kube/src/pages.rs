//! Lists a kind page by page, and finds out what a server has.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Request;
use podgate_api::Input;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::connect::Server;
use crate::error::{Error, of_request};
use crate::kinds::{Custom, Kind};

/// Objects of one page: what kubectl asks for.
const PAGE: usize = 500;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a list may start over because its pages expired.
const RESTARTS: usize = 3;

#[derive(Deserialize)]
struct List<'a> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct ListMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

/// All objects of a kind, each as an input for the reader.
pub(crate) async fn list(
    server: &Server,
    kind: &Kind,
    progress: &dyn Fn(&str, usize),
) -> Result<Vec<Input>, Error> {
    let mut restarts = 0;
    'list: loop {
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            // A list whose pages expire all the time is taken in one piece, as other clients do.
            let limit = if restarts < RESTARTS { format!("?limit={PAGE}") } else { String::new() };
            let more = if next.is_empty() { String::new() } else { format!("&continue={}", encoded(&next)) };
            let text = match get(server, &format!("{}{limit}{more}", kind.path()), kind).await {
                // The server has forgotten the state that the pages showed: start over.
                Err(Error::Expired) if restarts < RESTARTS => {
                    restarts += 1;
                    continue 'list;
                }
                other => other?,
            };
            let Some(text) = text else {
                return Err(Error::Unexpected {
                    context: server.context.clone(),
                    what: kind.qualified(),
                    said: "not found".to_owned(),
                });
            };
            let list: List<'_> =
                serde_json::from_str(&text).map_err(|error| unreadable(server, kind, &error))?;
            for item in &list.items {
                objects.push(object(server, kind, item)?);
            }
            progress(kind.resource, objects.len());
            if list.metadata.next.is_empty() {
                return Ok(objects);
            }
            next = list.metadata.next;
        }
    }
}

#[derive(Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

/// An item of a list as an object of its own: lists leave kind and version out of their items. What no reader
/// needs and what makes up half of a live object is left out as well.
fn object(server: &Server, kind: &Kind, item: &RawValue) -> Result<Input, Error> {
    let fault = |error: serde_json::Error| unreadable(server, kind, &error);
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(item.get()).map_err(fault)?;
    let own_version = serde_json::value::to_raw_value(&kind.api_version()).map_err(fault)?;
    let own_kind = serde_json::value::to_raw_value(kind.kind).map_err(fault)?;
    fields.insert("apiVersion".to_owned(), &own_version);
    fields.insert("kind".to_owned(), &own_kind);
    let mut name = Name { name: String::new(), namespace: String::new() };
    let slim;
    if let Some(metadata) = fields.get("metadata") {
        name = serde_json::from_str(metadata.get()).map_err(fault)?;
        let mut parts: BTreeMap<String, &RawValue> = serde_json::from_str(metadata.get()).map_err(fault)?;
        parts.remove("managedFields");
        slim = serde_json::value::to_raw_value(&parts).map_err(fault)?;
        fields.insert("metadata".to_owned(), &slim);
    }
    let text = serde_json::to_string(&fields).map_err(fault)?;
    let path = match name.namespace.as_str() {
        "" => name.name,
        namespace => format!("{namespace}/{}", name.name),
    };
    Ok(Input::Answer { name: format!("{}:{}/{path}", server.context, kind.resource), text })
}

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

/// The versions and resources of an optional group, in the server's order; none where it is not installed.
pub(crate) async fn discover(server: &Server, custom: &Custom) -> Result<Vec<(String, String)>, Error> {
    let about = Kind { group: custom.group, version: "", resource: "", kind: "APIGroup", essential: false };
    let unreadable = |error: serde_json::Error| unreadable(server, &about, &error);
    let Some(text) = get(server, &format!("/apis/{}", custom.group), &about).await? else {
        return Ok(Vec::new());
    };
    let group: Group = serde_json::from_str(&text).map_err(unreadable)?;
    let mut found = Vec::new();
    for GroupVersion { version } in group.versions {
        let path = format!("/apis/{}/{version}", custom.group);
        if let Some(text) = get(server, &path, &about).await? {
            let list: Resources = serde_json::from_str(&text).map_err(unreadable)?;
            found.extend(list.resources.into_iter().map(|resource| (version.clone(), resource.name)));
        }
    }
    Ok(found)
}

/// The only request that is ever sent. `None`: there is nothing at this path.
async fn get(server: &Server, path: &str, kind: &Kind) -> Result<Option<String>, Error> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| Error::Unexpected {
        context: server.context.clone(),
        what: kind.qualified(),
        said: error.to_string(),
    })?;
    match tokio::time::timeout(PATIENCE, server.client.request_text(request)).await {
        Ok(Ok(text)) => Ok(Some(text)),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
        Ok(Err(error)) => Err(of_request(server, kind, error)),
        Err(_) => Err(Error::Unreachable {
            context: server.context.clone(),
            server: server.url.clone(),
            why: format!("no answer within {} seconds", PATIENCE.as_secs()),
        }),
    }
}

fn unreadable(server: &Server, kind: &Kind, error: &serde_json::Error) -> Error {
    Error::Unexpected {
        context: server.context.clone(),
        what: kind.qualified(),
        said: format!("its answer is not what an API server writes: {error}"),
    }
}

/// A token in a query: everything but what needs no escape is escaped.
pub(crate) fn encoded(token: &str) -> String {
    let mut out = String::with_capacity(token.len());
    for byte in token.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
