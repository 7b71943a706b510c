//! Where manifests come from, as a user meets it: paths, standard input, the current directory, git, a cluster.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A directory of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("podgate-input-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path.canonicalize().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run_with(folder: &Path, stdin: &str, arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_podgate"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    run_with(folder, "", arguments)
}

#[track_caller]
fn refused(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(expected), "{said}");
    assert!(output.stdout.is_empty(), "no answer");
}

#[track_caller]
fn answered(output: &Output, expected: &str) -> String {
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(out.contains(expected), "{expected} is missing in:\n{out}");
    said.into_owned()
}

fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\nspec: {{containers: [{{name: c, ports: [{{containerPort: 80}}]}}]}}\n---\n"
    )
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}\n";

#[test]
fn the_current_directory_is_read_when_nothing_is_named_and_that_is_said() {
    let folder = Folder::new("here");
    folder.write("k8s/web.yaml", &(pod("web") + SERVICE));
    folder.write("config.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: c}\n");
    let output = run(&folder.0, &["suggest"]);
    let said = answered(&output, "name: allow-web");
    assert_eq!(
        said,
        "reading the current directory: 2 files, 3 objects (1 of kinds that have no part in network policy)\n"
    );
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("# k8s/web.yaml:"), "named without ./: {out}");
}

#[test]
fn nothing_to_read_is_a_mistake() {
    let folder = Folder::new("nothing");
    refused(
        &run(&folder.0, &["suggest"]),
        "no manifests named, and none in the current directory: name files",
    );
    folder.write("empty/readme.txt", "");
    refused(&run(&folder.0, &["suggest", "empty"]), "no manifests in empty: name files");
    refused(&run(&folder.0, &["suggest", "absent"]), "absent: no such file or directory: check the path");
    refused(&run(&folder.0, &["suggest", "-"]), "standard input holds no manifest");
    refused(&run(&folder.0, &["suggest", "-", "-f", "-"]), "`-` is given twice");
}

#[test]
fn standard_input_is_read_as_a_dash() {
    let folder = Folder::new("stdin");
    let output = run_with(&folder.0, &(pod("web") + SERVICE), &["suggest", "-"]);
    answered(&output, "# -:");
}

#[test]
fn mistakes_in_the_input_are_said_and_outweigh_the_answer() {
    let folder = Folder::new("mistakes");
    folder.write("web.yaml", &(pod("web") + SERVICE + "---\nkind: [\n"));
    let output = run(&folder.0, &["suggest", "web.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("name: allow-web"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("web.yaml:") && said.contains("the answer goes on without"), "{said}");
}

#[test]
fn a_git_ref_is_read_from_a_subdirectory_too() {
    let folder = Folder::new("git");
    folder.write("k8s/web.yaml", &(pod("web") + SERVICE));
    let script = "git init --quiet --initial-branch=main && git add . && git -c user.name=t -c user.email=t@example.org -c commit.gpgsign=false commit --quiet -m x && rm k8s/web.yaml";
    assert!(Command::new("sh").args(["-ec", script]).current_dir(&folder.0).status().unwrap().success());
    for (inside, path) in [("", "k8s"), ("k8s", "."), ("k8s", "web.yaml"), ("k8s", "../k8s")] {
        let output = run(&folder.0.join(inside), &["suggest", path, "--git", "main"]);
        answered(&output, "# main:k8s/web.yaml:");
    }
    refused(&run(&folder.0, &["suggest", "--git", "dev"]), "--git dev: no such commit, branch or tag");
    refused(&run(&folder.0, &["suggest", "other", "--git", "main"]), "--git main: no manifests there");
}

/// Answers any list with nothing, but pods with one pod. What was asked for is in the second.
fn api_server() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = log.clone();
            std::thread::spawn(move || answer(stream, &log));
        }
    });
    (address, asked)
}

fn answer(mut stream: TcpStream, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap().to_owned();
    let pod =
        r#"{"metadata":{"name":"web","namespace":"shop","labels":{"app":"web"}},"spec":{"containers":[]}}"#;
    let items = if line.contains("/pods?") { pod } else { "" };
    let body = match line.contains("limit=") {
        true => format!(r#"{{"kind":"List","metadata":{{}},"items":[{items}]}}"#),
        false => r#"{"versions":[]}"#.to_owned(),
    };
    log.lock().unwrap().push(line);
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).unwrap();
}

