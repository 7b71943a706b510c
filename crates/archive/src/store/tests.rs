use std::sync::Arc;

use podgate_flow::{EdgeMinute, FlowRecord, Query, Take};
use tempfile::TempDir;

use super::*;
use crate::fixture::{at, minutes, records};
use crate::reader;

const DAY: Duration = Duration::from_secs(86_400);
const ROOMY: Caps = Caps { bytes: u64::MAX, age: Duration::from_secs(7 * 86_400) };

fn store(caps: Caps) -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), caps).unwrap();
    (dir, store)
}

fn write(store: &Store, records: &[Arc<FlowRecord>]) {
    for run in records.chunk_by(|a, b| Hour::of(a.time) == Hour::of(b.time)) {
        let hour = Hour::of(run[0].time);
        store.write(run[0].time, Series::Flows, hour, &flows::rows(run)).unwrap();
    }
}

fn write_edges(store: &Store, minutes: &[Arc<EdgeMinute>]) {
    for run in minutes.chunk_by(|a, b| a.minute == b.minute) {
        store.write(run[0].minute, Series::Edges, Hour::of(run[0].minute), &edges::rows(run)).unwrap();
    }
}

fn tidy(store: &Store, now: Timestamp) {
    while store.tidy(now).unwrap() {}
}

fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(store.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names
}

#[track_caller]
fn read(store: &Store, query: &Query) -> Vec<FlowRecord> {
    let found = reader::flows(store.dir(), query).unwrap();
    assert_eq!(found.problems, []);
    found.found
}

fn plain(records: &[Arc<FlowRecord>]) -> Vec<FlowRecord> {
    records.iter().map(|record| (**record).clone()).collect()
}

#[test]
fn every_record_comes_back_as_it_was_before_and_after_its_hour_is_put_together() {
    let (_dir, store) = store(ROOMY);
    let records = records(3000);
    records.chunks(100).for_each(|some| write(&store, some));
    assert_eq!(read(&store, &Query::default()), plain(&records));
    tidy(&store, at(3600 + 200));
    assert_eq!(names(&store), ["flows-2026-11-23T14.parquet"]);
    assert_eq!(read(&store, &Query::default()), plain(&records));
}

#[test]
fn parts_are_merged_before_there_are_many_and_none_is_read_twice() {
    let (_dir, store) = store(ROOMY);
    let records = records(100 * 40);
    for some in records.chunks(40) {
        write(&store, some);
        tidy(&store, some[0].time);
    }
    // 100 parts are three of the first level and four that wait.
    assert_eq!(names(&store).len(), 7, "{:?}", names(&store));
    assert_eq!(read(&store, &Query::default()), plain(&records));
}

#[test]
fn what_comes_late_joins_its_hour() {
    let (_dir, store) = store(ROOMY);
    let records = records(300);
    write(&store, &records[100..200]);
    tidy(&store, at(3600 + 200));
    write(&store, &records[200..]);
    write(&store, &records[..100]);
    assert_eq!(names(&store).len(), 3);
    tidy(&store, at(2 * 3600));
    assert_eq!(names(&store), ["flows-2026-11-23T14.parquet"]);
    assert_eq!(read(&store, &Query::default()), plain(&records));
}

#[test]
fn queries_take_by_time_and_from_either_end() {
    let (_dir, store) = store(ROOMY);
    let records = records(2000);
    records.chunks(150).rev().for_each(|some| write(&store, some));
    for merged in [false, true] {
        if merged {
            tidy(&store, at(2 * 3600));
        }
        let (since, until) = (Some(records[400].time), Some(records[1300].time));
        let query = Query { since, until, ..Query::default() };
        assert_eq!(read(&store, &query), plain(&records[400..1300]));
        let query = Query { take: Take::Last(7), ..query };
        assert_eq!(read(&store, &query), plain(&records[1293..1300]));
        let query = Query { take: Take::First(200), ..query };
        assert_eq!(read(&store, &query), plain(&records[400..600]));
        let mut query = Query { take: Take::Last(300), ..Query::default() };
        query.filter.denied = true;
        let denied: Vec<FlowRecord> =
            plain(&records).into_iter().filter(|record| query.filter.accepts(record)).collect();
        assert_eq!(read(&store, &query), denied[denied.len() - 300..]);
    }
}

