//! Files and directories as inputs.

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use podgate_api::{Input, Loaded, load};

/// A directory that goes away with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("podgate-api-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pod(name: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n")
}

fn read(paths: &[&Path]) -> Loaded {
    let inputs: Vec<Input> = paths.iter().map(|path| Input::Path(path.to_path_buf())).collect();
    load(&inputs)
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.objects.iter().map(|object| object.meta().name.as_str()).collect()
}

#[test]
fn a_directory_is_read_in_order_and_with_all_below() {
    let folder = Folder::new("tree");
    folder.write("b.yaml", &pod("b"));
    folder.write("a/z.yml", &pod("az"));
    folder.write("a/a.json", r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "aa"}}"#);
    folder.write("c.YAML", &pod("c"));
    folder.write("d.txt", "no manifest");
    folder.write("README.md", "no manifest: [");
    folder.write(".hidden.yaml", "[");
    folder.write(".git/e.yaml", "[");
    let loaded = read(&[&folder.0]);
    assert_eq!(names(&loaded), ["aa", "az", "b", "c"]);
    assert_eq!(loaded.diagnostics, []);
    let files: Vec<PathBuf> =
        ["a/a.json", "a/z.yml", "b.yaml", "c.YAML"].map(|name| folder.0.join(name)).into();
    assert_eq!(loaded.files, files);
    assert_eq!(&*loaded.objects[1].meta().source.file, files[1].to_string_lossy());
}

#[test]
fn links_are_followed_once() {
    let folder = Folder::new("links");
    folder.write("a/one.yaml", &pod("one"));
    symlink(&folder.0, folder.0.join("a/up")).expect("a link");
    symlink("one.yaml", folder.0.join("a/two.yaml")).expect("a link");
    symlink("three.yaml", folder.0.join("a/three.yaml")).expect("a link to itself");
    let loaded = read(&[&folder.0, &folder.0.join("a/one.yaml"), &folder.0.join("a")]);
    assert_eq!(names(&loaded), ["one"]);
    assert_eq!(loaded.diagnostics.len(), 1, "{:?}", loaded.diagnostics);
    assert!(loaded.diagnostics[0].source.file.ends_with("three.yaml"));
}

#[test]
fn what_can_not_be_read_is_an_error_and_the_rest_goes_on() {
    let folder = Folder::new("missing");
    let good = folder.write("good.yaml", &pod("good"));
    let bad = folder.write("bad.yaml", "a: [\n");
    let loaded = read(&[&folder.0.join("none.yaml"), &bad, &good]);
    assert_eq!(names(&loaded), ["good"]);
    let found = support::findings(&loaded);
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("0:0 error : cannot be read: "), "{found:?}");
    assert!(loaded.diagnostics[0].to_string().contains("none.yaml: error: cannot be read"));
    assert_eq!(loaded.files, [bad, good]);
}

#[test]
fn a_directory_without_manifests_is_a_warning() {
    let folder = Folder::new("empty");
    folder.write("a.txt", "x");
    let loaded = read(&[&folder.0]);
    assert_eq!(support::findings(&loaded), ["0:0 warning : no manifest in this directory"]);
}

#[test]
fn any_name_will_do_for_a_file_that_is_named_itself() {
    let folder = Folder::new("named");
    let file = folder.write("policy.txt", &pod("a"));
    assert_eq!(names(&read(&[&file])), ["a"]);
}

#[test]
fn the_file_of_kustomize_may_leave_its_kind_out() {
    let folder = Folder::new("kustomize");
    folder.write("kustomization.yaml", "resources:\n- a.yaml\n");
    folder.write("a.yaml", &pod("a"));
    let loaded = read(&[&folder.0]);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.ignored.values().sum::<usize>(), 1);
}

#[test]
fn json_is_read_whatever_its_white_space() {
    let folder = Folder::new("json");
    let file = folder.write(
        "list.json",
        "\u{feff}{\r\n\t\"apiVersion\"\t:\t\"v1\",\r\n\t\"kind\": \"List\",\r\n\t\"items\": [\r\n\t\t{\"apiVersion\": \"v1\", \"kind\": \"Pod\",\r\n\t\t \"metadata\": {\"name\": \"\\u0061\", \"labels\": {\"n\": 1}}}\r\n\t]\r\n}\r\n{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"b\"}}",
    );
    let loaded = read(&[&file]);
    assert_eq!(names(&loaded), ["a", "b"]);
    assert_eq!(
        support::findings(&loaded),
        ["6:51 error items[0].metadata.labels.n: expected text, found the number `1`"]
    );
    assert_eq!(loaded.objects[1].meta().source.line, 9);
    let file = folder.write("broken.json", "{\n\t\"a\": [1,\n\t]\n}\n");
    assert_eq!(
        support::findings(&read(&[&file])),
        ["3:2 error a[1]: cannot be read as JSON: expected a value"]
    );
}

#[test]
fn many_documents_keep_their_order() {
    let text: Vec<String> = (0..500).map(|n| pod(&format!("p{n}"))).collect();
    let loaded = podgate_api::load_text("t", &text.join("---\n"));
    let expect: Vec<String> = (0..500).map(|n| format!("p{n}")).collect();
    assert_eq!(names(&loaded), expect);
    assert_eq!(loaded.objects[499].meta().source.line, 499 * 4 + 1);
}

#[test]
fn what_a_server_answered_has_a_name_and_no_line() {
    let text = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"web"},
        "spec":{"podSelector":{},"ingress":[{"from":[{"podSelector":5}]}]}}"#;
    let answer = Input::Answer { name: "dev:networkpolicies/web".to_owned(), text: text.to_owned() };
    let loaded = load(&[answer]);
    assert_eq!(loaded.objects[0].meta().source.to_string(), "dev:networkpolicies/web");
    assert!(loaded.diagnostics[0].to_string().starts_with("dev:networkpolicies/web: error: spec.ingress[0]"));
}
