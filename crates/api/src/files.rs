//! Finds and reads the texts that inputs name.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::load::Input;
use crate::{Diagnostic, Severity, Source};

/// One text to read objects from.
pub(crate) struct Text<'i> {
    pub name: Arc<str>,
    pub content: Cow<'i, str>,
    /// Its lines mean something to the user.
    pub has_lines: bool,
}

/// The texts of all inputs, in order.
#[derive(Default)]
pub(crate) struct Texts<'i> {
    pub texts: Vec<Text<'i>>,
    pub files: Vec<PathBuf>,
    pub diagnostics: Vec<Diagnostic>,
    /// Files and directories that were read, however they are spelt: links may form circles.
    seen: BTreeSet<PathBuf>,
}

impl<'i> Texts<'i> {
    pub fn read(inputs: &'i [Input]) -> Self {
        let mut found = Texts::default();
        for input in inputs {
            match input {
                Input::Text { name, text } => {
                    let (name, content) = (name.as_str().into(), Cow::Borrowed(text.as_str()));
                    found.texts.push(Text { name, content, has_lines: true });
                }
                Input::Answer { name, text } => {
                    let (name, content) = (name.as_str().into(), Cow::Borrowed(text.as_str()));
                    found.texts.push(Text { name, content, has_lines: false });
                }
                Input::Stdin => {
                    let mut bytes = Vec::new();
                    match std::io::stdin().lock().read_to_end(&mut bytes) {
                        Ok(_) => found.text("-", bytes),
                        Err(error) => {
                            found.error(
                                "-",
                                format!("cannot read standard input: {error}"),
                                "pipe manifests in",
                            );
                        }
                    }
                }
                Input::Path(path) => found.path(path),
            }
        }
        found
    }

    fn path(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => {
                let before = self.files.len();
                let unseen = self.is_new(path);
                if unseen {
                    self.directory(path);
                }
                if unseen && self.files.len() == before {
                    self.report(
                        Severity::Warning,
                        &path.display().to_string(),
                        "no manifest in this directory".to_owned(),
                        "manifests are files that end in .yaml, .yml or .json",
                    );
                }
            }
            Ok(_) => {
                if self.is_new(path) {
                    self.file(path);
                }
            }
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn directory(&mut self, directory: &Path) {
        let mut paths = Vec::new();
        let listed = fs::read_dir(directory).and_then(|entries| {
            for entry in entries {
                paths.push(entry?.path());
            }
            Ok(())
        });
        if let Err(error) = listed {
            self.unreadable(directory, &error);
        }
        paths.sort();
        for path in paths {
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue;
            }
            match fs::metadata(&path) {
                Ok(about) if about.is_dir() => {
                    if self.is_new(&path) {
                        self.directory(&path);
                    }
                }
                // Only ordinary files: reading a pipe or a device may never end.
                Ok(about) if about.is_file() && is_manifest(&path) => {
                    if self.is_new(&path) {
                        self.file(&path);
                    }
                }
                Ok(_) => {}
                Err(error) if is_manifest(&path) => self.unreadable(&path, &error),
                Err(_) => {}
            }
        }
    }

    fn is_new(&mut self, path: &Path) -> bool {
        match fs::canonicalize(path) {
            Ok(real) => self.seen.insert(real),
            Err(_) => true,
        }
    }

    fn file(&mut self, path: &Path) {
        match fs::read(path) {
            Ok(bytes) => {
                self.files.push(path.to_owned());
                // The current directory goes without saying.
                let shown = path.strip_prefix(".").unwrap_or(path);
                self.text(&shown.display().to_string(), bytes);
            }
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn text(&mut self, name: &str, bytes: Vec<u8>) {
        match String::from_utf8(bytes) {
            Ok(content) => {
                self.texts.push(Text { name: name.into(), content: content.into(), has_lines: true })
            }
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
                let (line, column) = end_of(&before);
                let source = Source::origin(name).at(line, column);
                self.diagnostics.push(Diagnostic {
                    severity: Severity::Error,
                    source,
                    field: String::new(),
                    message: "the text is not UTF-8".to_owned(),
                    help: "save the file as UTF-8".to_owned(),
                });
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "allow this user to read it",
            _ => "check the file and its file system",
        };
        self.error(&path.display().to_string(), format!("cannot be read: {error}"), help);
    }

    fn error(&mut self, name: &str, message: String, help: &str) {
        self.report(Severity::Error, name, message, help);
    }

    fn report(&mut self, severity: Severity, name: &str, message: String, help: &str) {
        let source = Source::origin(name);
        self.diagnostics.push(Diagnostic {
            severity,
            source,
            field: String::new(),
            message,
            help: help.to_owned(),
        });
    }
}

/// Whether a file in a directory is read as a manifest: by its ending.
pub fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// The place behind the last character.
fn end_of(text: &str) -> (u32, u32) {
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
