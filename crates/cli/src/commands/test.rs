//! `podgate test`: expectations about connections, as data.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use podgate_analysis::expectations::TestReport;
use podgate_api::Severity;

use crate::input::{ManifestArguments, Staging, answered};
use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::render::expectations;
use crate::{output, style};

/// Check that connections are as ConnectivityTests expect; each failure is explained as by `can`.
///
/// The exit code is 0 when all expectations hold, 1 when some don't, 2 for bad input or usage.
#[derive(Debug, Args)]
#[command(after_help = "\
A test file:
  apiVersion: podgate.dev/v1alpha1
  kind: ConnectivityTest
  metadata: {name: shop}
  spec:
    tests:
    - name: only the API reaches the database
      from: all
      notFrom: shop/deploy/api
      to: shop/svc/db
      port: TCP/5432
      expect: denied

Ends and ports are written as for `podgate can`; from, to, notFrom, notTo and ports take lists as well.")]
pub struct Arguments {
    /// ConnectivityTests, and manifests: files or directories of either or both. With -f the manifests are
    /// named there.
    #[arg(value_name = "FILE")]
    tests: Vec<PathBuf>,
    #[command(flatten)]
    manifests: ManifestArguments,
    #[command(flatten)]
    staging: Staging,
    /// How to print the results.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
    Yaml,
    Tap,
    Junit,
    Sarif,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let loaded = arguments.manifests.load(&arguments.tests)?;
    // A test that could not be read has not passed.
    let broken = loaded.diagnostics.iter().any(|found| found.severity == Severity::Error);
    let world = arguments.manifests.world(loaded, false, &arguments.staging)?;
    if world.tests.iter().all(|test| test.cases.is_empty()) {
        return Err(Failure::bad(
            "no ConnectivityTest in the input: name a file with one, beside the manifests (`podgate test TEST.yaml -f MANIFESTS`)",
        ));
    }
    let report = world.run_tests();
    print(&report, arguments.output)?;
    Ok(answered(if report.failed + report.errors == 0 { FINE } else { FINDINGS }, broken))
}

/// Prints a report in a form.
pub fn print(report: &TestReport, form: Output) -> Result<(), Failure> {
    match form {
        Output::Text => style::line(expectations::text(report).trim_end()),
        Output::Json => output::json(report)?,
        Output::Yaml => output::yaml(report)?,
        Output::Tap => style::line(expectations::tap(report).trim_end()),
        Output::Junit => style::line(expectations::junit(report).trim_end()),
        Output::Sarif => output::json(&expectations::sarif(report))?,
    }
    Ok(())
}
