//! Which policies decide: the same choice for all commands that answer from manifests.

use clap::Args;
use podgate_advise::without_staged;
use podgate_api::{Object, ObjectKey, staged};

use crate::style;

/// Staged policies (`podgate.dev/mode: staged`) decide nothing in a cluster, and so nothing in an answer.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Staging {
    /// Take staged policies (`podgate.dev/mode: staged`) for enforced, as if they were promoted; without this they
    /// decide nothing.
    #[arg(long, help_heading = "Input")]
    pub enforce_staged: bool,
}

impl Staging {
    /// The objects with the policies that decide, and with a word on standard error about those that don't.
    pub fn in_force(self, objects: Vec<Object>) -> Vec<Object> {
        if self.enforce_staged {
            return objects;
        }
        say_what_is_staged(&objects, "--enforce-staged takes them for enforced");
        without_staged(objects)
    }
}

/// Says which staged policies decide nothing here, and what to do about it.
pub fn say_what_is_staged(objects: &[Object], help: &str) {
    /// More than these are told by their number.
    const MOST: usize = 3;
    let staged: Vec<ObjectKey> = staged(objects).into_iter().collect();
    let mut names: Vec<String> = staged.iter().take(MOST).map(ToString::to_string).collect();
    match staged.len() {
        0 => return,
        all if all > MOST => names.push(format!("{} more", all - MOST)),
        _ => {}
    }
    let subject = match staged.len() {
        1 => "1 staged policy decides".to_owned(),
        all => format!("{all} staged policies decide"),
    };
    style::note(&format!("{subject} nothing here: {}; {help}", names.join(", ")));
}
