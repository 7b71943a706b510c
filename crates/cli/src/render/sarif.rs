//! Results as SARIF 2.1.0, the form in which code hosts show findings beside the lines they are about.

use podgate_api::Source;
use serde_json::{Value, json};

/// A kind of result.
#[derive(Clone, Debug)]
pub struct SarifRule {
    /// Its id.
    pub id: String,
    /// What it is about, in a sentence.
    pub description: String,
    /// More, in Markdown; may be empty.
    pub help: String,
    /// Where more is written; may be empty.
    pub help_uri: String,
}

/// One result.
#[derive(Clone, Debug)]
pub struct SarifResult {
    /// Id of its rule.
    pub rule: String,
    /// How bad it is: `error`, `warning` or `note`.
    pub level: &'static str,
    /// What was found.
    pub message: String,
    /// The file, as the user named it.
    pub file: String,
    /// 1-based line; 0: the whole file.
    pub line: u32,
    /// 1-based column; 0: the whole line.
    pub column: u32,
    /// Tells the result from others in later runs, however lines move.
    pub fingerprint: String,
}

/// A log with one run.
pub fn log(rules: &[SarifRule], results: &[SarifResult]) -> Value {
    let rules: Vec<Value> = rules.iter().map(rule).collect();
    let results: Vec<Value> = results.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "podgate",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "informationUri": env!("CARGO_PKG_REPOSITORY"),
                    "rules": rules,
                }
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }]
    })
}

fn rule(rule: &SarifRule) -> Value {
    let mut value = json!({
        "id": rule.id,
        "shortDescription": { "text": rule.description },
    });
    if !rule.help.is_empty() {
        value["help"] = json!({ "text": rule.help, "markdown": rule.help });
    }
    if !rule.help_uri.is_empty() {
        value["helpUri"] = json!(rule.help_uri);
    }
    value
}

fn result(result: &SarifResult) -> Value {
    let place = Source { file: result.file.as_str().into(), line: result.line, column: result.column };
    json!({
        "ruleId": result.rule,
        "level": result.level,
        "message": { "text": result.message },
        "locations": [location(&place)],
        "partialFingerprints": { "podgate/v1": result.fingerprint },
    })
}

/// A place of the input.
pub fn location(place: &Source) -> Value {
    let mut location = json!({ "artifactLocation": { "uri": uri(&place.file) } });
    if place.line > 0 {
        location["region"] = json!({ "startLine": place.line });
        if place.column > 0 {
            location["region"]["startColumn"] = json!(place.column);
        }
    }
    json!({ "physicalLocation": location })
}

/// A path as a relative reference: what can't stand in one is percent-encoded.
pub fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_points_at_its_line() {
        let found = SarifResult {
            rule: "r".to_owned(),
            level: "warning",
            message: "m".to_owned(),
            file: "./a b/c.yaml".to_owned(),
            line: 3,
            column: 0,
            fingerprint: "f".to_owned(),
        };
        let value = log(&[], &[found]);
        let result = &value["runs"][0]["results"][0];
        assert_eq!(result["level"], "warning");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/c.yaml");
        assert_eq!(place["region"], json!({ "startLine": 3 }));
    }
}
