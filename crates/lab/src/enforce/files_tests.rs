use std::fs::{self, File};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("podgate-files-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Files of the directory, after the first look.
fn watched(dir: &Dir) -> Files {
    let mut files = Files::new(vec![dir.0.clone()]).unwrap();
    files.look(Instant::now());
    files
}

/// What is reported until nothing has moved for longer than files take to settle.
fn changes(files: &mut Files, dir: &Dir) -> Vec<String> {
    let mut all = Vec::new();
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < UNTOUCHED * 2 {
        if files.take_events(Instant::now()) {
            let found = files.look(Instant::now());
            if !found.is_empty() {
                quiet_since = Instant::now();
            }
            all.extend(found);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    all.into_iter()
        .map(|change| match change {
            Change::Written(path) => format!("+{}", path.strip_prefix(&dir.0).unwrap().display()),
            Change::Gone(path) => format!("-{}", path.strip_prefix(&dir.0).unwrap().display()),
        })
        .collect()
}

#[test]
fn the_first_look_finds_manifests_in_order() {
    let dir = Dir::new();
    fs::create_dir(dir.0.join("b")).unwrap();
    for name in ["z.yml", "b/in.yaml", "a.json", ".hidden.yaml", "notes.txt"] {
        dir.write(name, "x");
    }
    let mut files = Files::new(vec![dir.0.clone()]).unwrap();
    files.look(Instant::now());
    let names: Vec<_> =
        files.in_order().iter().map(|p| p.strip_prefix(&dir.0).unwrap().display().to_string()).collect();
    assert_eq!(names, ["a.json", "b/in.yaml", "z.yml"]);
}

#[test]
fn a_write_is_seen_once() {
    let dir = Dir::new();
    dir.write("a.yaml", "1");
    let mut files = watched(&dir);
    dir.write("a.yaml", "2");
    assert_eq!(changes(&mut files, &dir), ["+a.yaml"]);
    dir.write("a.yaml", "3");
    assert_eq!(changes(&mut files, &dir), ["+a.yaml"]);
    assert!(changes(&mut files, &dir).is_empty());
}

#[test]
fn new_and_deleted_files_are_seen() {
    let dir = Dir::new();
    let mut files = watched(&dir);
    dir.write("a.yaml", "1");
    assert_eq!(changes(&mut files, &dir), ["+a.yaml"]);
    fs::remove_file(dir.0.join("a.yaml")).unwrap();
    assert_eq!(changes(&mut files, &dir), ["-a.yaml"]);
}

#[test]
fn a_rename_over_the_file_is_a_write() {
    let dir = Dir::new();
    dir.write("a.yaml", "1");
    let mut files = watched(&dir);
    dir.write("a.yaml.tmp", "2");
    fs::rename(dir.0.join("a.yaml.tmp"), dir.0.join("a.yaml")).unwrap();
    assert_eq!(changes(&mut files, &dir), ["+a.yaml"]);
}

#[test]
fn an_editor_that_moves_the_old_version_away_first_makes_no_gap() {
    let dir = Dir::new();
    dir.write("a.yaml", "1");
    let mut files = watched(&dir);
    fs::rename(dir.0.join("a.yaml"), dir.0.join("a.yaml~")).unwrap();
    files.take_events(Instant::now());
    assert_eq!(files.look(Instant::now()), [], "missing for a moment");
    dir.write("a.yaml", "2");
    assert_eq!(changes(&mut files, &dir), ["+a.yaml"]);
}

#[test]
fn a_file_is_not_read_while_it_is_written() {
    let dir = Dir::new();
    dir.write("a.yaml", "1");
    dir.write("b.yaml", "1");
    let mut files = watched(&dir);
    std::thread::sleep(SETTLE * 2);
    let mut half = File::create(dir.0.join("a.yaml")).unwrap();
    half.write_all(b"kind: Netw").unwrap();
    dir.write("b.yaml", "2");
    assert!(files.take_events(Instant::now()));
    assert_eq!(files.look(Instant::now()), [Change::Written(dir.0.join("b.yaml"))]);
    std::thread::sleep(UNTOUCHED);
    files.take_events(Instant::now());
    assert_eq!(files.look(Instant::now()), [], "whoever writes takes a while");
    half.write_all(b"orkPolicy").unwrap();
    drop(half);
    assert_eq!(changes(&mut files, &dir), ["+a.yaml"]);
}

#[test]
fn a_file_that_is_written_again_before_it_was_read_is_being_written() {
    let dir = Dir::new();
    dir.write("a.yaml", "1");
    let mut files = watched(&dir);
    dir.write("a.yaml", "2");
    files.take_events(Instant::now());
    assert_eq!(files.look(Instant::now()), [Change::Written(dir.0.join("a.yaml"))]);
    assert!(!files.is_being_written(&dir.0.join("a.yaml")));
    let again = File::create(dir.0.join("a.yaml")).unwrap();
    assert!(files.is_being_written(&dir.0.join("a.yaml")));
    assert_eq!(files.look(Instant::now()), []);
    drop(again);
    assert_eq!(changes(&mut files, &dir), ["+a.yaml"]);
}

#[test]
fn a_change_that_nobody_closes_is_read_when_it_stays() {
    let dir = Dir::new();
    let elsewhere = Dir::new();
    elsewhere.write("a", "1");
    fs::hard_link(elsewhere.0.join("a"), dir.0.join("a.yaml")).unwrap();
    let mut files = watched(&dir);
    elsewhere.write("a", "22");
    assert!(changes(&mut files, &dir).is_empty(), "nobody tells of it");
    dir.write("b.yaml", "1");
    assert_eq!(changes(&mut files, &dir), ["+b.yaml", "+a.yaml"]);
}

#[test]
fn new_directories_are_watched_and_removed_ones_take_their_files_along() {
    let dir = Dir::new();
    let mut files = watched(&dir);
    fs::create_dir_all(dir.0.join("x/y")).unwrap();
    dir.write("x/y/a.yaml", "1");
    assert_eq!(changes(&mut files, &dir), ["+x/y/a.yaml"]);
    dir.write("x/y/a.yaml", "2");
    assert_eq!(changes(&mut files, &dir), ["+x/y/a.yaml"]);
    fs::remove_dir_all(dir.0.join("x")).unwrap();
    assert_eq!(changes(&mut files, &dir), ["-x/y/a.yaml"]);
    fs::create_dir_all(dir.0.join("x/y")).unwrap();
    dir.write("x/y/a.yaml", "3");
    assert_eq!(changes(&mut files, &dir), ["+x/y/a.yaml"]);
}

#[test]
fn a_moved_directory_takes_its_files_along() {
    let dir = Dir::new();
    fs::create_dir(dir.0.join("x")).unwrap();
    dir.write("x/a.yaml", "1");
    let mut files = watched(&dir);
    fs::rename(dir.0.join("x"), dir.0.join("y")).unwrap();
    let mut seen = changes(&mut files, &dir);
    seen.sort();
    assert_eq!(seen, ["+y/a.yaml", "-x/a.yaml"]);
    dir.write("y/a.yaml", "2");
    assert_eq!(changes(&mut files, &dir), ["+y/a.yaml"]);
}

#[test]
fn a_swapped_link_to_a_directory_is_a_write_of_all_its_files() {
    let dir = Dir::new();
    for (version, text) in [("..v1", "1"), ("..v2", "2")] {
        fs::create_dir(dir.0.join(version)).unwrap();
        dir.write(&format!("{version}/a.yaml"), text);
    }
    std::os::unix::fs::symlink("..v1", dir.0.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", dir.0.join("a.yaml")).unwrap();
    let mut files = watched(&dir);
    std::os::unix::fs::symlink("..v2", dir.0.join("..next")).unwrap();
    fs::rename(dir.0.join("..next"), dir.0.join("..data")).unwrap();
    assert_eq!(changes(&mut files, &dir), ["+a.yaml"]);
}

#[test]
fn a_single_file_can_be_an_input_and_come_back() {
    let dir = Dir::new();
    dir.write("policy.txt", "1");
    let mut files = Files::new(vec![dir.0.join("policy.txt")]).unwrap();
    assert_eq!(files.look(Instant::now()).len(), 1);
    dir.write("other.yaml", "1");
    assert!(changes(&mut files, &dir).is_empty(), "the file beside it is none of ours");
    fs::remove_file(dir.0.join("policy.txt")).unwrap();
    assert_eq!(changes(&mut files, &dir), ["-policy.txt"]);
    dir.write("policy.txt", "2");
    assert_eq!(changes(&mut files, &dir), ["+policy.txt"]);
}
