//! `podgate lab up`.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use podgate_api::{Loaded, Object};
use podgate_lab::plan::is_policy;
use podgate_lab::up::{Report, load, require_root};
use podgate_lab::{Error, Lab, Spec, interrupt};

use super::{Name, name_option};
use crate::outcome::{FINE, Failure, INTERRUPTED, Outcome};
use crate::style::{self, BOLD, FAINT, GOOD};

/// Where the page is served without another wish.
pub const PAGE: &str = "127.0.0.1:7462";

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    lab: Name,
    /// Number of nodes; by default as many as the manifests name (at least 1, at most 8), or as many as
    /// the lab has.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    nodes: Option<u16>,
    /// Stay in the foreground, and take the lab down at Ctrl-C.
    #[arg(long)]
    foreground: bool,
    /// Bring everything up but the enforcement of policies.
    #[arg(long)]
    no_policies: bool,
    /// Serve the page about the lab at this address of this machine; at another port where this one is in use.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = PAGE)]
    ui: Option<SocketAddr>,
    /// Manifests: YAML or JSON files, or directories of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    require_root()?;
    let lab = Lab::new(&arguments.lab.name)?;
    let spec = Spec {
        paths: arguments.paths.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?,
        nodes: arguments.nodes.map_or(0, usize::from),
        policies: !arguments.no_policies,
        page: arguments.ui,
    };
    let loaded = load(&spec);
    for diagnostic in &loaded.diagnostics {
        style::diagnostic(&diagnostic.to_string());
    }
    if !loaded.objects.iter().any(|object| matches!(object, Object::Pod(_) | Object::Workload(_))) {
        return Err(nothing_usable(arguments, &loaded));
    }
    let exe = std::env::current_exe()
        .map_err(|error| Failure::bad(format!("find the podgate binary itself: {error}")))?;
    interrupt::catch()?;
    let report = podgate_lab::up::up(&lab, &spec, &loaded.objects, &exe).map_err(|error| match error {
        Error::Interrupted => interrupted(&lab),
        other => other.into(),
    })?;
    print(&report, &loaded, spec.policies);
    if arguments.foreground {
        stay(&lab)?;
    }
    Ok(FINE)
}

fn interrupted(lab: &Lab) -> Failure {
    let message = match lab.dir().exists() {
        false => "interrupted: nothing of the lab is left".to_owned(),
        true => format!(
            "interrupted: lab {} may be changed by half; the same command finishes it, `podgate lab down{}` removes it",
            lab.name(),
            name_option(lab.name())
        ),
    };
    Failure { message, code: INTERRUPTED }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    if path == Path::new("-") {
        return Err(Failure::bad(
            "a lab follows its manifests, so it needs files: save them and name the file",
        ));
    }
    path.canonicalize().map_err(|error| Failure::bad(format!("{}: {error}", path.display())))
}

fn nothing_usable(arguments: &Arguments, loaded: &Loaded) -> Failure {
    let paths: Vec<String> = arguments.paths.iter().map(|path| path.display().to_string()).collect();
    let paths = paths.join(", ");
    Failure::bad(match (loaded.files.len(), loaded.has_errors()) {
        (0, _) => {
            format!("no manifests in {paths}: name files or directories with .yaml, .yml or .json files")
        }
        (_, true) => format!("no pods in {paths}: mend the findings above first"),
        (files, false) => format!(
            "no pods in {paths} ({files} files, {} documents): a lab needs Pods or what makes them, such as Deployments",
            loaded.documents
        ),
    })
}

fn print(report: &Report, loaded: &Loaded, policies: bool) {
    let plan = &report.plan;
    let verb = if report.was_up { "was up already and follows the manifests now" } else { "is up" };
    style::line(&format!(
        "{GOOD}lab {} {verb}{GOOD:#} {FAINT}({:.2} s){FAINT:#}",
        plan.lab,
        report.took.as_secs_f64()
    ));
    let namespaces: BTreeSet<&str> = plan.pods.iter().map(|pod| pod.namespace.as_str()).collect();
    let nodes: Vec<String> =
        plan.nodes.iter().take(4).map(|node| format!("{} {}", node.name, node.v4())).collect();
    let more = if plan.nodes.len() > 4 { ", ..." } else { "" };
    row("nodes", plan.nodes.len(), &format!("{}{more}", nodes.join(", ")));
    row("pods", plan.pods.len(), &format!("in {}", count(namespaces.len(), "namespace")));
    row("services", plan.services.len(), "");
    let names: HashSet<_> =
        loaded.objects.iter().filter(|object| is_policy(object)).map(|object| object.key()).collect();
    row("policies", names.len(), if policies { "enforced" } else { "not enforced (--no-policies)" });
    let ignored: usize = loaded.ignored.values().sum();
    if ignored > 0 {
        let kinds: Vec<&str> = loaded.ignored.keys().filter_map(|kind| kind.rsplit(' ').next()).collect();
        row("ignored", ignored, &format!("{FAINT}objects without traffic: {}{FAINT:#}", kinds.join(", ")));
    }
    report.warnings.iter().for_each(|warning| style::warning(warning));
    if let Ok(Some(url)) = Lab::new(&plan.lab).and_then(|lab| podgate_lab::up::page(&lab)) {
        style::line(&format!("the page: {BOLD}{url}{BOLD:#}"));
    }
    suggest(report, policies);
}

fn suggest(report: &Report, policies: bool) {
    let option = name_option(&report.plan.lab);
    let mut next = Vec::new();
    if policies {
        next.push((format!("podgate lab probe{option}"), "try every connection, beside what policy expects"));
        next.push((format!("podgate lab watch{option}"), "see each connection as it happens"));
    }
    if let Some(pod) = report.plan.pods.iter().find(|pod| !pod.host_network) {
        next.push((format!("podgate lab exec{option} {} -- CMD", pod.key()), "run a command in a pod"));
    }
    next.push((format!("podgate lab status{option}"), "see nodes, pods and services"));
    next.push((format!("podgate lab down{option}"), "take it down"));
    style::line("next:");
    let width = next.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in next {
        style::line(&format!("  {BOLD}{command:width$}{BOLD:#}  {what}"));
    }
}

fn row(what: &str, number: usize, detail: &str) {
    style::line(format!("  {what:9} {number:>4}  {detail}").trim_end());
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}

fn stay(lab: &Lab) -> Result<(), Error> {
    style::line("Ctrl-C takes the lab down");
    while !interrupt::requested() {
        std::thread::sleep(Duration::from_millis(50));
    }
    podgate_lab::up::down(lab)?;
    style::line(&format!("lab {} is down", lab.name()));
    Ok(())
}
