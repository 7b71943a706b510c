//! Where the agent sends copies of flows. What is secret comes from files or the environment: every process of a node
//! can read arguments.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use podgate_agent::{Bucket, ClickHouseOptions, ExportOptions, OtlpOptions, Secret, Url};

use crate::outcome::Failure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Exports of flows")]
pub struct ExportArguments {
    /// A collector of OpenTelemetry that takes OTLP over HTTP, such as http://127.0.0.1:4318: it gets each record as a log,
    /// and totals as metrics.
    #[arg(long, env = "PODGATE_EXPORT_OTLP", value_name = "URL")]
    export_otlp: Option<Url>,
    /// The HTTP interface of a ClickHouse server, such as http://clickhouse:8123: it gets records and totals as rows.
    #[arg(long, env = "PODGATE_EXPORT_CLICKHOUSE", value_name = "URL")]
    export_clickhouse: Option<Url>,
    /// Its database.
    #[arg(long, env = "PODGATE_EXPORT_CLICKHOUSE_DATABASE", default_value = "podgate", value_name = "NAME")]
    export_clickhouse_database: String,
    /// Who writes to it.
    #[arg(long, env = "PODGATE_EXPORT_CLICKHOUSE_USER", default_value = "default", value_name = "NAME")]
    export_clickhouse_user: String,
    /// Make the database and its tables when they are missing. Without it somebody makes them of clickhouse.sql before.
    #[arg(long, requires = "export_clickhouse")]
    export_clickhouse_create: bool,
    /// S3-compatible storage, such as `https://s3.eu-central-1.amazonaws.com`: it gets the hours that are kept on disk.
    #[arg(long, env = "PODGATE_EXPORT_S3", value_name = "URL", requires = "export_s3_bucket")]
    export_s3: Option<Url>,
    /// The bucket.
    #[arg(long, env = "PODGATE_EXPORT_S3_BUCKET", value_name = "NAME")]
    export_s3_bucket: Option<String>,
    /// The storage's region.
    #[arg(long, env = "PODGATE_EXPORT_S3_REGION", default_value = "us-east-1", value_name = "NAME")]
    export_s3_region: String,
    /// What keys start with, such as podgate/cluster-1; the node's name is added.
    #[arg(long, env = "PODGATE_EXPORT_S3_PREFIX", default_value = "podgate", value_name = "PREFIX")]
    export_s3_prefix: String,
    /// The cluster's name in what is exported.
    #[arg(long, env = "PODGATE_CLUSTER_NAME", default_value = "", value_name = "NAME")]
    cluster_name: String,
    /// A directory with a file for each secret, as a mounted Secret is one: otlp-headers (a line `name: value` each),
    /// clickhouse-password, s3-access-key, s3-secret-key, s3-session-token. Read at the start. What isn't there is taken from the
    /// environment: PODGATE_EXPORT_OTLP_HEADERS, PODGATE_EXPORT_CLICKHOUSE_PASSWORD, AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
    #[arg(long, env = "PODGATE_EXPORT_SECRETS", value_name = "DIR")]
    export_secrets: Option<PathBuf>,
}

impl ExportArguments {
    pub fn options(self) -> Result<ExportOptions, Failure> {
        let secrets = Secrets { dir: self.export_secrets };
        let otlp = match self.export_otlp {
            Some(endpoint) => {
                let text = secrets.find("otlp-headers", "PODGATE_EXPORT_OTLP_HEADERS")?.unwrap_or_default();
                let headers = headers(&text).map_err(|line| {
                    Failure::bad(format!("otlp-headers, line {line}: write each header as `name: value`"))
                })?;
                Some(OtlpOptions { endpoint, headers })
            }
            None => None,
        };
        let clickhouse = match self.export_clickhouse {
            Some(url) => Some(ClickHouseOptions {
                url,
                database: self.export_clickhouse_database,
                user: self.export_clickhouse_user,
                password: Secret(
                    secrets
                        .find("clickhouse-password", "PODGATE_EXPORT_CLICKHOUSE_PASSWORD")?
                        .unwrap_or_default(),
                ),
                create: self.export_clickhouse_create,
            }),
            None => None,
        };
        let s3 = match (self.export_s3, self.export_s3_bucket) {
            (Some(endpoint), Some(bucket)) => Some(Bucket {
                endpoint: endpoint.as_str().to_owned(),
                region: self.export_s3_region,
                bucket,
                prefix: self.export_s3_prefix,
                access_key: secrets.need("s3-access-key", "AWS_ACCESS_KEY_ID")?,
                secret_key: Secret(secrets.need("s3-secret-key", "AWS_SECRET_ACCESS_KEY")?),
                session_token: secrets.find("s3-session-token", "AWS_SESSION_TOKEN")?.map(Secret),
            }),
            _ => None,
        };
        Ok(ExportOptions { cluster: self.cluster_name, otlp, clickhouse, s3 })
    }
}

struct Secrets {
    dir: Option<PathBuf>,
}

impl Secrets {
    /// The file's text without white space around it, or the variable's.
    fn find(&self, file: &str, variable: &str) -> Result<Option<String>, Failure> {
        if let Some(path) = self.dir.as_deref().map(|dir: &Path| dir.join(file)) {
            match fs::read_to_string(&path) {
                Ok(text) => return Ok(Some(text.trim().to_owned())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::bad(format!("cannot read {}: {error}", path.display()))),
            }
        }
        Ok(std::env::var(variable).ok().filter(|value| !value.is_empty()))
    }

    fn need(&self, file: &str, variable: &str) -> Result<String, Failure> {
        self.find(file, variable)?.ok_or_else(|| {
            Failure::bad(format!(
                "the export to S3 needs {variable}, or the file {file} in the directory of --export-secrets"
            ))
        })
    }
}

/// Headers, or the number of the first line that is none.
fn headers(text: &str) -> Result<Vec<(String, Secret)>, usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = |(number, line): (usize, &str)| {
        let (name, value) = line.split_once(':').ok_or(number + 1)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match name.trim() {
            name if !name.is_empty() && name.chars().all(is_name) => {
                Ok((name.to_owned(), Secret(value.trim().to_owned())))
            }
            _ => Err(number + 1),
        }
    };
    lines.map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines_and_what_is_none_is_named_by_its_line_alone() {
        let read = headers("Authorization: Bearer a:b\n\nx-tenant: shop\n").unwrap();
        let read: Vec<_> = read.iter().map(|(name, Secret(value))| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("Authorization", "Bearer a:b"), ("x-tenant", "shop")]);
        assert_eq!(headers("a: b\nBearer token"), Err(2));
        assert_eq!(headers("two words: b"), Err(1));
    }

    #[test]
    fn a_file_comes_before_the_environment_and_a_missing_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets { dir: Some(dir.path().to_owned()) };
        // PATH is set wherever tests run.
        assert_eq!(secrets.find("clickhouse-password", "PATH").unwrap(), std::env::var("PATH").ok());
        fs::write(dir.path().join("clickhouse-password"), "word\n").unwrap();
        assert_eq!(secrets.find("clickhouse-password", "PATH").unwrap().as_deref(), Some("word"));
        let refused = secrets.need("s3-access-key", "PODGATE_TEST_NOBODY_SETS_THIS").unwrap_err();
        let words = format!("{refused:?}");
        assert!(
            words.contains("s3-access-key") && words.contains("PODGATE_TEST_NOBODY_SETS_THIS"),
            "{words}"
        );
    }
}
