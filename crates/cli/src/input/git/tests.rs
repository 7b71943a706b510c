use std::fs;

use podgate_api::Object;

use super::*;

/// A repository of its own, removed when dropped.
struct Repository(PathBuf);

impl Repository {
    #[track_caller]
    fn new(name: &str) -> Repository {
        let root = std::env::temp_dir().join(format!("podgate-git-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let repository = Repository(root.canonicalize().unwrap());
        repository.run(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let status =
            Command::new("git").arg("-C").arg(&self.0).args(identity).args(arguments).status().unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    #[track_caller]
    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[track_caller]
    fn commit(&self, message: &str) {
        self.run(&["add", "--all"]);
        self.run(&["commit", "--quiet", "--message", message]);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pod(name: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop}}\n")
}

#[track_caller]
fn names(loaded: &Loaded) -> Vec<(String, String)> {
    let named = |object: &Object| (object.meta().name.clone(), object.meta().source.file.to_string());
    loaded.objects.iter().map(named).collect()
}

#[track_caller]
fn load(reference: &str, paths: &[PathBuf]) -> Loaded {
    load_at(reference, paths, &LoadOptions::default()).unwrap_or_else(|failure| panic!("{}", failure.message))
}

#[track_caller]
fn refused(reference: &str, paths: &[PathBuf]) -> String {
    load_at(reference, paths, &LoadOptions::default()).expect_err("must be refused").message
}

#[test]
fn a_ref_holds_what_was_committed_not_what_is_there_now() {
    let repository = Repository::new("committed");
    repository.write("k8s/web.yaml", &pod("old"));
    repository.write("k8s/b/db.json", r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"db"}}"#);
    repository.write("k8s/.hidden/x.yaml", &pod("hidden"));
    repository.write("k8s/notes.txt", "not a manifest");
    repository.write("other/y.yaml", &pod("elsewhere"));
    repository.commit("first");
    repository.write("k8s/web.yaml", &pod("new"));
    repository.write("k8s/untracked.yaml", &pod("untracked"));
    let loaded = load("HEAD", &[repository.path("k8s")]);
    let expected = [("db", "HEAD:k8s/b/db.json"), ("old", "HEAD:k8s/web.yaml")];
    assert_eq!(names(&loaded), expected.map(|(name, file)| (name.to_owned(), file.to_owned())));
    assert_eq!(loaded.files.len(), 2);
}

#[test]
fn what_is_gone_today_is_found_at_its_ref() {
    let repository = Repository::new("gone");
    repository.write("k8s/deep/web.yaml", &pod("web"));
    repository.commit("first");
    repository.run(&["tag", "v1"]);
    repository.run(&["rm", "-r", "--quiet", "k8s"]);
    repository.write("empty.txt", "");
    repository.commit("second");
    let loaded = load("v1", &[repository.path("k8s/deep"), repository.path("k8s/deep/web.yaml")]);
    assert_eq!(names(&loaded), [("web".to_owned(), "v1:k8s/deep/web.yaml".to_owned())], "read once");
    let now = load("HEAD", &[repository.path("k8s")]);
    assert_eq!(names(&now), []);
    assert_eq!(now.diagnostics.len(), 1);
    assert_eq!(
        now.diagnostics[0].to_string(),
        "HEAD:k8s: warning: not there at this ref\n  help: it counts as empty"
    );
}

#[test]
fn links_are_followed_inside_the_repository() {
    let repository = Repository::new("links");
    repository.write("base/web.yaml", &pod("web"));
    repository.write("app/db.yaml", &pod("db"));
    std::os::unix::fs::symlink("../base", repository.path("app/base")).unwrap();
    std::os::unix::fs::symlink("..", repository.path("app/round")).unwrap();
    std::os::unix::fs::symlink("../base/web.yaml", repository.path("app/again.yaml")).unwrap();
    std::os::unix::fs::symlink("/etc/outside.yaml", repository.path("app/outside.yaml")).unwrap();
    repository.commit("first");
    let loaded = load("main", &[repository.path("app")]);
    let files: BTreeSet<String> = names(&loaded).into_iter().map(|(_, file)| file).collect();
    for file in ["main:app/again.yaml", "main:app/base/web.yaml", "main:app/db.yaml"] {
        assert!(files.contains(file), "{file} is missing in {files:?}");
    }
    let outside: Vec<String> = loaded
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .filter(|text| text.contains("leads out of the repository"))
        .collect();
    assert!(outside[0].starts_with("main:app/outside.yaml: warning"), "{outside:?}");
}

#[test]
fn refusals_name_the_ref_and_the_repository() {
    let repository = Repository::new("refusals");
    repository.write("web.yaml", &pod("web"));
    repository.commit("first");
    let root = repository.0.display().to_string();
    let unknown = refused("origin/main", &[repository.path("web.yaml")]);
    assert!(unknown.contains("--git origin/main: no such commit, branch or tag"), "{unknown}");
    assert!(unknown.contains(&root) && unknown.contains("git fetch origin main"), "{unknown}");
    assert!(refused("-x", &[]).contains("a git ref is a branch"));
    assert!(refused("HEAD", &[PathBuf::from("-")]).contains("standard input has no history"));
    let outside = std::env::temp_dir().join(format!("podgate-git-none-{}", std::process::id()));
    fs::create_dir_all(&outside).unwrap();
    let message = refused("HEAD", std::slice::from_ref(&outside));
    fs::remove_dir_all(&outside).unwrap();
    assert!(message.contains("is in no git repository"), "{message}");
}

#[test]
fn a_shallow_clone_says_how_to_get_the_ref() {
    let repository = Repository::new("shallow");
    repository.write("web.yaml", &pod("web"));
    repository.commit("first");
    repository.write("web.yaml", &pod("web2"));
    repository.commit("second");
    let clone = Repository::new("shallow-clone");
    let from = format!("file://{}", repository.0.display());
    clone.run(&["fetch", "--quiet", "--depth=1", &from, "main"]);
    let message = refused("HEAD~1", &[clone.path(".")]);
    assert!(message.contains("this clone is shallow"), "{message}");
}

#[test]
fn many_files_are_read_without_a_deadlock() {
    let repository = Repository::new("many");
    for number in 0..3000 {
        repository.write(&format!("k8s/{number}.yaml"), &pod(&format!("pod-{number}")));
    }
    repository.commit("first");
    assert_eq!(load("HEAD", &[repository.path("k8s")]).objects.len(), 3000);
}
