//! `podgate check`: mistakes in policies, decided on what is reachable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::{Args, ValueEnum};
use podgate_advise::without_staged;
use podgate_api::{Input, Loaded, Object, load_with, staged};
use podgate_lint::baseline::Baseline;
use podgate_lint::config::{Config, unknown_check};
use podgate_lint::ignore::Ignores;
use podgate_lint::{CHECKS, Context, Finding, ObjectRef, Severity, check, prepare};

use crate::input::{ManifestArguments, Staging, count, say_what_is_staged};
use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::render::findings::{self as render, Ignored, Report};
use crate::render::print;
use crate::{output, style};

/// Find mistakes in policies: what they open, close or miss, decided by the engine.
///
/// Exits with 1 when something is found (see --fail-on), with 0 otherwise. `podgate check --list` names the checks,
/// `podgate check --explain ID` explains one. To live with a finding, write `# podgate.dev/ignore: ID, reason` on
/// its line or above it, the same as an annotation, or a rule in .podgate.yaml.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Manifests: files, directories, `-` for standard input; the current directory when none are named.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    manifests: ManifestArguments,
    #[command(flatten)]
    staging: Staging,
    /// How to print what is found.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Exit with 1 when something of this severity or worse is found [default: warning].
    #[arg(long, value_enum, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
    /// Only these checks.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,
    /// All but these checks.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    skip: Vec<String>,
    /// Leave out what this file knows, and tell of what it knows and is gone.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write all that is found to a baseline file, and be content.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    write_baseline: Option<PathBuf>,
    /// Mend in the files what can be mended safely.
    #[arg(long)]
    fix: bool,
    /// Print what --fix changes; without --fix nothing is changed.
    #[arg(long)]
    diff: bool,
    /// The choices of the team [default: .podgate.yaml here or above, up to the root of the repository].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name all checks.
    #[arg(long, exclusive = true)]
    list: bool,
    /// Explain a check.
    #[arg(long, value_name = "ID", exclusive = true)]
    explain: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// With the lines that are blamed, and what to write.
    Text,
    /// A line for each finding.
    Concise,
    Json,
    Yaml,
    /// SARIF 2.1.0.
    Sarif,
    /// JUnit XML.
    Junit,
    /// Markdown.
    Md,
    /// Workflow commands of GitHub Actions.
    Github,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Severity {
        match fail_on {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
            FailOn::Info => Severity::Info,
        }
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    if arguments.list {
        list();
        return Ok(FINE);
    }
    if let Some(id) = &arguments.explain {
        print(check(id).ok_or_else(|| Failure::bad(unknown_check(id)))?.page);
        return Ok(FINE);
    }
    for id in arguments.only.iter().chain(&arguments.skip) {
        check(id).ok_or_else(|| Failure::bad(unknown_check(id)))?;
    }
    let config = config(arguments.config.as_deref())?;
    let (loaded, texts) = load(arguments)?;
    let mut report = find(arguments, &config, loaded, &texts)?;
    if arguments.fix || arguments.diff {
        mend(arguments, &mut report, &texts)?;
    }
    if let Some(path) = &arguments.write_baseline {
        return write_baseline(path, &report);
    }
    show(arguments.output, &report, &texts)?;
    let fail_on =
        arguments.fail_on.map(Severity::from).or(config.checks.fail_on).unwrap_or(Severity::Warning);
    let failed = report.findings.iter().any(|finding| finding.severity >= fail_on);
    Ok(if failed { FINDINGS } else { FINE })
}

fn list() {
    let rows: Vec<Vec<String>> = CHECKS
        .iter()
        .map(|info| vec![info.id.to_owned(), info.severity.to_string(), info.title.to_owned()])
        .collect();
    style::table(&["CHECK", "SEVERITY", "FINDS"], &rows);
}

/// Reads the input; what is wrong with it becomes findings.
fn load(arguments: &Arguments) -> Result<(Loaded, Sources), Failure> {
    let from_files = arguments.manifests.git.is_none() && !arguments.manifests.cluster;
    let named: Vec<&PathBuf> = arguments.paths.iter().chain(&arguments.manifests.files).collect();
    if from_files && named == [Path::new("-")] {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        read.map_err(|error| Failure::bad(format!("cannot read standard input: {error}")))?;
        let input = Input::Text { name: "-".to_owned(), text: text.clone() };
        let loaded = load_with(&[input], &arguments.manifests.load_options());
        if loaded.documents == 0 && !loaded.has_errors() {
            return Err(Failure::bad(
                "standard input holds no manifest: did the command before the pipe fail?",
            ));
        }
        return Ok((loaded, Sources::of("-", text)));
    }
    let loaded = arguments.manifests.read(&arguments.paths)?;
    let texts = if from_files { Sources::files(&loaded) } else { Sources::default() };
    Ok((loaded, texts))
}

