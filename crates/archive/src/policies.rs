//! Policies by version: each set that was in force, once, as long as some segment refers to it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use podgate_api::{Input, LoadOptions, Object, load_with};
use podgate_flow::PolicyVersion;

use crate::directory::put;
use crate::manifest;
use crate::problem::Problem;

/// A policy file grows to at most this in memory, so that a damaged one can't take all of it.
const MOST: u64 = 1 << 30;

fn path(dir: &Path, version: PolicyVersion) -> PathBuf {
    dir.join(format!("policies-{version}.json.zst"))
}

fn version_of(name: &str) -> Option<PolicyVersion> {
    name.strip_prefix("policies-")?.strip_suffix(".json.zst")?.parse().ok()
}

/// Writes the policies of a version, unless they are there.
pub(crate) fn remember(dir: &Path, version: PolicyVersion, objects: &[Object]) -> Result<(), Problem> {
    let path = path(dir, version);
    if path.exists() {
        return Ok(());
    }
    let write = || -> io::Result<()> {
        let passing = path.with_extension("tmp");
        let text = manifest::list(objects).to_string();
        let mut file = File::create(&passing)?;
        file.write_all(&zstd::encode_all(text.as_bytes(), 9)?)?;
        file.sync_all()?;
        put(dir, &passing, &path)
    };
    write().map_err(|error| Problem::unwritten(&path, error))
}

/// Reads the policies of a version; `None`: nobody remembers them.
pub(crate) fn read(dir: &Path, version: PolicyVersion) -> Result<Option<Vec<Object>>, Problem> {
    let path = path(dir, version);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Problem::new(&path, error, "let podgate read it, as its other files"));
        }
    };
    let mut text = String::new();
    let mut decoder = zstd::Decoder::new(file).map_err(|error| Problem::damaged(&path, error))?.take(MOST);
    decoder.read_to_string(&mut text).map_err(|error| Problem::damaged(&path, error))?;
    let name = path.display().to_string();
    let loaded = load_with(&[Input::Answer { name, text }], &LoadOptions::default());
    // Policies that had mistakes when they were in force have them still, and are kept as closed as they were.
    // A text that is no list of objects at all, however, gives none.
    match loaded.diagnostics.first() {
        Some(diagnostic) if loaded.objects.is_empty() => Err(Problem::damaged(&path, &diagnostic.message)),
        _ => Ok(Some(loaded.objects)),
    }
}

/// Removes the policies of all versions but these. Returns the bytes of those that stay.
pub(crate) fn retain(dir: &Path, wanted: &BTreeSet<PolicyVersion>) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(version) = name.to_str().and_then(version_of) else { continue };
        match wanted.contains(&version) {
            true => bytes += entry.metadata()?.len(),
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
