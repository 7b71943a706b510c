//! Reads objects from files, directories, standard input and texts.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use crate::cursor::{Cursor, RENDER, Sink};
use crate::decode::{self, Decoded};
use crate::files::{Text, Texts};
use crate::json::parse_json;
use crate::split::{Chunk, chunks, lines};
use crate::tree::{Fault, Parsed, parse_yaml};
use crate::{Diagnostic, Object, ObjectKey, Owner, Severity, Source};

/// Where manifests come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, or a directory with all `*.yaml`, `*.yml` and `*.json` files in it and below, in order of
    /// their names. Hidden files and directories are left out, links are followed once.
    Path(PathBuf),
    /// Standard input, named `-` in sources.
    Stdin,
    /// A text at hand.
    Text {
        /// What sources call it.
        name: String,
        /// YAML or JSON.
        text: String,
    },
}

/// What readers can't know from the manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// The namespace of namespaced objects that name none; `default` by default.
    pub default_namespace: String,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions { default_namespace: "default".to_owned() }
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Objects in order of the input, duplicates included. A ReplicaSet or Job is left out when the
    /// workload that controls it is there as well: its pods are that workload's.
    ///
    /// A NetworkPolicy with errors is kept in a form that allows no more than what was written; any other
    /// object with errors is kept as far as it can be read.
    pub objects: Vec<Object>,
    /// Findings: inputs that could not be read, then documents in order of the input and by line, then
    /// objects that are there twice.
    pub diagnostics: Vec<Diagnostic>,
    /// How many objects there were of each kind that podgate does not use, by "apiVersion Kind".
    pub ignored: BTreeMap<String, usize>,
    /// Files that were read.
    pub files: Vec<PathBuf>,
    /// Documents that hold something, the broken ones included.
    pub documents: usize,
}

