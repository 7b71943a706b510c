//! Findings that somebody decided to live with, and where that was said.
//!
//! In a manifest: an annotation `podgate.dev/ignore: id, reason` on the object, or a comment
//! `# podgate.dev/ignore: id, reason` on the line that is blamed, on the line above it, or above the object.

use std::collections::BTreeMap;

use podgate_api::{Ignore, Loaded, parse_ignore};

use crate::finding::Finding;

/// The annotation's key, and what a comment says.
pub const KEY: &str = "podgate.dev/ignore";

/// All that manifests say.
#[derive(Clone, Debug, Default)]
pub struct Ignores {
    /// By file, in order.
    comments: BTreeMap<String, Vec<Ignore>>,
    /// By file and line where the object starts.
    objects: BTreeMap<String, BTreeMap<u32, Vec<Ignore>>>,
}

impl Ignores {
    /// Collects what the input says, before the world takes its objects.
    pub fn new(loaded: &Loaded) -> Ignores {
        let mut ignores = Ignores::default();
        for object in &loaded.objects {
            let meta = object.meta();
            let of_file = ignores.objects.entry(meta.source.file.to_string()).or_default();
            let said = of_file.entry(meta.source.line).or_default();
            if let Some(text) = meta.annotations.get(KEY) {
                let (ids, reason) = parse_ignore(text);
                said.push(Ignore {
                    source: meta.source.clone(),
                    object: Some(meta.source.clone()),
                    ids,
                    reason,
                });
            }
        }
        for ignore in &loaded.ignores {
            ignores.comments.entry(ignore.source.file.to_string()).or_default().push(ignore.clone());
        }
        ignores
    }

    /// What was said about a finding.
    pub fn find(&self, finding: &Finding) -> Option<&Ignore> {
        let (file, line) = (&*finding.source.file, finding.source.line);
        let owner = self.objects.get(file).and_then(|objects| objects.range(..=line).next_back());
        let annotations = owner.into_iter().flat_map(|(_, said)| said);
        let comments = self.comments.get(file).into_iter().flatten().filter(|ignore| {
            let at = ignore.source.line;
            let above = ignore.object.as_ref().filter(|object| at < object.line);
            at == line
                || at + 1 == line
                || above.is_some_and(|object| owner.is_some_and(|(o, _)| *o == object.line))
        });
        annotations.chain(comments).find(|ignore| ignore.ids.iter().any(|id| id == finding.check))
    }

    /// All of them: comments, then annotations.
    pub fn iter(&self) -> impl Iterator<Item = &Ignore> {
        let annotations = self.objects.values().flat_map(BTreeMap::values).flatten();
        self.comments.values().flatten().chain(annotations)
    }
}
