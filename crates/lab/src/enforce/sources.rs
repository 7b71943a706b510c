//! Objects of the lab's manifests; a file that breaks keeps what it said before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use podgate_api::{Diagnostic, Input, Loaded, Object, Severity, load_text};

use super::files::Change;
use super::protocol::FileDiagnostics;
use crate::plan::is_policy;
use crate::state::{Lab, Spec};
use crate::up;

/// Directory of good versions in the run directory, so that a file that is broken when the daemon starts
/// still says what it said when it was last good.
const GOOD_DIR: &str = "good";

/// What the manifests of a lab say as far as it is in force, for those beside the daemon: a file with errors says what it
/// said when it was last good, where that is known; without enforcement there are no policies.
pub fn in_force(lab: &Lab, spec: &Spec) -> Loaded {
    let mut loaded = up::load(spec);
    let errors = loaded.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    let broken: BTreeSet<_> = errors.map(|error| error.source.file.clone()).collect();
    let sources = Sources::new(lab);
    for file in broken {
        if let Some(kept) = sources.kept(Path::new(&*file)) {
            loaded.objects.retain(|object| object.meta().source.file != file);
            loaded.objects.extend(kept);
        }
    }
    if !spec.policies {
        loaded.objects.retain(|object| !is_policy(object));
    }
    loaded
}

/// What every manifest says.
#[derive(Debug)]
pub(super) struct Sources {
    files: BTreeMap<PathBuf, Source>,
    /// Where good versions are kept.
    good: PathBuf,
}

#[derive(Debug, Default)]
struct Source {
    /// Of the last version without errors; of the first one as far as it could be read.
    objects: Vec<Object>,
    diagnostics: Vec<Diagnostic>,
    broken: bool,
}

/// What reading a changed manifest came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Its objects may have changed.
    Good,
    /// As [`Reading::Good`], and it had errors before.
    Mended,
    /// It has errors: what it said before stays.
    Broken(Vec<String>),
}

impl Sources {
    /// Nothing read yet.
    pub(super) fn new(lab: &Lab) -> Sources {
        Sources { files: BTreeMap::new(), good: lab.file(GOOD_DIR) }
    }

    /// Reads a changed manifest, or forgets one that is gone. A file with errors keeps what it said before;
    /// where nothing is known of it, `keep_good` makes it say nothing, else it counts as far as it can be read.
    /// `is_being_written` is asked after reading: what was read says nothing then.
    pub(super) fn take(
        &mut self,
        change: &Change,
        keep_good: bool,
        is_being_written: impl FnOnce(&Path) -> bool,
    ) -> Reading {
        match change {
            Change::Gone(path) => {
                self.files.remove(path);
                let _ = fs::remove_file(self.good_version(path));
                Reading::Good
            }
            Change::Written(path) => match fs::read_to_string(path) {
                _ if is_being_written(path) => Reading::Good,
                Ok(text) => self.replace(path, &text, keep_good),
                // The reader says best why it can't be read.
                Err(_) => {
                    let loaded = podgate_api::load(&[Input::Path(path.clone())]);
                    self.replace_with(path, loaded, keep_good)
                }
            },
        }
    }

    fn replace(&mut self, path: &Path, text: &str, keep_good: bool) -> Reading {
        let loaded = load_text(&path.display().to_string(), text);
        let reading = self.replace_with(path, loaded, keep_good);
        if !matches!(reading, Reading::Broken(_)) {
            // A daemon that can't keep it knows it all the same, as long as it lives.
            let _ = fs::create_dir_all(&self.good);
            let _ = fs::write(self.good_version(path), text);
        }
        reading
    }

    fn replace_with(&mut self, path: &Path, loaded: Loaded, keep_good: bool) -> Reading {
        let is_broken = loaded.has_errors();
        let kept = (is_broken && !self.files.contains_key(path)).then(|| self.kept(path)).flatten();
        let source = self.files.entry(path.to_owned()).or_default();
        let was_broken = std::mem::replace(&mut source.broken, is_broken);
        source.diagnostics = loaded.diagnostics;
        match kept {
            Some(objects) => source.objects = objects,
            None if is_broken && keep_good => {}
            None => source.objects = loaded.objects,
        }
        match (is_broken, was_broken) {
            (true, _) => Reading::Broken(errors(&source.diagnostics)),
            (false, true) => Reading::Mended,
            (false, false) => Reading::Good,
        }
    }

