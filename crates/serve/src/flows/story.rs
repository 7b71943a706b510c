//! The whole story of one flow.

use std::sync::Arc;

use podgate_advise::why::{PolicyArchive, Story};
use podgate_api::Object;
use podgate_archive::Reader;
use podgate_flow::{Filter, FlowId, FlowRecord, PolicyVersion, Query, Take, Terms};

use super::watched;
use crate::ask::Ask;
use crate::fault::Fault;

/// Answers /flows/{id}/story.
pub fn story(ask: &Ask) -> Result<Story, Fault> {
    watched(ask)?;
    let record = find(ask)?;
    let inventory = &ask.snapshot.inventory;
    let archive = ask.server.source.archive.as_ref().and_then(|dir| Reader::open(dir).ok()).map(Remembered);
    let archive = archive.as_ref().map(|archive| archive as &dyn PolicyArchive);
    let settings = inventory.options.settings;
    Ok(Story::new(Arc::unwrap_or_clone(record), &inventory.loaded.objects, archive, settings))
}

fn find(ask: &Ask) -> Result<Arc<FlowRecord>, Fault> {
    let id: FlowId = ask.id.parse().map_err(Fault::bad)?;
    let terms = Terms { ids: vec![id], ..Terms::default() };
    let filter = Filter { any_of: vec![terms], ..Filter::default() };
    let query = Query { filter, take: Take::Last(1), ..Query::default() };
    super::ask(&ask.server, query)?
        .pop()
        .ok_or_else(|| Fault::missing(format!("no flow has the id {id}: it may be too old to be kept")))
}

/// Policies that an archive remembers.
struct Remembered(Reader);

impl PolicyArchive for Remembered {
    fn policies(&self, version: PolicyVersion) -> Option<Vec<Object>> {
        self.0.policies(version).ok().flatten()
    }
}