fn find(
    arguments: &Arguments,
    config: &Config,
    mut loaded: Loaded,
    texts: &Sources,
) -> Result<Report, Failure> {
    let mut settings = config.settings();
    settings.only.clone_from(&arguments.only);
    settings.skip.extend(arguments.skip.iter().cloned());
    let ignores = Ignores::new(&loaded);
    let diagnostics = prepare(&mut loaded);
    let get = |name: &str| texts.get(name);
    let run = |objects: Vec<Object>| -> Result<(Vec<Finding>, usize), Failure> {
        let world = podgate_lint::world(objects, arguments.manifests.world_options(true)?);
        let found = podgate_lint::run(&Context::new(&world, &diagnostics, &get, &settings));
        Ok((found, world.cluster.policies().count() + world.cluster.cluster_policies().count()))
    };
    // Of staged policies is found what would be if they were enforced; of everything else, what is there today.
    let staged = if arguments.staging.enforce_staged { BTreeSet::new() } else { staged(&loaded.objects) };
    let (mut found, policies) = match staged.is_empty() {
        true => run(loaded.objects)?,
        false => {
            let keys: BTreeSet<ObjectRef> = staged
                .into_iter()
                .map(|key| ObjectRef { kind: key.kind.to_owned(), namespace: key.namespace, name: key.name })
                .collect();
            say_what_is_staged(
                &loaded.objects,
                "they are checked as if they were enforced, everything else without them; --enforce-staged checks \
                 everything with them",
            );
            let (of_staged, policies) = run(loaded.objects.clone())?;
            let (mut found, _) = run(without_staged(loaded.objects))?;
            found.extend(of_staged.into_iter().filter(|finding| keys.contains(&finding.object)));
            podgate_lint::sort(&mut found);
            (found, policies)
        }
    };
    config.rate(&mut found);
    let mut report = Report { policies, ..Report::default() };
    let baseline = arguments.baseline.as_deref().map(read_baseline).transpose()?;
    if let Some(baseline) = &baseline {
        report.stale = baseline.stale(&found).into_iter().cloned().collect();
    }
    for finding in found {
        if let Some(ignore) = ignores.find(&finding) {
            let by = ignore.source.to_string();
            report.ignored.push(Ignored { finding, by, reason: ignore.reason.clone() });
        } else if let Some(rule) = config.ignores(&finding) {
            let by = ".podgate.yaml".to_owned();
            report.ignored.push(Ignored { finding, by, reason: rule.reason.clone() });
        } else if baseline.as_ref().is_some_and(|baseline| baseline.knows(&finding)) {
            let reason = "known when the baseline was written".to_owned();
            report.ignored.push(Ignored { finding, by: "the baseline".to_owned(), reason });
        } else {
            report.findings.push(finding);
        }
    }
    for ignore in ignores.iter() {
        for id in ignore.ids.iter().filter(|id| check(id).is_none()) {
            style::warning(&format!("{}: {}", ignore.source, unknown_check(id)));
        }
    }
    Ok(report)
}

fn show(form: Output, report: &Report, texts: &Sources) -> Result<(), Failure> {
    match form {
        Output::Text => print(&render::text(report, &|name| texts.get(name))),
        Output::Concise => print(&render::concise(report)),
        Output::Json => output::json(&render::data(report))?,
        Output::Yaml => output::yaml(&render::data(report))?,
        Output::Sarif => output::json(&render::sarif(report))?,
        Output::Junit => print(&render::junit(report)),
        Output::Md => print(&render::markdown(report)),
        Output::Github => print(&render::github(report)),
    }
    for known in &report.stale {
        style::note(&format!(
            "the baseline knows {} of {}, which is gone: write it anew with --write-baseline",
            known.check, known.object
        ));
    }
    Ok(())
}

// === configuration ===

/// The choices of the team: of a file that is named, or of the nearest `.podgate.yaml`.
pub fn config(named: Option<&Path>) -> Result<Config, Failure> {
    let Some(path) = named.map(Path::to_owned).or_else(nearest_config) else { return Ok(Config::default()) };
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::bad(format!("{}: cannot be read: {error}", path.display())))?;
    Config::parse(&path.display().to_string(), &text).map_err(|error| Failure::bad(error.to_string()))
}

/// `.podgate.yaml` of this directory or one above, within the repository.
fn nearest_config() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    for directory in here.ancestors() {
        let path = directory.join(".podgate.yaml");
        if path.is_file() {
            return Some(if directory == here { PathBuf::from(".podgate.yaml") } else { path });
        }
        if directory.join(".git").exists() {
            break;
        }
    }
    None
}

fn read_baseline(path: &Path) -> Result<Baseline, Failure> {
    let wrong = |what: String| Failure::bad(format!("{}: {what}", path.display()));
    let text = fs::read_to_string(path)
        .map_err(|error| wrong(format!("cannot be read: {error}; write one with --write-baseline")))?;
    let baseline: Baseline = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("is no baseline: {error}; write it anew with --write-baseline")))?;
    if baseline.version != Baseline::VERSION {
        return Err(wrong(format!(
            "is of version {}, this podgate reads {}",
            baseline.version,
            Baseline::VERSION
        )));
    }
    Ok(baseline)
}

