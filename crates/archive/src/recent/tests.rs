use std::time::Duration;

use podgate_flow::{Filter, FlowVerdict, Terms};

use super::*;
use crate::directory::Hour;
use crate::fixture::{at, records as made};
use crate::flows::rows;
use crate::store::Store;
use crate::{Archive, Caps, Reader};

fn open_archive(dir: &std::path::Path) -> Archive {
    Archive::open(dir, Caps { age: Duration::from_secs(1 << 40), ..Caps::default() }).unwrap()
}

fn ids<R: AsRef<FlowRecord>>(records: &[R]) -> Vec<podgate_flow::FlowId> {
    records.iter().map(|record| record.as_ref().id).collect()
}

/// What is kept answers as the files do.
#[track_caller]
fn check(recent: &Recent, dir: &std::path::Path, query: &Query) {
    let from_files = Reader::open(dir).unwrap().flows(query).unwrap().found;
    let kept = recent.flows(query).unwrap();
    let kept: Vec<FlowRecord> = kept.found.iter().map(|record| (**record).clone()).collect();
    assert_eq!(kept, from_files, "{query:?}");
}

#[test]
fn what_was_written_since_is_in_the_next_answer_and_nothing_else_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let archive = open_archive(dir.path());
    let records = made(1000);
    archive.append(&records[..600]);
    archive.flush();
    let recent = Recent::new(dir.path(), 10_000);
    let first = recent.newest().unwrap();
    assert_eq!((ids(&first.records), first.read, first.since), (ids(&records[..600]), 600, Timestamp(0)));
    assert!(Arc::ptr_eq(&first, &recent.newest().unwrap()), "nothing changed");
    archive.append(&records[600..]);
    archive.flush();
    let second = recent.newest().unwrap();
    assert_eq!((ids(&second.records), second.read), (ids(&records), 400));
    assert!(Arc::ptr_eq(&second.records[0], &first.records[0]), "what was kept is the same");
}

#[test]
fn files_that_were_merged_are_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(dir.path(), Caps { age: Duration::from_secs(1 << 40), ..Caps::default() }).unwrap();
    let records = made(2000);
    let recent = Recent::new(dir.path(), 10_000);
    let files = || recent.kept.lock().unwrap().files.len();
    let tidy = |now: Timestamp| while store.tidy(now).unwrap() {};
    let (mut read, mut most_files) = (0, 0);
    for (at, some) in records.chunks(20).enumerate() {
        store.write(some[0].time, Series::Flows, Hour::of(some[0].time), &rows(some)).unwrap();
        read += recent.newest().unwrap().read;
        most_files = most_files.max(files());
        if at % 40 == 39 {
            tidy(some[0].time);
            assert_eq!(recent.newest().unwrap().read, 0, "parts became one");
        }
    }
    assert!(read == 2000 && most_files >= 40, "{read} {most_files}");
    // The whole hour takes the place of all of them.
    tidy(at(2 * 3600));
    let newest = recent.newest().unwrap();
    assert_eq!((newest.read, files()), (0, 1));
    assert_eq!(ids(&newest.records), ids(&records));
    check(&recent, dir.path(), &Query::default());
    assert_eq!(ids(&Recent::new(dir.path(), 10_000).newest().unwrap().records), ids(&records));
}

#[test]
fn a_query_is_answered_as_from_the_files_however_much_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let archive = open_archive(dir.path());
    // An hour and the next one: what is kept ends in between.
    let early = made(300);
    let late: Vec<_> = made(300)
        .iter()
        .map(|record| {
            let mut record = (**record).clone();
            record.time = record.time.after(Duration::from_secs(3600));
            record.id =
                podgate_flow::FlowId(u128::from(record.time.0) << 64 | record.id.0 & u128::from(u64::MAX));
            Arc::new(record)
        })
        .collect();
    archive.append(&early);
    archive.flush();
    archive.append(&late);
    archive.flush();
    let denied = Terms { verdicts: vec![FlowVerdict::Denied], ..Terms::default() };
    let filters = [Filter::default(), Filter { any_of: vec![denied], ..Filter::default() }];
    let times = [None, Some(late[150].time), Some(early[100].time)];
    for most in [1, 299, 300, 301, 450, 600, 1000] {
        let recent = Recent::new(dir.path(), most);
        let newest = recent.newest().unwrap();
        assert_eq!(newest.records.len(), most.min(600));
        assert_eq!(newest.since.0 == 0, most >= 600, "{most}");
        for filter in &filters {
            for since in times {
                for until in times {
                    for take in [Take::All, Take::First(70), Take::Last(500)] {
                        check(&recent, dir.path(), &Query { filter: filter.clone(), since, until, take });
                    }
                }
            }
        }
    }
}

#[test]
fn a_file_that_cant_be_read_is_told_of_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let archive = open_archive(dir.path());
    let records = made(200);
    archive.append(&records[..100]);
    archive.flush();
    drop(archive);
    let recent = Recent::new(dir.path(), 1000);
    assert_eq!(recent.newest().unwrap().records.len(), 100);
    let whole = Name { part: Some(90_000_000), ..*recent.kept.lock().unwrap().files.keys().next().unwrap() };
    std::fs::write(dir.path().join(whole.to_string()), "no Parquet").unwrap();
    let newest = recent.newest().unwrap();
    assert_eq!(newest.records.len(), 100);
    assert!(
        newest.problems.len() == 1 && newest.problems[0].path.ends_with(whole.to_string()),
        "{:?}",
        newest.problems
    );
    std::fs::remove_file(dir.path().join(whole.to_string())).unwrap();
    assert!(recent.newest().unwrap().problems.is_empty());
}