fn kubeconfig(folder: &Folder, server: &str) {
    folder.write(
        ".kube/config",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: dev\ncontexts: [{{name: dev, context: {{cluster: c}}}}]\nclusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n"
        ),
    );
}

#[test]
fn a_cluster_is_read_and_files_count_on_top_of_it() {
    let folder = Folder::new("cluster");
    let (server, asked) = api_server();
    kubeconfig(&folder, &server);
    folder.write("service.yaml", SERVICE);
    let output = run(&folder.0, &["suggest", "--cluster", "service.yaml"]);
    let said = answered(&output, "# service.yaml:1: Service shop/web is of type NodePort");
    assert!(said.contains("reading the cluster of context dev: 1 object"), "{said}");
    let asked = asked.lock().unwrap();
    assert!(asked.len() > 10 && asked.iter().all(|line| line.starts_with("GET /api")), "{asked:?}");
}

#[test]
fn a_cluster_that_can_not_be_read_says_why() {
    let folder = Folder::new("no-cluster");
    refused(&run(&folder.0, &["suggest", "--cluster"]), "no cluster to read: there is no");
    kubeconfig(&folder, "http://127.0.0.1:1");
    refused(&run(&folder.0, &["suggest", "--cluster"]), "context dev: http://127.0.0.1:1 can't be reached");
    let other = run(&folder.0, &["suggest", "--cluster", "--context", "prod"]);
    refused(&other, "the kubeconfig has no context prod: name one with --context: dev");
}

#[test]
fn as_a_kubectl_plugin_the_cluster_is_meant_and_usage_says_so() {
    let folder = Folder::new("plugin");
    let plugin = folder.0.join("kubectl-podgate");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_podgate"), &plugin).unwrap();
    let (server, asked) = api_server();
    kubeconfig(&folder, &server);
    let start = |arguments: &[&str]| {
        let mut command = Command::new(&plugin);
        command.args(arguments).current_dir(&folder.0).env("HOME", &folder.0).env_remove("KUBECONFIG");
        command.stdin(Stdio::null()).output().unwrap()
    };
    answered(&start(&["suggest", "--output", "text"]), "default-deny");
    assert!(!asked.lock().unwrap().is_empty());
    answered(&start(&["suggest", "--help"]), "Usage: kubectl podgate suggest [OPTIONS] [PATH]...");
    folder.write("k8s/web.yaml", &(pod("web") + SERVICE));
    answered(&start(&["suggest", "k8s"]), "# k8s/web.yaml:");
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    let folder = Folder::new("texts");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        answered(&run(&folder.0, &["completion", shell]), "suggest");
    }
    answered(&run(&folder.0, &["man"]), ".TH podgate 1");
    answered(&run(&folder.0, &["man", "--dir", "man1"]), "");
    let page = fs::read_to_string(folder.0.join("man1/podgate-suggest.1")).unwrap();
    assert!(page.contains("podgate\\-suggest"), "{page}");
    assert!(!folder.0.join("man1/podgate-__lab-enforce.1").exists(), "hidden commands stay hidden");
    folder.write("file", "");
    refused(&run(&folder.0, &["man", "--dir", "file"]), "write manual pages into file:");
}

#[test]
fn suggestions_are_the_same_in_yaml_and_json() {
    let folder = Folder::new("forms");
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop/app");
    let shop = shop.to_str().unwrap();
    let reached: Vec<String> = ["yaml", "json"]
        .map(|form| {
            let output = run(&folder.0, &["suggest", shop, "--output", form]);
            assert_eq!(output.status.code(), Some(0));
            let name = format!("suggested.{form}");
            folder.write(&name, &String::from_utf8(output.stdout).unwrap());
            let output = run(&folder.0, &["reach", shop, &name]);
            answered(&output, "10 policies");
            String::from_utf8(output.stdout).unwrap()
        })
        .into();
    assert_eq!(reached[0], reached[1]);
}
