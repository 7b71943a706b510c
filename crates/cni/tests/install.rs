//! A node's network configuration before and after: the plugin's entry comes and goes, nothing else changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use podgate_cni::install::{Chained, Entry, InstallError, chain, put_program, take_program, unchain};

/// A directory of configurations.
struct Directory(PathBuf);

impl Directory {
    fn of(files: &[(&str, &str)]) -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("podgate-install-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
        Directory(path)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn chain(&self) -> Result<Chained, InstallError> {
        chain(&self.0, &Entry::default())
    }

    fn unchain(&self) -> Vec<String> {
        let changed = unchain(&self.0).unwrap();
        changed.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

const SPREAD: &str = r#"{
	"name": "net",
	"cniVersion": "1.0.0",
	"x-number": 1.10e3,
	"plugins": [
		{ "type": "ptp", "mtu": 1400.0, "ipam": {"type": "host-local"} },
		{
			"type": "portmap",
			"capabilities": {"portMappings": true}
		}
	],
	"behind": null
}
"#;

#[test]
fn the_entry_is_all_that_changes() {
    let texts = [
        SPREAD,
        r#"{"cniVersion":"0.3.1","name":"n","plugins":[{"type":"bridge"}]}"#,
        r#"{"cniVersion":"0.4.0","name":"n","plugins":[ {"type":"bridge"} , {"type":"tuning"} ]}"#,
        "{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"plugins\":[\r\n  {\"type\":\"\\u0062ridge\"}\r\n]}\r\n",
    ];
    for text in texts {
        let directory = Directory::of(&[("10-net.conflist", text)]);
        let path = directory.0.join("10-net.conflist");
        assert_eq!(directory.chain().unwrap(), Chained::Now(path.clone()));
        let chained = directory.text("10-net.conflist");
        let list: serde_json::Value = serde_json::from_str(&chained).unwrap();
        assert_eq!(list["plugins"].as_array().unwrap().last().unwrap()["type"], "podgate-cni", "{chained}");
        assert_eq!(directory.chain().unwrap(), Chained::Already(path), "a second time changes nothing");
        assert_eq!(directory.text("10-net.conflist"), chained);
        assert_eq!(directory.unchain(), ["10-net.conflist"]);
        assert_eq!(directory.text("10-net.conflist"), text);
        assert_eq!(directory.unchain(), [""; 0]);
        assert_eq!(directory.names(), ["10-net.conflist"]);
    }
}

#[test]
fn the_entry_stands_like_the_others() {
    let directory = Directory::of(&[("10-net.conflist", SPREAD)]);
    directory.chain().unwrap();
    let before = "\t\t\t\"capabilities\": {\"portMappings\": true}\n\t\t}";
    let expected = SPREAD.replace(before, &format!("{before},\n\t\t{{\"type\": \"podgate-cni\"}}"));
    assert_eq!(directory.text("10-net.conflist"), expected);
}

#[test]
fn settings_are_written_and_brought_up_to_date() {
    let directory = Directory::of(&[("10-net.conflist", SPREAD)]);
    let entry = Entry { socket: Some("/run/x.sock".into()), strict: Some(false), timeout_seconds: Some(7) };
    chain(&directory.0, &entry).unwrap();
    let text = directory.text("10-net.conflist");
    let line = r#"{"type": "podgate-cni", "socket": "/run/x.sock", "strict": false, "timeoutSeconds": 7}"#;
    assert!(text.contains(line), "{text}");
    assert!(matches!(chain(&directory.0, &entry).unwrap(), Chained::Already(_)));
    assert!(matches!(directory.chain().unwrap(), Chained::Now(_)));
    assert!(directory.text("10-net.conflist").contains("\t\t{\"type\": \"podgate-cni\"}\n\t]"));
    directory.unchain();
    assert_eq!(directory.text("10-net.conflist"), SPREAD);
}

#[test]
fn others_may_come_behind_but_not_all_of_them() {
    let ours = r#"{"type": "podgate-cni"}"#;
    let behind = SPREAD.replace("\n\t],", &format!(",\n\t\t{ours},\n\t\t{{\"type\": \"mesh\"}}\n\t],"));
    let directory = Directory::of(&[("10-net.conflist", &behind)]);
    assert!(matches!(directory.chain().unwrap(), Chained::Already(_)));
    // Twice, and before the pod has addresses: once, and behind.
    let twice = SPREAD.replace("\"plugins\": [", &format!("\"plugins\": [{ours}, {ours},"));
    let directory = Directory::of(&[("10-net.conflist", &twice)]);
    assert!(matches!(directory.chain().unwrap(), Chained::Now(_)));
    let text = directory.text("10-net.conflist");
    assert_eq!(text.matches(ours).count(), 1, "{text}");
    assert!(text.find(ours) > text.find("portmap"), "{text}");
    directory.unchain();
    let list: serde_json::Value = serde_json::from_str(&directory.text("10-net.conflist")).unwrap();
    assert_eq!(list["plugins"].as_array().unwrap().len(), 2);
}

#[test]
fn the_configuration_that_runtimes_use_is_the_one_that_changes() {
    let other = SPREAD.replace("\"net\"", "\"other\"");
    let files = [
        ("00-broken.conflist", "{\"cniVersion\": \"1.0.0\", "),
        ("05-notes.txt", "not a configuration"),
        ("10-net.conflist", SPREAD),
        ("20-other.conflist", &other),
    ];
    let directory = Directory::of(&files);
    assert_eq!(directory.chain().unwrap(), Chained::Now(directory.0.join("10-net.conflist")));
    for (name, text) in files.iter().filter(|(name, _)| *name != "10-net.conflist") {
        assert_eq!(directory.text(name), *text);
    }
    // A network that comes before is chained as well, and uninstalling finds both.
    fs::write(directory.0.join("01-new.conflist"), &other).unwrap();
    assert_eq!(directory.chain().unwrap(), Chained::Now(directory.0.join("01-new.conflist")));
    assert_eq!(directory.unchain(), ["01-new.conflist", "10-net.conflist"]);
}

#[test]
fn a_configuration_of_one_plugin_becomes_a_list_and_comes_back() {
    let text = "{\n  \"cniVersion\": \"0.3.1\",\n  \"name\": \"net\",\n  \"type\": \"bridge\",\n  \"mtu\": 1.5e3\n}\n";
    let directory = Directory::of(&[("10-net.conf", text)]);
    fs::set_permissions(directory.0.join("10-net.conf"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(directory.chain().unwrap(), Chained::Now(directory.0.join("10-net.conflist")));
    assert_eq!(directory.names(), ["10-net.conf.podgate", "10-net.conflist"]);
    let list: serde_json::Value = serde_json::from_str(&directory.text("10-net.conflist")).unwrap();
    assert_eq!((&list["name"], &list["cniVersion"]), (&"net".into(), &"0.3.1".into()));
    let types: Vec<&str> =
        list["plugins"].as_array().unwrap().iter().map(|plugin| plugin["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["bridge", "podgate-cni"]);
    assert!(directory.text("10-net.conflist").contains("\"mtu\": 1.5e3"));
    let mode = fs::metadata(directory.0.join("10-net.conflist")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(directory.chain().unwrap(), Chained::Already(_)));
    assert_eq!(directory.unchain(), ["10-net.conf"]);
    assert_eq!(
        (directory.names(), directory.text("10-net.conf")),
        (vec!["10-net.conf".to_owned()], text.to_owned())
    );
}

#[test]
fn a_network_that_writes_its_one_plugin_anew_is_chained_anew() {
    let text = r#"{"cniVersion": "1.0.0", "name": "net", "type": "bridge"}"#;
    let newer = r#"{"cniVersion": "1.0.0", "name": "net", "type": "bridge", "mtu": 9000}"#;
    let directory = Directory::of(&[("10-net.conf", text)]);
    directory.chain().unwrap();
    fs::write(directory.0.join("10-net.conf"), newer).unwrap();
    assert!(matches!(directory.chain().unwrap(), Chained::Now(_)));
    assert!(directory.text("10-net.conflist").contains("9000"));
    fs::write(directory.0.join("10-net.conf"), newer).unwrap();
    directory.unchain();
    assert_eq!(
        (directory.names(), directory.text("10-net.conf")),
        (vec!["10-net.conf".to_owned()], newer.to_owned())
    );
}

#[test]
fn what_cannot_be_chained_says_what_to_do() {
    let check = |files: &[(&str, &str)], expected: &str| {
        let directory = Directory::of(files);
        let error = directory.chain().unwrap_err().to_string();
        let error = error.replace(directory.0.to_str().unwrap(), "DIR");
        assert!(error.starts_with(expected), "{error}");
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        assert_eq!(directory.names(), names, "nothing is left behind");
    };
    check(&[], "no network configuration in DIR: install the cluster's network first");
    check(&[("a.conflist", "{")], "DIR/a.conflist: not a network configuration: EOF");
    check(
        &[("a.conflist", r#"{"name": "n", "cniVersion": "1.0.0"}"#)],
        "DIR/a.conflist: a list without plugins",
    );
    check(
        &[("a.conflist", r#"{"name": "n", "cniVersion": "1.0.0", "plugins": []}"#)],
        "DIR/a.conflist: its list of plugins has no network",
    );
    check(
        &[("a.conflist", r#"{"name": "n", "cniVersion": "0.2.0", "plugins": [{"type": "bridge"}]}"#)],
        "DIR/a.conflist: cniVersion 0.2.0 knows no chains that podgate can be in: change it to one of 0.3.0,",
    );
    check(
        &[("a.conf", r#"{"name": "n", "type": "bridge"}"#)],
        "DIR/a.conf: cniVersion 0.2.0 knows no chains",
    );
    let missing = std::env::temp_dir().join("podgate-no-such-directory");
    let error = chain(&missing, &Entry::default()).unwrap_err().to_string();
    assert!(error.starts_with("no network configuration in "), "{error}");
    assert!(unchain(&missing).unwrap().is_empty());
}

#[test]
fn the_program_is_put_once_replaced_when_it_changes_and_taken_away() {
    let directory = Directory::of(&[("podgate", "one")]);
    let (program, bin) = (directory.0.join("podgate"), directory.0.join("opt/cni/bin"));
    assert!(put_program(&program, &bin).unwrap());
    assert!(!put_program(&program, &bin).unwrap());
    fs::write(&program, "two").unwrap();
    assert!(put_program(&program, &bin).unwrap());
    let installed = bin.join("podgate-cni");
    assert_eq!(fs::read_to_string(&installed).unwrap(), "two");
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(&bin).unwrap().count(), 1);
    assert!(take_program(&bin).unwrap());
    assert!(!take_program(&bin).unwrap());
}
