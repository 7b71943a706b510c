//! Answers as data on standard output: JSON and YAML of anything that can be serialized.

use std::io::Write;

use serde::Serialize;

use crate::outcome::Failure;
use crate::style;

/// Prints a value as indented JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| unwritable("JSON", &error))?;
    style::line(&text);
    Ok(())
}

/// Prints a value as a YAML document.
pub fn yaml(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_saphyr::to_string(value).map_err(|error| unwritable("YAML", &error))?;
    style::line(text.trim_end());
    Ok(())
}

/// Prints bytes as they are. A reader that went away (`| head`) is no error.
pub fn raw(bytes: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::bad(format!("write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn unwritable(form: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::bad(format!("this answer can't be written as {form} ({error}): please report it"))
}
