//! What DNS answers to this node's pods, for rules with domain names and for the names of flows.

use super::*;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// In the run directory: names that rules ask for, with their addresses. An agent that ends leaves the kernel as it is,
/// and its successor must not cut what it has opened.
const FILE: &str = "names";
/// Begins the file: its times are those since the machine started.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

impl Agent {
    /// Hears what was answered, and makes it current at once: a pod that has an answer goes there.
    pub(super) fn watch_names(&mut self) {
        let Agent { gate, observer, staging, .. } = self;
        let polled = gate.poll_answers(&mut |message, cluster| observer.answer(&message, cluster));
        let mut clusters = vec![&mut gate.cluster];
        clusters.extend(staging.shadow.as_mut().map(|shadow| &mut shadow.gate.cluster));
        let is_news = observer.turn_names(&mut clusters);
        self.note("DNS answers", polled);
        if is_news {
            self.heard.get_or_insert_with(Instant::now);
            self.enforce();
            self.save_names();
        }
    }

    /// Takes over what an earlier agent knew.
    pub(super) fn restore_names(&mut self) {
        let file = self.options.run_dir.join(FILE);
        let (boot, saved) = match (fs::read_to_string(BOOT), fs::read_to_string(&file)) {
            (_, Err(error)) if error.kind() == ErrorKind::NotFound => return,
            (Ok(boot), Ok(saved)) => (boot, saved),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(path = %file.display(), %error, "names of an earlier agent can't be read");
                return;
            }
        };
        if let Some(names) = saved.strip_prefix(&boot) {
            self.observer.restore_names(names);
            self.observer.turn_names(&mut [&mut self.gate.cluster]);
            self.saved_names = names.to_owned();
        }
    }

    /// Times go on while names stay; once a second is often enough for those.
    pub(super) fn save_names(&mut self) {
        let saved = self.observer.saved_names();
        if saved == self.saved_names {
            return;
        }
        let written = write(&self.options.run_dir.join(FILE), &saved);
        if written.is_ok() {
            self.saved_names = saved;
        }
        self.note("save names", written);
    }
}

fn write(file: &Path, names: &str) -> Result<(), String> {
    let boot = fs::read_to_string(BOOT).map_err(|error| format!("read {BOOT}: {error}"))?;
    let half = file.with_extension("half");
    let written = fs::write(&half, boot + names).and_then(|()| fs::rename(&half, file));
    written.map_err(|error| format!("write {}: {error}", file.display()))
}