#[test]
fn minutes_come_back_in_order_and_those_that_reach_into_the_time_are_among_them() {
    let (_dir, store) = store(ROOMY);
    let minutes = minutes(40, 70);
    write_edges(&store, &minutes);
    for merged in [false, true] {
        if merged {
            tidy(&store, at(5 * 3600));
            assert_eq!(names(&store), ["edges-2026-11-23T14.parquet", "edges-2026-11-23T15.parquet"]);
        }
        let found = reader::edges(store.dir(), at(59 * 60 + 30), at(62 * 60)).unwrap();
        assert_eq!(found.problems, []);
        let mut wanted: Vec<EdgeMinute> =
            minutes[59 * 40..62 * 40].iter().map(|minute| (**minute).clone()).collect();
        wanted.sort_by(|a, b| (a.minute, &a.edge).cmp(&(b.minute, &b.edge)));
        assert_eq!(found.found, wanted);
    }
}

#[test]
fn a_minute_of_an_edge_takes_less_than_sixty_bytes() {
    let (_dir, store) = store(ROOMY);
    let minutes = minutes(500, 60);
    write_edges(&store, &minutes);
    tidy(&store, at(2 * 3600));
    let bytes = store.sizes().bytes as f64 / minutes.len() as f64;
    assert!(bytes < 60.0, "{bytes:.1} bytes for a minute of an edge");
}

/// Each state that a kill can leave between two steps of a merge.
#[test]
fn a_merge_that_was_cut_off_loses_and_doubles_nothing() {
    let (dir, store) = store(ROOMY);
    let records = records(400);
    records.chunks(100).for_each(|some| write(&store, some));
    let parts = names(&store);
    let copies: Vec<Vec<u8>> = parts.iter().map(|part| fs::read(dir.path().join(part)).unwrap()).collect();
    tidy(&store, at(2 * 3600));
    drop(store);
    let merged = fs::read(dir.path().join("flows-2026-11-23T14.parquet")).unwrap();
    // Before it had its name: torn, with all parts there. After that: whole, with some of the parts.
    for (there, torn) in [(0, true), (0, false), (1, false), (3, false)] {
        for name in fs::read_dir(dir.path()).unwrap() {
            fs::remove_file(name.unwrap().path()).unwrap();
        }
        for (part, copy) in parts.iter().zip(&copies).skip(there) {
            fs::write(dir.path().join(part), copy).unwrap();
        }
        let (name, bytes) = match torn {
            true => ("flows-2026-11-23T14.tmp", &merged[..merged.len() / 2]),
            false => ("flows-2026-11-23T14.parquet", &merged[..]),
        };
        fs::write(dir.path().join(name), bytes).unwrap();
        let reader = crate::Reader::open(dir.path()).unwrap();
        assert_eq!(reader.flows(&Query::default()).unwrap().found, plain(&records), "nobody cleared up yet");
        let store = Store::open(dir.path(), ROOMY).unwrap();
        assert_eq!(read(&store, &Query::default()), plain(&records));
        let told = store.problems();
        assert_eq!(told.len(), usize::from(torn), "{told:?}");
        if torn {
            assert!(told[0].to_string().contains("T14.tmp: was being written"), "{}", told[0]);
        }
        assert_eq!(names(&store).len(), if torn { 4 } else { 1 });
        let part = records[0].time;
        store.write(part, Series::Flows, Hour::of(part), &flows::rows(&records[..1])).unwrap();
        assert_eq!(read(&store, &Query::default()).len(), 401, "its number was used before");
    }
}

