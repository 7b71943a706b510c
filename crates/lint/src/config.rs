//! `.podgate.yaml`: the choices of a team, kept with its manifests.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::catalogue;
use crate::finding::{Finding, Severity};
use crate::near::nearest;
use crate::{CHECKS, Settings};

/// What the file may say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// About `podgate check`.
    #[serde(default)]
    pub checks: Checks,
}

/// About `podgate check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Checks {
    /// Severity by check; `off` leaves the check out.
    #[serde(default)]
    pub severity: BTreeMap<String, Level>,
    /// Findings to leave out, with the reason.
    #[serde(default)]
    pub ignore: Vec<Rule>,
    /// Namespaces that belong to the cluster, in place of the usual ones.
    pub system_namespaces: Option<Vec<String>>,
    /// The exit code tells of findings from this severity on.
    pub fail_on: Option<Severity>,
}

/// A severity, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not looked for.
    Off,
    /// As [`Severity::Info`].
    Info,
    /// As [`Severity::Warning`].
    Warning,
    /// As [`Severity::Error`].
    Error,
}

/// Findings to leave out: those that answer to all that is given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Checks; absent: all.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Namespaces of the objects; absent: all. `*` at the end stands for any rest.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Files as the input names them, or directories of them; `*` at the ends stands for anything.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Names of objects; absent: all.
    #[serde(default)]
    pub names: Vec<String>,
    /// Why. Whoever reads it next will want to know.
    pub reason: String,
}

/// What is wrong with a file, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// 1-based line.
    pub line: usize,
    /// What is wrong, and what to write.
    pub message: String,
}

impl Config {
    /// Reads the text of a file.
    pub fn parse(file: &str, text: &str) -> Result<Config, ConfigError> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Config::default());
        }
        let wrong = |line: usize, message: String| ConfigError { file: file.to_owned(), line, message };
        let options = serde_saphyr::options! { with_snippet: false };
        let config: Config = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |place| place.line() as usize);
            let message = error.to_string();
            wrong(line, message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned())
        })?;
        let ids =
            config.checks.severity.keys().chain(config.checks.ignore.iter().flat_map(|rule| &rule.checks));
        for id in ids {
            if catalogue::check(id).is_none() {
                let line = text.lines().position(|line| line.contains(id.as_str())).map_or(1, |at| at + 1);
                return Err(wrong(line, unknown_check(id)));
            }
        }
        Ok(config)
    }

    /// The settings that the file leads to.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        let off = self.checks.severity.iter().filter(|(_, level)| **level == Level::Off);
        settings.skip.extend(off.map(|(id, _)| id.clone()));
        if let Some(namespaces) = &self.checks.system_namespaces {
            settings.system_namespaces.clone_from(namespaces);
        }
        settings
    }

    /// Gives findings of a check the severity that the team wants.
    pub fn rate(&self, findings: &mut [Finding]) {
        for finding in findings {
            match self.checks.severity.get(finding.check) {
                Some(Level::Error) => finding.severity = Severity::Error,
                Some(Level::Warning) => finding.severity = Severity::Warning,
                Some(Level::Info) => finding.severity = Severity::Info,
                Some(Level::Off) | None => {}
            }
        }
    }

    /// The rule that leaves a finding out.
    pub fn ignores(&self, finding: &Finding) -> Option<&Rule> {
        let namespace = match finding.object.kind.as_str() {
            "Namespace" => &finding.object.name,
            _ => &finding.object.namespace,
        };
        self.checks.ignore.iter().find(|rule| {
            let any =
                |list: &[String], value: &str| list.is_empty() || list.iter().any(|p| matches(p, value));
            let paths = rule.paths.is_empty()
                || rule.paths.iter().any(|pattern| is_path(pattern, &finding.source.file));
            any(&rule.checks, finding.check)
                && any(&rule.namespaces, namespace)
                && any(&rule.names, &finding.object.name)
                && paths
        })
    }
}

/// Says that there is no such check, and which one may be meant.
pub fn unknown_check(id: &str) -> String {
    let near = nearest(id, CHECKS.iter().map(|info| info.id))
        .or_else(|| CHECKS.iter().map(|info| info.id).find(|known| known.contains(id) || id.contains(known)));
    match near {
        Some(near) => format!("there is no check `{id}`; did you mean `{near}`?"),
        None => format!("there is no check `{id}`: `podgate check --list` names them"),
    }
}

/// A path, a directory of it, or its end.
fn is_path(pattern: &str, file: &str) -> bool {
    let file = file.trim_start_matches("./");
    let pattern = pattern.trim_start_matches("./");
    let directory = format!("{}/", pattern.trim_end_matches('/'));
    matches(pattern, file)
        || file.starts_with(&directory)
        || file.contains(&format!("/{directory}"))
        || file.ends_with(&format!("/{pattern}"))
}

/// `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_is_wrong_with_it_and_where() {
        for (text, place, part) in [
            ("checks:\n  severity:\n    dns-egress-bloked: off\n", 3, "did you mean `dns-egress-blocked`?"),
            ("checks:\n  serverity: {}\n", 2, "serverity"),
            ("checks:\n  severity:\n    port-not-open: loud\n", 3, "loud"),
            ("checks:\n  ignore:\n    - checks: [port-not-open]\n", 3, "reason"),
        ] {
            let error = Config::parse(".podgate.yaml", text).expect_err(text);
            assert_eq!(error.line, place, "{error}");
            assert!(error.message.contains(part), "{error}");
        }
        assert_eq!(Config::parse("a", "# nothing yet\n"), Ok(Config::default()));
    }

    #[test]
    fn patterns_match_names_and_paths() {
        for (pattern, text, expect) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("team-*", "team-x", true),
            ("*-system", "cert-system", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
        ] {
            assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
        }
        assert!(is_path("legacy", "deploy/legacy/a.yaml"));
        assert!(is_path("deploy/legacy/", "./deploy/legacy/a.yaml"));
        assert!(is_path("*.json", "a/b.json"));
        assert!(!is_path("legacy", "deploy/legacy2/a.yaml"));
    }
}
