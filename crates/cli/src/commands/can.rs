//! `podgate can`: can one end reach another, and why.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_analysis::why::{Question, Short};
use podgate_analysis::{End, EndError, PortSpec};

use crate::input::{ManifestArguments, Staging, answered};
use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::render::why;
use crate::{output, style};

/// Can FROM reach TO? Yes, no or partly, and why: every policy and rule that was asked, what almost allowed it,
/// and what would.
///
/// The exit code is 0 for yes and 1 for no or partly. Without PORT the answer is yes when any port is allowed.
#[derive(Debug, Args)]
#[command(after_help = "\
FROM and TO:
  shop/web-0            a pod, or the one workload of that name
  shop/deploy/web       a workload: deploy, sts, ds, job, cronjob, rs, rc, pod
  shop/svc/web          the pods behind a Service; PORT is the Service's
  shop/*                every pod of a namespace
  app=web               pods with labels, in all namespaces; shop/app=web,tier!=db in one
  10.0.0.5, 10.0.0.0/8  an address, a network
  internet, all         public addresses; every pod and address
PORT:
  80, TCP/80, UDP/53, TCP/8000-8100, TCP, http (a port's name), ICMP (echo)")]
pub struct Arguments {
    /// Who connects.
    from: String,
    /// To whom.
    to: String,
    /// On which port; a Service's port where TO is a Service.
    port: Option<String>,
    #[command(flatten)]
    manifests: ManifestArguments,
    #[command(flatten)]
    staging: Staging,
    /// Exit with 0 when some of the connections are allowed.
    #[arg(long)]
    any: bool,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Yaml,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let namespace = Some(arguments.manifests.namespace.as_str());
    let question = Question {
        from: End::parse(&arguments.from, namespace).map_err(|error| bad("FROM", &error))?,
        to: End::parse(&arguments.to, namespace).map_err(|error| bad("TO", &error))?,
        port: arguments
            .port
            .as_deref()
            .map(PortSpec::parse)
            .transpose()
            .map_err(|error| bad("PORT", &error))?,
    };
    let nothing: [PathBuf; 0] = [];
    let loaded = arguments.manifests.load(&nothing)?;
    let broken = loaded.has_errors();
    let world = arguments.manifests.world(loaded, false, &arguments.staging)?;
    let answer = world.can(&question).map_err(|error| Failure::bad(error.to_string()))?;
    match arguments.output {
        Output::Text => style::line(why::text(&answer).trim_end()),
        Output::Json => output::json(&answer)?,
        Output::Yaml => output::yaml(&answer)?,
    }
    let code = match answer.answer {
        Short::Yes => FINE,
        Short::Partly if arguments.any => FINE,
        Short::Partly | Short::No => FINDINGS,
    };
    Ok(answered(code, broken))
}

fn bad(which: &str, error: &EndError) -> Failure {
    Failure::bad(format!("{which}: {error}"))
}