fn write_baseline(path: &Path, report: &Report) -> Outcome {
    let baseline = Baseline::of(report.findings.iter());
    let text = serde_json::to_string_pretty(&baseline).expect("a baseline is plain data");
    fs::write(path, text + "\n")
        .map_err(|error| Failure::bad(format!("{}: cannot be written: {error}", path.display())))?;
    style::line(&format!(
        "{}: {} known from now on",
        path.display(),
        count(baseline.findings.len(), "finding")
    ));
    Ok(FINE)
}

// === texts ===

/// The texts of the input, read when asked for.
#[derive(Debug, Default)]
pub struct Sources {
    /// Names that may be read.
    files: BTreeSet<String>,
    read: Mutex<BTreeMap<String, Option<Arc<str>>>>,
}

impl Sources {
    fn files(loaded: &Loaded) -> Sources {
        let files = loaded.files.iter().map(|path| path.display().to_string()).collect();
        Sources { files, ..Sources::default() }
    }

    fn of(name: &str, text: String) -> Sources {
        let read = BTreeMap::from([(name.to_owned(), Some(text.into()))]);
        Sources { read: Mutex::new(read), ..Sources::default() }
    }

    fn get(&self, name: &str) -> Option<Arc<str>> {
        let mut read = self.read.lock().expect("no panic while reading");
        if let Some(known) = read.get(name) {
            return known.clone();
        }
        let text = self.files.contains(name).then(|| fs::read_to_string(name).ok()).flatten();
        read.entry(name.to_owned()).or_insert(text.map(Arc::from)).clone()
    }
}

// === fixes ===

/// Makes or shows the edits. What is mended is no finding any more.
fn mend(arguments: &Arguments, report: &mut Report, texts: &Sources) -> Result<(), Failure> {
    if texts.files.is_empty() {
        return Err(Failure::bad(
            "--fix and --diff change files: name files or directories, not standard input, a git ref or a cluster",
        ));
    }
    let mut edits: BTreeMap<String, BTreeMap<u32, (u32, String)>> = BTreeMap::new();
    let mut taken = |finding: &Finding| {
        let Some(edit) = finding.fix.as_ref().and_then(|fix| fix.edit.as_ref()) else { return false };
        let of_file = edits.entry(edit.file.clone()).or_default();
        // Two edits of one line: the second one waits for the next run.
        let free = of_file.range(..=edit.last).next_back().is_none_or(|(_, (last, _))| *last < edit.first);
        if free {
            of_file.insert(edit.first, (edit.last, edit.replacement.clone()));
        }
        free
    };
    let (mended, rest): (Vec<Finding>, Vec<Finding>) =
        std::mem::take(&mut report.findings).into_iter().partition(|finding| taken(finding));
    for (file, edits) in &edits {
        let Some(text) = texts.get(file) else { continue };
        let (new, diff) = edited(file, &text, edits);
        if arguments.diff {
            print(&diff);
        }
        if arguments.fix {
            fs::write(file, new)
                .map_err(|error| Failure::bad(format!("{file}: cannot be written: {error}")))?;
        }
    }
    report.findings = rest;
    if arguments.fix {
        style::note(&format!("mended {} in {}", count(mended.len(), "finding"), count(edits.len(), "file")));
    } else {
        report.findings.extend(mended);
        report.findings.sort_by(|a, b| a.source.cmp(&b.source));
    }
    Ok(())
}

/// The new text, and what differs.
fn edited(file: &str, text: &str, edits: &BTreeMap<u32, (u32, String)>) -> (String, String) {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut new = String::with_capacity(text.len());
    let mut diff = format!("--- a/{file}\n+++ b/{file}\n");
    let mut at = 0;
    for (first, (last, replacement)) in edits {
        let (from, to) = (*first as usize - 1, *last as usize);
        new.extend(lines[at..from].iter().copied());
        let old = lines[to - 1];
        let end = &old[old.trim_end_matches(['\r', '\n']).len()..];
        new.push_str(replacement);
        new.push_str(end);
        diff.push_str(&format!("@@ -{first},{0} +{first},{0} @@\n", to - from));
        for line in &lines[from..to] {
            diff.push_str(&format!("-{}\n", line.trim_end_matches(['\r', '\n'])));
        }
        replacement.lines().for_each(|line| diff.push_str(&format!("+{line}\n")));
        at = to;
    }
    new.extend(lines[at..].iter().copied());
    (new, diff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_keep_all_other_bytes() {
        let edits = BTreeMap::from([(2, (2, "B".to_owned()))]);
        let (new, diff) = edited("f", "a\r\nb\r\nc", &edits);
        assert_eq!(new, "a\r\nB\r\nc");
        assert_eq!(diff, "--- a/f\n+++ b/f\n@@ -2,1 +2,1 @@\n-b\n+B\n");
    }
}
