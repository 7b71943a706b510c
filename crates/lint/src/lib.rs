//! Checks of network policies, decided on the engine's answers.
//!
//! ```text
//! Loaded -> prepare -> World (with pods that don't exist yet) -> Context (facts that checks share)
//!                                                                  -> CHECKS, in parallel -> Report
//! ```
//!
//! One file a check, in `checks/`; its page in the book is also its doc comment. Absent on purpose:
//! verdicts (the engine's), files and terminals (the command line's).

pub mod baseline;
mod catalogue;
mod checks;
pub mod config;
mod context;
mod finding;
pub mod ignore;
mod locate;
mod near;
mod text;

use podgate_analysis::World;
use podgate_api::{Diagnostic, Labels, Loaded, Meta, Object, Pod};
use rayon::prelude::*;

pub use catalogue::{CHECKS, CheckInfo, check};
pub use context::{Context, Texts};
pub use finding::{Edit, Finding, Fix, ObjectRef, Related, Severity};

use crate::context::dns;

/// Choices that teams make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Checks to run; empty: all.
    pub only: Vec<String>,
    /// Checks to leave out.
    pub skip: Vec<String>,
    /// Namespaces that belong to the cluster: nobody is told to protect their pods.
    pub system_namespaces: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let system = ["kube-system", "kube-public", "kube-node-lease"];
        Settings { only: Vec::new(), skip: Vec::new(), system_namespaces: system.map(str::to_owned).to_vec() }
    }
}

impl Settings {
    fn runs(&self, id: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == id);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

/// Takes out of the input what checks need beside the world, and puts in a DNS server where the input has
/// none: without one nobody could tell a policy that lets DNS through from one that doesn't.
///
/// Build the [`World`] from what is left, with hypotheses.
pub fn prepare(loaded: &mut Loaded) -> Vec<Diagnostic> {
    if !dns::is_present(&loaded.objects) {
        loaded.objects.push(Object::Pod(Pod {
            meta: Meta {
                name: dns::HYPOTHETICAL.to_owned(),
                namespace: "kube-system".to_owned(),
                labels: Labels::from([("k8s-app".to_owned(), "kube-dns".to_owned())]),
                ..Meta::default()
            },
            ports: dns::usual_ports(),
            ..Pod::default()
        }));
    }
    std::mem::take(&mut loaded.diagnostics)
}

/// Runs the checks. Findings are sorted by place.
pub fn run(context: &Context<'_>) -> Vec<Finding> {
    let wanted: Vec<&CheckInfo> = CHECKS.iter().filter(|info| context.settings.runs(info.id)).collect();
    let found: Vec<Vec<Finding>> = wanted
        .par_iter()
        .map(|info| {
            let mut findings = Findings { info, found: Vec::new() };
            (info.run)(context, &mut findings);
            findings.found
        })
        .collect();
    let mut found: Vec<Finding> = found.into_iter().flatten().collect();
    sort(&mut found);
    baseline::fingerprint(&mut found, context);
    found
}

/// Sorts findings by place.
pub fn sort(found: &mut [Finding]) {
    found.sort_by(|a, b| {
        (&a.source, a.check, &a.object, &a.message).cmp(&(&b.source, b.check, &b.object, &b.message))
    });
}

/// Where a check puts what it finds.
#[derive(Debug)]
pub struct Findings<'a> {
    info: &'a CheckInfo,
    found: Vec<Finding>,
}

impl Findings<'_> {
    /// Adds a finding; what comes back can be given more.
    pub(crate) fn report(
        &mut self,
        source: &podgate_api::Source,
        object: ObjectRef,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.found.push(Finding {
            check: self.info.id,
            severity: self.info.severity,
            source: source.clone(),
            object,
            message: message.into(),
            why: self.info.why.to_owned(),
            fix: None,
            related: Vec::new(),
            url: self.info.url(),
            fingerprint: String::new(),
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

/// Builds the world that checks ask: with pods that don't exist yet.
pub fn world(objects: Vec<Object>, mut options: podgate_analysis::WorldOptions) -> World {
    options.hypotheses = true;
    World::new(objects, &options)
}
