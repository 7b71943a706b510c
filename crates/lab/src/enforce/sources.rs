//! Objects of the lab's manifests; a file that breaks keeps what it said before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use podgate_api::{Diagnostic, Input, Loaded, Object, Severity};

use super::files::Change;
use super::protocol::FileDiagnostics;

/// What every manifest says.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: BTreeMap<PathBuf, Source>,
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
    /// Reads a changed manifest, or forgets one that is gone. `keep_good`: errors keep what the file said
    /// before, which for a new file is nothing. Otherwise a file with errors counts as far as it can be read.
    pub(super) fn take(&mut self, change: &Change, keep_good: bool) -> Reading {
        match change {
            Change::Gone(path) => {
                self.files.remove(path);
                Reading::Good
            }
            Change::Written(path) => {
                let loaded = podgate_api::load(&[Input::Path(path.clone())]);
                self.replace(path, loaded, keep_good)
            }
        }
    }

    fn replace(&mut self, path: &Path, loaded: Loaded, keep_good: bool) -> Reading {
        let is_broken = loaded.has_errors();
        let source = self.files.entry(path.to_owned()).or_default();
        let was_broken = std::mem::replace(&mut source.broken, is_broken);
        source.diagnostics = loaded.diagnostics;
        if !is_broken || !keep_good {
            source.objects = loaded.objects;
        }
        match (is_broken, was_broken) {
            (true, _) => Reading::Broken(errors(&source.diagnostics)),
            (false, true) => Reading::Mended,
            (false, false) => Reading::Good,
        }
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

    fn names(sources: &Sources) -> Vec<String> {
        sources.objects(&[Path::new("a.yaml")]).iter().map(|o| o.meta().name.clone()).collect()
    }

    fn edit(sources: &mut Sources, text: &str, keep_good: bool) -> Reading {
        sources.replace(Path::new("a.yaml"), podgate_api::load_text("a.yaml", text), keep_good)
    }

    #[test]
    fn a_broken_edit_keeps_the_last_good_objects_until_it_is_mended() {
        let mut sources = Sources::default();
        assert_eq!(edit(&mut sources, GOOD, false), Reading::Good);
        let reading = edit(&mut sources, &format!("{OTHER}---\n{BROKEN}"), true);
        assert!(matches!(&reading, Reading::Broken(why) if why.len() == 1 && why[0].contains("a.yaml:")));
        assert_eq!(names(&sources), ["shop"]);
        assert!(sources.diagnostics()[0].broken);
        assert_eq!(edit(&mut sources, OTHER, true), Reading::Mended);
        assert_eq!(names(&sources), ["bank"]);
        assert!(sources.diagnostics().is_empty());
    }

    #[test]
    fn at_the_start_a_broken_file_counts_as_far_as_it_can_be_read() {
        let mut sources = Sources::default();
        let reading = edit(&mut sources, &format!("{OTHER}---\n{BROKEN}"), false);
        assert!(matches!(reading, Reading::Broken(_)));
        assert_eq!(names(&sources), ["bank"]);
    }

    #[test]
    fn a_new_file_that_is_broken_says_nothing_yet() {
        let mut sources = Sources::default();
        edit(&mut sources, &format!("{OTHER}---\n{BROKEN}"), true);
        assert_eq!(names(&sources), [] as [&str; 0]);
    }

    #[test]
    fn a_file_that_is_gone_takes_its_objects_along() {
        let mut sources = Sources::default();
        edit(&mut sources, GOOD, false);
        assert_eq!(sources.take(&Change::Gone("a.yaml".into()), true), Reading::Good);
        assert_eq!(names(&sources), [] as [&str; 0]);
    }
}
