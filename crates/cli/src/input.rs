//! Where manifests come from, the same for all commands: paths, directories, standard input, a git ref, a live
//! cluster.

pub mod flows;
mod git;
mod staging;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use ipnet::IpNet;
use podgate_analysis::{World, WorldOptions};
use podgate_api::{Input, LoadOptions, Loaded, Object, Severity, load_with};

use crate::outcome::{BAD, Failure};
use crate::progress::Progress;
use crate::{plugin, style};

pub use staging::{Staging, say_what_is_staged};

/// The options with which a command names its input.
#[derive(Debug, Default, Args)]
pub struct ManifestArguments {
    /// Manifests: a YAML or JSON file, a directory of them, or `-` for standard input. May be given several
    /// times; without any the current directory is read.
    #[arg(short = 'f', long = "file", value_name = "PATH", help_heading = "Input")]
    pub files: Vec<PathBuf>,
    /// Namespace of manifests that name none.
    #[arg(short, long, value_name = "NAME", default_value = "default", help_heading = "Input")]
    pub namespace: String,
    /// Read the paths as they are at this branch, tag or commit, without touching the working tree.
    #[arg(long, value_name = "REF", help_heading = "Input")]
    pub git: Option<String>,
    /// Read the objects of a live cluster, through kubeconfig or a pod's service account, with GET requests
    /// only. Paths that are named as well count on top of it, as if they were applied.
    #[arg(long, conflicts_with = "git", help_heading = "Input")]
    pub cluster: bool,
    /// The kubeconfig's context to use with --cluster, if not its current one.
    #[arg(long, value_name = "NAME", requires = "cluster", help_heading = "Input")]
    pub context: Option<String>,
    /// The kubeconfig to use with --cluster, if not the one that kubectl would use.
    #[arg(long, value_name = "PATH", requires = "cluster", help_heading = "Input")]
    pub kubeconfig: Option<PathBuf>,
    /// Network from which pods without an address are taken to get one (one IPv4 and one IPv6 network at
    /// most); matters where a policy names private address ranges [default: 10.244.0.0/16,fd00:10:244::/48].
    #[arg(long, value_name = "CIDR", value_delimiter = ',', help_heading = "Input")]
    pub pod_network: Vec<IpNet>,
}

impl ManifestArguments {
    /// Reads everything that is named, and prints what was found wrong with it on standard error. The answer
    /// goes on without what can't be read; [`answered`] makes the exit code tell.
    pub fn load(&self, positional: &[PathBuf]) -> Result<Loaded, Failure> {
        reported(self.read(positional)?)
    }

    /// As [`ManifestArguments::load`], but leaves what was found wrong to the caller. Fails where there is
    /// nothing to read.
    pub fn read(&self, positional: &[PathBuf]) -> Result<Loaded, Failure> {
        let paths = self.paths(positional);
        if self.reads_the_cluster(&paths) {
            return match paths.is_empty() {
                true => self.read_cluster(),
                false => Ok(on_top(self.read_cluster()?, self.read_paths(&paths)?)),
            };
        }
        let Some(reference) = &self.git else { return self.read_paths(&paths) };
        let loaded = git::load_at(reference, &paths, &self.load_options())?;
        if loaded.documents == 0 && !loaded.has_errors() {
            report(&loaded);
            return Err(Failure::bad(format!(
                "--git {reference}: no manifests there: name other paths or another ref"
            )));
        }
        Ok(loaded)
    }

    /// Reads paths as they are at a git ref, whatever `--git` says, and prints what was found wrong. A path
    /// that was not there then is a warning and counts as empty: it may be new.
    pub fn load_at(&self, reference: &str, positional: &[PathBuf]) -> Result<Loaded, Failure> {
        reported(git::load_at(reference, &self.paths(positional), &self.load_options())?)
    }

    /// Reads paths as they are now, whatever `--git` says, and prints what was found wrong.
    pub fn load_now(&self, positional: &[PathBuf]) -> Result<Loaded, Failure> {
        reported(self.read_paths(&self.paths(positional))?)
    }

    /// Reads paths as they are now and nothing else, whatever else is named, and prints what was found wrong.
    pub fn load_only(&self, paths: &[PathBuf]) -> Result<Loaded, Failure> {
        reported(self.read_paths(paths)?)
    }

    /// Reads what the options name, and prints what was found wrong; `None` where they name nothing.
    pub fn load_named(&self) -> Result<Option<Loaded>, Failure> {
        let is_named = self.cluster || self.git.is_some() || !self.files.is_empty();
        is_named.then(|| self.load(&[])).transpose()
    }

    /// Reads the live cluster, whatever `--cluster` says, and prints what was found wrong.
    pub fn load_cluster(&self) -> Result<Loaded, Failure> {
        reported(self.read_cluster()?)
    }