impl Loaded {
    /// Whether some finding is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Reads all inputs. What can't be read is in [`Loaded::diagnostics`]; the rest goes on.
pub fn load(inputs: &[Input]) -> Loaded {
    load_with(inputs, &LoadOptions::default())
}

/// Reads one text; `name` is what sources call it.
pub fn load_text(name: &str, text: &str) -> Loaded {
    load(&[Input::Text { name: name.to_owned(), text: text.to_owned() }])
}

/// [`load`] with options.
pub fn load_with(inputs: &[Input], options: &LoadOptions) -> Loaded {
    let Texts { texts, files, diagnostics, .. } = Texts::read(inputs);
    let parts: Vec<(&Text, Chunk<'_>)> = texts
        .iter()
        .flat_map(|text| chunks(&text.content).into_iter().map(move |chunk| (text, chunk)))
        .collect();
    let read = |(text, chunk): &(&Text, Chunk<'_>)| read_chunk(&text.name, *chunk, options);
    // A few documents are read sooner than a thread pool starts.
    let results: Vec<Part> = if parts.len() < 16 {
        parts.iter().map(read).collect()
    } else {
        parts.par_iter().map(read).collect()
    };

    let mut loaded = Loaded { files, diagnostics, ..Loaded::default() };
    let mut owners = HashMap::new();
    for part in results {
        loaded.objects.extend(part.decoded.objects);
        loaded.diagnostics.extend(part.diagnostics);
        loaded.documents += part.documents;
        owners.extend(part.decoded.owners);
        for (kind, count) in part.decoded.ignored {
            *loaded.ignored.entry(kind).or_default() += count;
        }
    }
    report_duplicates(&mut loaded);
    resolve_owners(&mut loaded.objects, &owners);
    loaded
}

#[derive(Default)]
struct Part {
    decoded: Decoded,
    diagnostics: Vec<Diagnostic>,
    documents: usize,
}

fn read_chunk(file: &Arc<str>, chunk: Chunk<'_>, options: &LoadOptions) -> Part {
    let mut part = Part::default();
    let parsed = parse(file, chunk);
    let sink = Sink::new(file.clone());
    part.documents = usize::from(parsed.broken);
    for fault in parsed.faults {
        sink.fault(fault);
    }
    for document in &parsed.documents {
        if document.is_null() {
            continue;
        }
        part.documents += 1;
        let root = Cursor::root(document, &sink);
        if is_kustomization(file) && root.is_mapping() && root.field("kind").is_none() {
            *part
                .decoded
                .ignored
                .entry("kustomize.config.k8s.io/v1beta1 Kustomization".to_owned())
                .or_default() += 1;
            continue;
        }
        decode::document(&root, &options.default_namespace, None, &mut part.decoded);
    }
    part.diagnostics = sink.into_found();
    part.diagnostics.sort_by_key(|found| (found.source.line, found.source.column));
    part
}

/// `kustomize` lets its own file leave `kind` out.
fn is_kustomization(file: &str) -> bool {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    matches!(name, "kustomization.yaml" | "kustomization.yml")
}

fn parse<'t>(file: &str, chunk: Chunk<'t>) -> Parsed<'t> {
    let text = chunk.text.strip_prefix('\u{feff}').unwrap_or(chunk.text);
    let body = text.trim_start();
    if body.starts_with(['{', '[']) {
        let parsed = parse_json(text, chunk.line);
        // A flow mapping of YAML looks like JSON but for its quotes. In a file of JSON it is a mistake: YAML
        // would read `[80 90]` as one text.
        let by_name = file.to_ascii_lowercase().ends_with(".json");
        let by_look = body[1..].trim_start().starts_with('"');
        if !parsed.broken || by_name || (by_look && parse_yaml(text, chunk.line).broken) {
            return parsed;
        }
    }
    let mut parsed = parse_yaml(text, chunk.line);
    if parsed.broken
        && let Some(fault) = parsed.faults.last_mut()
    {
        blame_template(text, chunk.line, fault);
    }
    parsed
}

/// Text that stops being YAML behind a template expression stops because of it.
fn blame_template(text: &str, first_line: u32, fault: &mut Fault) {
    for (_, line, number) in lines(text) {
        let number = first_line.saturating_add(number - 1);
        if number > fault.line {
            return;
        }
        let code = if line.trim_start().starts_with('#') { "" } else { line };
        if let Some(at) = code.find("{{") {
            fault.message = format!("a template expression {}", fault.message);
            fault.help = RENDER.to_owned();
            fault.line = number;
            fault.column = u32::try_from(line[..at].chars().count() + 1).unwrap_or(u32::MAX);
            return;
        }
    }
}

fn report_duplicates(loaded: &mut Loaded) {
    let mut first: BTreeMap<ObjectKey, Source> = BTreeMap::new();
    for object in &loaded.objects {
        // Tests are read from files only: any number may have one name.
        if matches!(object, Object::ConnectivityTest(_)) {
            continue;
        }
        let source = &object.meta().source;
        match first.entry(object.key()) {
            Entry::Vacant(vacant) => {
                vacant.insert(source.clone());
            }
            Entry::Occupied(known) => loaded.diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                source: source.clone(),
                field: "metadata.name".to_owned(),
                message: format!("{} is already written at {}", known.key(), known.get()),
                help: "keep one of the two: a cluster has only one, the last that was applied".to_owned(),
            }),
        }
    }
}

/// Follows owners up (pod → ReplicaSet → Deployment), and leaves out what an owner in the input makes.
fn resolve_owners(objects: &mut Vec<Object>, owners: &HashMap<ObjectKey, Owner>) {
    let owner_of = |kind: &str, namespace: &str, name: &str| {
        let kind = match kind {
            "ReplicaSet" => "ReplicaSet",
            "Job" => "Job",
            _ => return None,
        };
        owners.get(&ObjectKey { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    };
    for object in objects.iter_mut() {
        if let Object::Pod(pod) = object
            && let Some(owner) = &pod.owner
            && let Some(above) = owner_of(&owner.kind, &pod.meta.namespace, &owner.name)
        {
            pod.owner = Some(above.clone());
        }
    }
    if owners.is_empty() {
        return;
    }
    let present: HashSet<(String, String, String)> = objects
        .iter()
        .filter(|object| matches!(object, Object::Workload(_)))
        .map(|object| object.key())
        .map(|key| (key.kind.to_owned(), key.namespace, key.name))
        .collect();
    objects.retain(|object| {
        let Object::Workload(workload) = object else { return true };
        let meta = &workload.meta;
        owner_of(workload.kind.as_str(), &meta.namespace, &meta.name).is_none_or(|owner| {
            !present.contains(&(owner.kind.clone(), meta.namespace.clone(), owner.name.clone()))
        })
    });
}
