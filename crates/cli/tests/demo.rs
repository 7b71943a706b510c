//! The stories of `podgate demo`, told with real packets. Needs root: namespaces are the kernel's to give.

use std::process::{Command, Output};

/// Tells a story, and takes its lab away whatever happens.
fn tell(story: &str, name: &str) -> Output {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes network namespaces and loads BPF programs: run it as root (make test-kernel)"
    );
    let name = format!("{name}{}", std::process::id());
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    let podgate = env!("CARGO_BIN_EXE_podgate");
    let output =
        Command::new(podgate).args(["demo", story, "--name", &name, "--dir"]).arg(&dir).output().unwrap();
    let down = Command::new(podgate).args(["lab", "down", "--name", &name]).output().unwrap();
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert!(!output.status.success() || !dir.exists(), "the demo leaves its manifests behind");
    output
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The line that begins like this, without what comes before.
#[track_caller]
fn line<'a>(text: &'a str, with: &str) -> &'a str {
    text.lines()
        .find(|line| line.contains(with))
        .unwrap_or_else(|| panic!("no line with {with:?} in\n{text}"))
}

fn first_number(line: &str) -> u64 {
    let digits: String =
        line.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn every_connection_of_the_policies_story_goes_as_policy_says() {
    let output = tell("policies", "demo-p");
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}\n{err}");
    let agreeing = out.lines().filter(|line| line.ends_with("engine, kernel and packets agree")).count();
    assert_eq!(agreeing, 9, "{out}");
    // The mistake of the last step: names don't resolve any more.
    let last = out.rsplit_once("deletes the DNS policy").unwrap().1;
    assert!(last.contains("- closed shop/backend -> kube-system/kube-dns UDP 53"), "{last}");
}

#[test]
fn a_default_deny_is_rolled_out_under_load_and_an_attacker_gets_nothing() {
    let output = tell("rollout", "demo-r");
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}\n{err}");
    // Users of the shop, before, while staged, and under enforcement.
    let users: Vec<u64> =
        out.lines().filter(|line| line.ends_with("and none failed")).map(first_number).collect();
    assert!(matches!(users[..], [a, b, c] if 0 < a && a < b && b < c), "{users:?} in {out}");
    // Staged: every edge of the shop would be cut, and the policy is named.
    for edge in [
        "node node-1 -> web/frontend TCP 8080  by web/default-deny",
        "shop/backend -> data/database TCP 5432  by shop/default-deny",
        "shop/payments -> kube-system/dns UDP 53  by shop/default-deny",
        "web/frontend -> shop/backend TCP 9000  by web/default-deny",
    ] {
        line(&out, edge);
    }
    for workload in ["data/recommended-database", "shop/recommended-backend", "shop/recommended-payments"] {
        line(&out, workload);
    }
    assert!(line(&out, "were let through").contains("0 would be denied"), "{out}");
    assert!(first_number(line(&out, "default deny alone would cut")) > 0, "{out}");
    assert!(line(&out, "stay allowed").trim().starts_with("Nothing changes; "), "{out}");
    // The attacker: each attempt with what cut it.
    let database = line(&out, "shop/attacker -> data/database-0 TCP 5432");
    assert!(database.contains("cut") && database.contains("data/recommended-database"), "{database}");
}
