//! Reads objects from files, directories, standard input and texts.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use rayon::prelude::*;

use crate::cursor::{Cursor, ITEMS, RENDER, Sink};
use crate::decode::{self, Decoded};
use crate::files::{Text, Texts};
use crate::ignore::{Ignore, comments, is_mentioned};
use crate::items::{List, RUN, Run, list};
use crate::json::parse_json;
use crate::mention::settle;
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
    /// An object as an API server told it: it was written elsewhere, so sources have the name and no line.
    Answer {
        /// What sources call it.
        name: String,
        /// JSON.
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
    /// Comments of YAML that silence findings, in order of the input.
    pub ignores: Vec<Ignore>,
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
    read(&texts, options, RUN, Loaded { files, diagnostics, ..Loaded::default() })
}

/// Reads all texts; lists of more than two runs of this length are cut.
fn read(texts: &[Text<'_>], options: &LoadOptions, run: usize, mut loaded: Loaded) -> Loaded {
    let documents: Vec<(&Text<'_>, Chunk<'_>, Option<List<'_>>)> = texts
        .iter()
        .flat_map(|text| chunks(&text.content).into_iter().map(move |chunk| (text, chunk)))
        .map(|(text, chunk)| (text, chunk, list(chunk, run)))
        .collect();
    let tasks: Vec<(usize, Option<Run<'_>>)> = documents
        .iter()
        .enumerate()
        .flat_map(|(document, (_, _, list))| {
            let runs = list.iter().flat_map(|list| list.runs.iter().copied().map(Some));
            let whole = list.is_none().then_some(None);
            runs.chain(whole).map(move |run| (document, run))
        })
        .collect();
    let read = |(document, run): &(usize, Option<Run<'_>>)| {
        let (text, chunk, list) = &documents[*document];
        match (run, list) {
            (Some(run), Some(list)) => read_run(text, *run, list, options),
            _ => Some(read_chunk(text, *chunk, options)),
        }
    };
    // A few documents are read sooner than a thread pool starts.
    let results: Vec<Option<Part>> = if tasks.len() < 16 {
        tasks.iter().map(read).collect()
    } else {
        tasks.par_iter().map(read).collect()
    };

    let mut owners = HashMap::new();
    let (mut refs, mut config_maps) = (Vec::new(), Vec::new());
    let mut results = results.into_iter();
    for (text, chunk, list) in &documents {
        let count = list.as_ref().map_or(1, |list| list.runs.len());
        let parts: Vec<Option<Part>> = results.by_ref().take(count).collect();
        let parts = match parts.into_iter().collect::<Option<Vec<Part>>>() {
            Some(parts) => number_items(parts),
            // Cut at a wrong place, or with a fault: only the whole list tells.
            None => vec![read_chunk(text, *chunk, options)],
        };
        let first = loaded.objects.len();
        for part in parts {
            let before = loaded.objects.len();
            refs.extend(part.decoded.refs.into_iter().map(|(object, found)| (before + object, found)));
            config_maps.extend(part.decoded.config_maps);
            loaded.objects.extend(part.decoded.objects);
            loaded.diagnostics.extend(part.diagnostics);
            loaded.documents += part.documents;
            owners.extend(part.decoded.owners);
            for (kind, count) in part.decoded.ignored {
                *loaded.ignored.entry(kind).or_default() += count;
            }
        }
        if text.has_lines && is_mentioned(chunk.text) {
            let objects: Vec<Source> =
                loaded.objects[first..].iter().map(|object| object.meta().source.clone()).collect();
            let at = |line, column| Source { file: text.name.clone(), line, column };
            loaded.ignores.extend(comments(chunk.text, chunk.line, &objects, at));
        }
    }
    settle(&mut loaded.objects, refs, config_maps);
    report_duplicates(&mut loaded);
    resolve_owners(&mut loaded.objects, &owners);
    loaded
}

#[derive(Default)]
struct Part {
    decoded: Decoded,
    diagnostics: Vec<Diagnostic>,
    documents: usize,
    /// Items of a run.
    items: usize,
}

/// Reads one run of a list, as if its first item were the list's first.
fn read_run(text: &Text<'_>, run: Run<'_>, list: &List<'_>, options: &LoadOptions) -> Option<Part> {
    let mut part = Part::default();
    let items = run.items(list.syntax)?;
    let implied = list.implied.as_ref().map(|(version, kind)| (version.as_str(), kind.as_str()));
    let sink = Sink::new(text.name.clone(), text.has_lines);
    for (index, item) in items.iter().enumerate() {
        let item = Cursor::item(item, &sink, index);
        decode::document(&item, &options.default_namespace, implied, &mut part.decoded);
    }
    part.items = items.len();
    part.diagnostics = sorted(sink);
    Some(part)
}

fn sorted(sink: Sink) -> Vec<Diagnostic> {
    let mut found = sink.into_found();
    found.sort_by_key(|found| (found.source.line, found.source.column));
    found
}

/// Gives items their index in the list: a run does not know how many came before it.
fn number_items(mut parts: Vec<Part>) -> Vec<Part> {
    let mut before = 0;
    for part in &mut parts {
        for found in part.diagnostics.iter_mut().filter(|_| before > 0) {
            let rest = found.field.strip_prefix(ITEMS).and_then(|rest| rest.strip_prefix('['));
            if let Some((index, rest)) = rest.and_then(|rest| rest.split_once(']'))
                && let Ok(index) = index.parse::<usize>()
            {
                found.field = format!("{ITEMS}[{}]{rest}", before + index);
            }
        }
        before += part.items;
    }
    if let Some(first) = parts.first_mut().filter(|part| part.items > 0) {
        first.documents = 1;
    }
    parts
}

fn read_chunk(text: &Text<'_>, chunk: Chunk<'_>, options: &LoadOptions) -> Part {
    let mut part = Part::default();
    let file = &text.name;
    let parsed = parse(file, chunk);
    let sink = Sink::new(file.clone(), text.has_lines);
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
    part.diagnostics = sorted(sink);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_with(text: &str, run: usize) -> Loaded {
        let inputs = [Input::Text { name: "t".to_owned(), text: text.to_owned() }];
        read(&Texts::read(&inputs).texts, &LoadOptions::default(), run, Loaded::default())
    }

    /// Items of lists: good ones, ones with findings, and ones that break what stands around them.
    fn item(yaml: bool) -> impl Strategy<Value = &'static str> {
        let json = [
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#,
            "{\n \"apiVersion\": \"v1\",\n \"kind\": \"Pod\",\n \"metadata\": {\"name\": \"é\"}\n}",
            r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p"},"spec":{"podselector":{}}}"#,
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"},{"},"data":{"a":"\"},{"}}"#,
            r#"{"metadata":{"name":"a"},"metadata":{"name":"b"}}"#,
            "null",
            "[]",
            "{\"a\": [\n  {\n  },\n  {\n  }]\n}",
        ];
        let yaml_items = [
            "apiVersion: v1\n  kind: Pod\n  metadata: {name: a}",
            "apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: p}\n  spec:\n    podselector: {}",
            "apiVersion: v1\n  kind: Pod\n  metadata:\n    name: b\n    annotations:\n      c: |\n\n        - d\n        items:",
            "apiVersion: v1\n  kind: Pod\n  metadata: &m {name: c}",
            "apiVersion: v1\n  kind: Pod\n  metadata: *m",
            "{apiVersion: v1, kind: Pod, metadata: {name: \"d\n- \"}}",
            "a: b\n  a: c",
            "a: 'b",
            "",
            "# c",
        ];
        prop::sample::select(if yaml { yaml_items.to_vec() } else { json.to_vec() })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_list_that_is_cut_is_read_as_the_whole(
            items in prop::collection::vec(item(false), 0..12),
            separator in prop::sample::select(vec![",", ", ", ",\n ", ",\n        ", "\n,\n", " ", ",,"]),
            head in prop::sample::select(vec![r#"{"apiVersion":"v1","kind":"List","items":["#, r#"{"items": ["#, "{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        "]),
            tail in prop::sample::select(vec!["]}", "],\"apiVersion\":\"v1\",\"kind\":\"PodList\"}\n", "\n    ],\n    \"kind\": \"List\"\n}", ",]}", ""]),
            run in 1_usize..400,
        ) {
            let text = format!("{head}{}{tail}", items.join(separator));
            prop_assert_eq!(read_with(&text, run), read_with(&text, usize::MAX / 2), "{}", text);
        }

        #[test]
        fn a_yaml_list_that_is_cut_is_read_as_the_whole(
            items in prop::collection::vec(item(true), 0..12),
            head in prop::sample::select(vec!["apiVersion: v1\nkind: List\nitems:\n", "items:\n", "---\n# a\napiVersion: v1\nitems:\n", "a: |\n  b\nitems:\n"]),
            tail in prop::sample::select(vec!["", "kind: List\n", "apiVersion: v1\nkind: PodList\nmetadata:\n  resourceVersion: \"\"\n", "c:\n- d\n", "...\n"]),
            run in 1_usize..300,
        ) {
            let items: String = items.iter().map(|item| format!("- {item}\n")).collect();
            let text = format!("{head}{items}{tail}");
            prop_assert_eq!(read_with(&text, run), read_with(&text, usize::MAX / 2), "{}", text);
        }
    }
}