    /// What an earlier daemon knew of the file.
    fn kept(&self, path: &Path) -> Option<Vec<Object>> {
        let text = fs::read_to_string(self.good_version(path)).ok()?;
        Some(load_text(&path.display().to_string(), &text).objects)
    }

    fn good_version(&self, path: &Path) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        self.good.join(format!("{:016x}", hasher.finish()))
    }

    /// All objects in force, in the order of the files.
    pub(super) fn objects(&self, order: &[&Path]) -> Vec<Object> {
        let in_order = order.iter().filter_map(|path| self.files.get(*path));
        in_order.flat_map(|source| source.objects.iter().cloned()).collect()
    }

    /// Files with something to say about them.
    pub(super) fn diagnostics(&self) -> Vec<FileDiagnostics> {
        let with_some = self.files.iter().filter(|(_, source)| !source.diagnostics.is_empty());
        with_some
            .map(|(path, source)| FileDiagnostics {
                file: path.display().to_string(),
                broken: source.broken,
                diagnostics: source.diagnostics.iter().map(ToString::to_string).collect(),
            })
            .collect()
    }
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().filter(|d| d.severity == Severity::Error).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    const OTHER: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: bank}\n";
    const BROKEN: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: [\n";

    /// Sources whose good versions go with the test.
    struct Kept(Sources);

    impl Kept {
        fn new(name: &str) -> Kept {
            let good = std::env::temp_dir().join(format!("podgate-good-{name}-{}", std::process::id()));
            Kept(Sources { files: BTreeMap::new(), good })
        }

        fn names(&self) -> Vec<String> {
            self.0.objects(&[Path::new("a.yaml")]).iter().map(|o| o.meta().name.clone()).collect()
        }

        fn edit(&mut self, text: &str, keep_good: bool) -> Reading {
            self.0.replace(Path::new("a.yaml"), text, keep_good)
        }

        /// As after the end of the daemon.
        fn forget(&mut self) {
            self.0.files.clear();
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.good);
        }
    }

    #[test]
    fn a_broken_edit_keeps_the_last_good_objects_until_it_is_mended() {
        let mut sources = Kept::new("edit");
        assert_eq!(sources.edit(GOOD, false), Reading::Good);
        let reading = sources.edit(&format!("{OTHER}---\n{BROKEN}"), true);
        assert!(matches!(&reading, Reading::Broken(why) if why.len() == 1 && why[0].contains("a.yaml:")));
        assert_eq!(sources.names(), ["shop"]);
        assert!(sources.0.diagnostics()[0].broken);
        assert_eq!(sources.edit(OTHER, true), Reading::Mended);
        assert_eq!(sources.names(), ["bank"]);
        assert!(sources.0.diagnostics().is_empty());
    }

    #[test]
    fn the_next_daemon_knows_what_a_broken_file_said() {
        let mut sources = Kept::new("next");
        sources.edit(GOOD, false);
        sources.forget();
        assert!(matches!(sources.edit(BROKEN, false), Reading::Broken(_)));
        assert_eq!(sources.names(), ["shop"]);
        assert!(sources.0.diagnostics()[0].broken);
    }

    #[test]
    fn a_file_that_was_never_good_counts_as_far_as_it_can_be_read_at_the_start() {
        let mut sources = Kept::new("start");
        assert!(matches!(sources.edit(&format!("{OTHER}---\n{BROKEN}"), false), Reading::Broken(_)));
        assert_eq!(sources.names(), ["bank"]);
    }

    #[test]
    fn a_new_file_that_is_broken_says_nothing_yet() {
        let mut sources = Kept::new("new");
        sources.edit(&format!("{OTHER}---\n{BROKEN}"), true);
        assert_eq!(sources.names(), [] as [&str; 0]);
    }

    #[test]
    fn what_was_read_while_somebody_wrote_says_nothing() {
        let mut sources = Kept::new("writing");
        sources.edit(GOOD, false);
        // A file that can't be there reads as an error at best.
        let change = Change::Written("a.yaml".into());
        assert_eq!(sources.0.take(&change, false, |_| true), Reading::Good);
        assert_eq!(sources.names(), ["shop"]);
    }

    #[test]
    fn a_file_that_is_gone_takes_its_objects_along_for_good() {
        let mut sources = Kept::new("gone");
        sources.edit(GOOD, false);
        assert_eq!(sources.0.take(&Change::Gone("a.yaml".into()), true, |_| false), Reading::Good);
        assert_eq!(sources.names(), [] as [&str; 0]);
        sources.edit(BROKEN, true);
        assert_eq!(sources.names(), [] as [&str; 0]);
    }
}
