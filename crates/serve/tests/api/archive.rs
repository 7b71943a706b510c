//! Flows of an archive that somebody writes.

use std::sync::Arc;

use podgate_archive::{Archive, Caps};
use podgate_flow::FlowRecord;

use crate::support::{Served, flows};

#[test]
fn what_was_written_since_the_last_answer_is_in_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path(), Caps::default()).unwrap();
    let records: Vec<Arc<FlowRecord>> = flows().into_iter().map(Arc::new).collect();
    let (early, late) = records.split_at(records.len() / 2);
    assert!(!early.is_empty() && !late.is_empty());
    let served = Served::of_archive(dir.path());
    assert_eq!(served.get("/flows")["total"], 0);
    for (more, all) in [(early, early.len()), (late, records.len())] {
        archive.append(more);
        archive.flush();
        assert_eq!(served.get("/flows")["total"], all);
        assert_eq!(served.get("/status")["flows"]["kept"], all);
    }
    // One flow is found by its id, whenever it was.
    for record in &records {
        let story = served.get(&format!("/flows/{}/story", record.id));
        assert_eq!(story["record"]["id"], record.id.to_string());
    }
    let (status, error) = served.fault("/flows/00000000000000010000000000000001/story");
    assert!(status == 404 && error.contains("too old"), "{error}");
}