    fn read_cluster(&self) -> Result<Loaded, Failure> {
        let options = self.cluster();
        let progress = Progress::start("reading the cluster");
        let told =
            |resource: &str, number: usize| progress.say(format!("reading the cluster: {number} {resource}"));
        let snapshot = podgate_kube::read(&options, &self.load_options(), &told)
            .map_err(|error| Failure::bad(error.to_string()))?;
        drop(progress);
        style::note(&format!(
            "reading the cluster of context {}: {}",
            snapshot.context,
            count(snapshot.loaded.objects.len(), "object")
        ));
        Ok(snapshot.loaded)
    }

    /// Reads the manifests of [`ManifestArguments::read`] again, without a word: for those who look at them over and over.
    pub fn read_again(&self, positional: &[PathBuf]) -> Loaded {
        let mut paths = self.paths(positional);
        if paths.is_empty() {
            paths.push(PathBuf::from("."));
        }
        let inputs: Vec<Input> = paths.into_iter().map(Input::Path).collect();
        load_with(&inputs, &self.load_options())
    }

    /// The manifests on top of what the cluster has, where both are named.
    pub fn read_on_top(&self, positional: &[PathBuf], cluster: Loaded) -> Loaded {
        match self.paths(positional).is_empty() {
            true => cluster,
            false => on_top(cluster, self.read_again(positional)),
        }
    }

