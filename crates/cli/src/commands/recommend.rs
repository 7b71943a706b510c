//! `podgate recommend`: least-privilege policies from flows that were seen.

mod unused;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use podgate_advise::recommend::{Options, Recommendation};
use serde_json::json;

use crate::input::flows::FlowArguments;
use crate::input::{ManifestArguments, answered, count};
use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::render::manifest;
use crate::{output, style};

/// Recommend least-privilege NetworkPolicies from flows that were seen.
///
/// One policy for each workload that took part in a connection that was let through: its own selector, the pods it
/// reaches and is reached by, ports of pods rather than of Services, DNS over UDP and TCP to the resolvers that were
/// seen. The result is tried on the same flows before it is printed, and says what it could not have seen: the window,
/// lost events, workloads and jobs that were not heard. Read that before you apply it. The exit code is 1 when the
/// policies would not do what was seen.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The cluster's objects: files, directories, `-` for standard input. Without any (and without -f, --git and
    /// --cluster) workloads are known from the flows alone.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    flows: FlowArguments,
    #[command(flatten)]
    manifests: ManifestArguments,
    /// Only for this namespace; may be given several times. By default all but those that Kubernetes runs in.
    #[arg(long = "only", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Blocks of addresses that belong to somebody: a file with a CIDR and a name a line. An address in one stands for
    /// the whole block.
    #[arg(long, value_name = "PATH")]
    known_blocks: Option<PathBuf>,
    /// How to print the policies: yaml and json can be applied; report says what they rest on.
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
    /// Write one file for each workload into this directory instead.
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    output_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Unused(unused::Arguments),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Yaml,
    Json,
    /// JSON: docs/schema/recommend.schema.json.
    Report,
}

pub fn run(arguments: &Arguments) -> Outcome {
    if let Some(Command::Unused(arguments)) = &arguments.command {
        return unused::run(arguments);
    }
    let loaded = match arguments.paths.is_empty() {
        true => arguments.manifests.load_named()?.unwrap_or_default(),
        false => arguments.manifests.load(&arguments.paths)?,
    };
    let broken = loaded.has_errors();
    let seen = arguments.flows.seen(&loaded.objects)?;
    let options = Options {
        namespaces: arguments.namespaces.clone(),
        known_blocks: arguments.known_blocks.as_deref().map(known_blocks).transpose()?.unwrap_or_default(),
        settings: arguments.manifests.world_options(false)?.settings,
    };
    let recommendation = Recommendation::new(loaded.objects, &seen, &options);
    if recommendation.policies.is_empty() {
        recommendation.head().iter().skip(1).for_each(|line| style::note(line));
        return Err(Failure::bad(
            "no connection of a pod that was let through: nothing to make policies from; record for longer, or name \
             the namespace with --only",
        ));
    }
    if let Some(folder) = &arguments.output_dir {
        write(folder, &recommendation)?;
    } else {
        match arguments.output {
            Output::Yaml => output::raw(recommendation.to_yaml().as_bytes())?,
            Output::Json => {
                let policies = recommendation.policies.iter().map(|policy| policy.document.policy.clone());
                output::json(&manifest::list(policies))?;
                // JSON has no comments.
                recommendation.head().iter().for_each(|line| style::note(line));
            }
            Output::Report => output::json(&report(&recommendation))?,
        }
    }
    if !recommendation.proof.holds() {
        style::warning("the policies would not do what was seen: read the lines above the first policy");
    }
    let code = if recommendation.proof.holds() { FINE } else { FINDINGS };
    Ok(answered(code, broken))
}

fn report(recommendation: &Recommendation) -> serde_json::Value {
    let policies: Vec<_> = recommendation
        .policies
        .iter()
        .map(|policy| {
            let meta = &policy.document.policy.meta;
            json!({
                "workload": policy.workload.to_string(),
                "policy": format!("{}/{}", meta.namespace, meta.name),
                "connections": policy.connections,
                "warnings": policy.warnings,
            })
        })
        .collect();
    json!({"policies": policies, "statement": recommendation.statement, "proof": recommendation.proof})
}

/// A file for each workload, named after its namespace and policy.
fn write(folder: &Path, recommendation: &Recommendation) -> Result<(), Failure> {
    let failed =
        |path: &Path, error: std::io::Error| Failure::bad(format!("write {}: {error}", path.display()));
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for policy in &recommendation.policies {
        let meta = &policy.document.policy.meta;
        let path = folder.join(format!("{}-{}.yaml", meta.namespace, meta.name));
        std::fs::write(&path, policy.document.to_yaml()).map_err(|error| failed(&path, error))?;
    }
    recommendation.head().iter().for_each(|line| style::note(line));
    style::note(&format!("{} in {}", count(recommendation.policies.len(), "policy file"), folder.display()));
    Ok(())
}

/// Reads `CIDR name` lines; `#` begins a comment.
fn known_blocks(path: &Path) -> Result<Vec<(IpNet, String)>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::bad(format!("read {}: {error}", path.display())))?;
    let mut blocks = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (cidr, name) = line.split_once(char::is_whitespace).unwrap_or((line, line));
        let net: IpNet = cidr.parse().map_err(|_| {
            Failure::bad(format!(
                "{}:{}: {cidr:?} is no block of addresses: write a CIDR and a name, such as `192.0.2.0/24 example`",
                path.display(),
                number + 1
            ))
        })?;
        blocks.push((net.trunc(), name.trim().to_owned()));
    }
    Ok(blocks)
}