#[test]
fn a_damaged_segment_is_named_and_the_others_go_on() {
    let (dir, store) = store(ROOMY);
    let records = records(300);
    records.chunks(100).for_each(|some| write(&store, some));
    let parts = names(&store);
    let path = dir.path().join(&parts[1]);
    let good = fs::read(&path).unwrap();
    // In the middle of the rows; then without an end.
    let mut bad = good.clone();
    bad[100..600].fill(0x55);
    for bytes in [&bad[..], &good[..good.len() - 100], b""] {
        fs::write(&path, bytes).unwrap();
        let found = reader::flows(dir.path(), &Query::default()).unwrap();
        let mut rest = plain(&records[..100]);
        rest.extend(plain(&records[200..]));
        assert_eq!(found.found, rest);
        let [problem] = &found.problems[..] else { panic!("{:?}", found.problems) };
        let text = problem.to_string();
        assert!(text.contains(&parts[1]) && text.contains("restore this one"), "{text}");
    }
    fs::write(&path, bad).unwrap();
    tidy(&store, at(2 * 3600));
    let aside = format!("{}.damaged", parts[1]);
    assert_eq!(names(&store), [aside.as_str(), "flows-2026-11-23T14.parquet"]);
    let found = reader::flows(dir.path(), &Query::default()).unwrap();
    assert_eq!((found.found.len(), found.problems.len()), (200, 1));
    assert!(found.problems[0].to_string().contains(&aside));
    assert_eq!(store.problems().len(), 1, "{:?}", store.problems());
    tidy(&store, at(10 * 86_400));
    assert_eq!(names(&store), Vec::<String>::new(), "it goes when it is old");
}

#[test]
fn whole_hours_go_by_age_and_by_bytes_and_their_policies_with_them() {
    let (dir, mut store) = store(Caps { age: DAY, ..ROOMY });
    let mut all = Vec::new();
    for hour in 0..4 {
        let mut some = plain(&records(200));
        for record in &mut some {
            record.time = record.time.after(Duration::from_secs(3600 * hour));
            record.policy_version = PolicyVersion(100 + hour);
        }
        all.push(some.into_iter().map(Arc::new).collect::<Vec<_>>());
        write(&store, &all[hour as usize]);
        store.remember(at(3600 * hour), PolicyVersion(100 + hour), &[]).unwrap();
    }
    store.remember(at(0), PolicyVersion(99), &[]).unwrap();
    tidy(&store, at(5 * 3600));
    assert_eq!(names(&store).len(), 4 + 4, "version 99 was nobody's: {:?}", names(&store));
    tidy(&store, at(3600 + 86_400 + 1));
    assert_eq!(store.sizes().oldest, Some(at(3600)));
    assert_eq!(names(&store).len(), 3 + 3);
    assert!(!dir.path().join("policies-0000000000000064.json.zst").exists());

    store.caps.bytes = store.sizes().bytes - 1;
    tidy(&store, at(3600 + 86_400 + 1));
    assert_eq!(store.sizes().oldest, Some(at(2 * 3600)));
    assert!(store.sizes().bytes <= store.caps.bytes);
    let kept: Vec<_> = all[2..].concat();
    assert_eq!(read(&store, &Query::default()).len(), kept.len());
}

#[test]
fn of_an_hour_that_is_too_large_alone_the_newest_parts_stay() {
    let (_dir, mut store) = store(ROOMY);
    let records = records(1000);
    records.chunks(100).for_each(|some| write(&store, some));
    store.caps.bytes = store.sizes().bytes / 2;
    tidy(&store, at(1));
    let left = read(&store, &Query::default());
    assert!(left.len() >= 300 && left.len() <= 500, "{}", left.len());
    assert_eq!(left, plain(&records[1000 - left.len()..]));
}

#[test]
fn two_writers_of_one_directory_are_refused() {
    let (dir, _store) = store(ROOMY);
    let refused = Store::open(dir.path(), ROOMY).err().unwrap().to_string();
    assert!(refused.contains("another podgate writes here"), "{refused}");
}