    /// Which cluster is meant.
    pub fn cluster(&self) -> podgate_kube::Options {
        podgate_kube::Options { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// Whether a live cluster is read, because it is asked for or because nothing else is named by kubectl's plugin.
    pub fn reads_the_cluster(&self, paths: &[PathBuf]) -> bool {
        self.cluster || (self.git.is_none() && paths.is_empty() && plugin::means_the_cluster())
    }

    /// All paths that are named, by position first.
    pub fn paths(&self, positional: &[PathBuf]) -> Vec<PathBuf> {
        positional.iter().chain(&self.files).cloned().collect()
    }

    fn read_paths(&self, paths: &[PathBuf]) -> Result<Loaded, Failure> {
        let here = [PathBuf::from(".")];
        let implied = paths.is_empty();
        let paths = if implied { &here[..] } else { paths };
        let mut inputs = Vec::with_capacity(paths.len());
        for path in paths {
            inputs.push(input(path, &inputs)?);
        }
        let progress = Progress::start("reading manifests");
        let loaded = load_with(&inputs, &self.load_options());
        drop(progress);
        if loaded.documents == 0 && !loaded.has_errors() {
            return Err(nothing(paths, implied, &loaded));
        }
        if implied {
            say_what_was_read(&loaded);
        }
        Ok(loaded)
    }

    /// What the reader has to know beside the input.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions { default_namespace: self.namespace.clone() }
    }

    /// The world to ask questions about, with the policies that decide; with pods that don't exist yet where
    /// `hypotheses` is set.
    pub fn world(&self, loaded: Loaded, hypotheses: bool, staging: &Staging) -> Result<World, Failure> {
        Ok(World::new(staging.in_force(loaded.objects), &self.world_options(hypotheses)?))
    }

    /// What the arguments say beside the objects.
    pub fn world_options(&self, hypotheses: bool) -> Result<WorldOptions, Failure> {
        let mut options = WorldOptions { hypotheses, ..WorldOptions::default() };
        for net in &self.pod_network {
            let same_family = |other: &IpNet| other.addr().is_ipv4() == net.addr().is_ipv4();
            if self.pod_network.iter().filter(|other| same_family(other)).count() > 1 {
                return Err(Failure::bad(format!(
                    "--pod-network {net}: one network for IPv4 and one for IPv6 at most"
                )));
            }
            options.pod_networks.retain(|other| !same_family(other));
            options.pod_networks.push(*net);
        }
        options.pod_networks.sort_by_key(|net| !net.addr().is_ipv4());
        Ok(options)
    }
}

/// The exit code of an answer: bad input (`broken`, from [`Loaded::has_errors`]) outweighs what was answered,
/// because the answer may lack what could not be read.
pub fn answered(code: u8, broken: bool) -> u8 {
    if broken { BAD } else { code }
}

fn reported(loaded: Loaded) -> Result<Loaded, Failure> {
    report(&loaded);
    if loaded.objects.is_empty() && loaded.has_errors() {
        return Err(Failure::bad("nothing of the input could be read: mend the findings above first"));
    }
    Ok(loaded)
}

/// Prints what was found wrong with the input on standard error.
pub fn report(loaded: &Loaded) {
    for diagnostic in &loaded.diagnostics {
        style::diagnostic(&diagnostic.to_string());
    }
    let errors = loaded.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
    if errors > 0 && !loaded.objects.is_empty() {
        style::warning(&format!(
            "{} in the input: the answer goes on without what could not be read, and the exit code is {BAD}",
            count(errors, "error")
        ));
    }
}

/// Manifests as if they were applied to what is there: World takes the last of each name. Pods of a workload
/// that is written anew are replaced by those it would make.
pub fn on_top(mut below: Loaded, above: Loaded) -> Loaded {
    let rewritten: HashSet<(&str, &str, &str)> = above
        .objects
        .iter()
        .filter_map(|object| match object {
            Object::Workload(workload) => {
                Some((&*workload.meta.namespace, workload.kind.as_str(), &*workload.meta.name))
            }
            _ => None,
        })
        .collect();
    below.objects.retain(|object| match object {
        Object::Pod(pod) => pod
            .owner
            .as_ref()
            .is_none_or(|owner| !rewritten.contains(&(&*pod.meta.namespace, &*owner.kind, &*owner.name))),
        _ => true,
    });
    below.objects.extend(above.objects);
    below.diagnostics.extend(above.diagnostics);
    below.files.extend(above.files);
    below.documents += above.documents;
    for (kind, number) in above.ignored {
        *below.ignored.entry(kind).or_default() += number;
    }
    below
}

/// `1 file`, `2 files`.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}

fn input(path: &Path, earlier: &[Input]) -> Result<Input, Failure> {
    if path == Path::new("-") {
        if earlier.contains(&Input::Stdin) {
            return Err(Failure::bad("`-` is given twice: standard input can be read only once"));
        }
        return Ok(Input::Stdin);
    }
    // Half an answer because of a misspelt path would be worse than none.
    match path.metadata() {
        Ok(_) => Ok(Input::Path(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::bad(format!(
            "{}: no such file or directory: check the path (`-` is standard input)",
            path.display()
        ))),
        Err(error) => Err(Failure::bad(format!("{}: {error}", path.display()))),
    }
}

fn nothing(paths: &[PathBuf], implied: bool, loaded: &Loaded) -> Failure {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let help = "name files or directories with .yaml, .yml or .json manifests, or `-` for standard input";
    Failure::bad(if implied {
        format!("no manifests named, and none in the current directory: {help}")
    } else if paths == [Path::new("-")] {
        "standard input holds no manifest: did the command before the pipe fail?".to_owned()
    } else if loaded.files.is_empty() {
        format!("no manifests in {}: {help}", names.join(", "))
    } else {
        format!(
            "no manifest in {} of {}: all of it is empty",
            count(loaded.files.len(), "file"),
            names.join(", ")
        )
    })
}

/// Nobody named the current directory: say what was found in it.
fn say_what_was_read(loaded: &Loaded) {
    let ignored: usize = loaded.ignored.values().sum();
    let ignored = match ignored {
        0 => String::new(),
        more => format!(" ({more} of kinds that have no part in network policy)"),
    };
    style::note(&format!(
        "reading the current directory: {}, {}{ignored}",
        count(loaded.files.len(), "file"),
        count(loaded.objects.len() + loaded.ignored.values().sum::<usize>(), "object")
    ));
}

#[cfg(test)]
mod tests {
    use podgate_api::load_text;

    use super::*;

    #[test]
    fn a_workload_that_is_written_anew_replaces_its_pods() {
        let pod = |name: &str, owner: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: shop\n  ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: {owner}, uid: u, controller: true}}]\n---\n"
            )
        };
        let below = load_text("dev:pods", &(pod("web-0", "web") + &pod("db-0", "db")));
        assert_eq!(below.objects.len(), 2, "{:?}", below.diagnostics);
        let above = load_text(
            "new.yaml",
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: web, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}}}\n",
        );
        let both = on_top(below, above);
        let keys: Vec<String> = both.objects.iter().map(|object| object.key().to_string()).collect();
        assert_eq!(keys, ["Pod shop/db-0", "StatefulSet shop/web"]);
        assert_eq!(both.documents, 3);
    }

    #[test]
    fn pod_networks_replace_the_default_of_their_family_only() {
        let networks = |given: &[&str]| {
            let pod_network = given.iter().map(|text| text.parse().unwrap()).collect();
            let arguments = ManifestArguments { pod_network, ..ManifestArguments::default() };
            arguments
                .world_options(false)
                .map(|options| options.pod_networks.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(networks(&["10.42.0.0/16"]).unwrap(), ["10.42.0.0/16", "fd00:10:244::/48"]);
        assert_eq!(networks(&["fd00::/64"]).unwrap(), ["10.244.0.0/16", "fd00::/64"]);
        let twice = networks(&["10.1.0.0/16", "10.2.0.0/16"]).expect_err("two of one family");
        assert!(twice.message.contains("one network for IPv4"), "{}", twice.message);
    }
}
