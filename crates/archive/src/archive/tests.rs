use std::process::{Child, Command};

use podgate_api::load_text;

use super::*;
use crate::Reader;
use crate::fixture::{minutes, records};

#[test]
fn what_was_handed_over_is_there_after_a_flush_and_after_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let caps = Caps { age: Duration::from_secs(1 << 40), ..Caps::default() };
    let archive = Archive::open(dir.path(), caps).unwrap();
    let (records, minutes) = (records(500), minutes(10, 3));
    archive.append(&records[..300]);
    archive.append_edges(&minutes);
    let policies = load_text(
        "p",
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: {}}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: b}}",
    );
    archive.remember_policies(PolicyVersion(5), &policies.objects);
    archive.flush();
    assert_eq!(archive.flows(&Query::default()).unwrap().found.len(), 300);
    assert_eq!(archive.edges(Timestamp(0), Timestamp(u64::MAX)).unwrap().found.len(), 30);
    let remembered = archive.policies(PolicyVersion(5)).unwrap().unwrap();
    assert_eq!(remembered.len(), 1, "policies only");
    let state = archive.state();
    assert_eq!((state.flows, state.edges, state.flows_lost, state.waiting), (300, 30, 0, 0));
    archive.append(&records[300..]);
    drop(archive);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.flows(&Query::default()).unwrap().found.len(), 500);
}

#[test]
fn what_was_sent_is_what_was_written_and_what_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path(), Caps::default()).unwrap();
    let records = records(1000);
    let many: Vec<_> = (0..QUEUE_ROWS / 1000 + 50).flat_map(|_| records.iter().cloned()).collect();
    archive.append(&many);
    archive.flush();
    let state = archive.state();
    assert_eq!(state.flows + state.flows_lost, many.len() as u64);
    assert!(state.flows_lost > 0 && state.flows >= QUEUE_ROWS as u64, "{state:?}");
    assert_eq!(state.waiting, 0);
}

#[test]
fn a_disk_that_takes_nothing_is_told_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path(), Caps::default()).unwrap();
    std::fs::remove_dir_all(dir.path()).unwrap();
    archive.append(&records(10));
    archive.flush();
    let state = archive.state();
    assert_eq!((state.flows, state.flows_lost), (0, 10));
    let told = state.problems.iter().map(ToString::to_string).collect::<String>();
    assert!(told.contains("can't be written") && told.contains("make room"), "{told}");
}

#[test]
fn no_directory_is_an_error_that_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_owned(), file.path().join("below")] {
        let told = Archive::open(&path, Caps::default()).err().unwrap().to_string();
        assert!(told.contains("name a directory that podgate can write to"), "{told}");
        assert!(Reader::open(&path).unwrap_err().to_string().contains("is no directory"));
    }
}

const CHILD: &str = "PODGATE_ARCHIVE_TEST_DIR";

/// Writes until it is killed.
fn write_on(dir: impl AsRef<Path>) {
    let archive = Archive::open(dir, Caps { age: Duration::from_secs(1 << 40), ..Caps::default() }).unwrap();
    let records = records(5000);
    for some in records.chunks(50).cycle() {
        archive.append(some);
        archive.flush();
    }
}

struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn kill_9_at_any_moment_leaves_only_whole_segments() {
    // The writer is this test in a process of its own.
    if let Some(dir) = std::env::var_os(CHILD) {
        return write_on(dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let count = || reader.flows(&Query::default()).unwrap();
    let mut before = 0;
    for round in 0..4 {
        let mut writer = Command::new(std::env::current_exe().unwrap());
        writer.args([
            "archive::tests::kill_9_at_any_moment_leaves_only_whole_segments",
            "--exact",
            "--test-threads=1",
        ]);
        let writer =
            Writer(writer.env(CHILD, dir.path()).stdout(std::process::Stdio::null()).spawn().unwrap());
        // Some segments later, in the midst of whatever it does.
        while count().found.len() < before + 300 + 170 * round {
            std::thread::sleep(Duration::from_millis(3));
        }
        let seen = count().found.len();
        drop(writer);
        let found = count();
        assert_eq!(found.problems, []);
        assert!(found.found.len() >= seen && found.found.len().is_multiple_of(50), "{}", found.found.len());
        before = found.found.len();
    }
    let archive =
        Archive::open(dir.path(), Caps { age: Duration::from_secs(1 << 40), ..Caps::default() }).unwrap();
    assert_eq!(archive.flows(&Query::default()).unwrap().found.len(), before);
}
