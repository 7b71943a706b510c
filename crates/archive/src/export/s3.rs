//! Whole hours as objects of S3-compatible storage: one signed PUT for each file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac};
use podgate_flow::Timestamp;
use ureq::http::{Method, Uri};

use super::http::{Client, encoded};
use super::{Failure, Secret};
use crate::Archive;

/// A bucket, and who may write to it.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The storage's address, such as `https://s3.eu-central-1.amazonaws.com` or `http://minio:9000`.
    pub endpoint: String,
    /// Its region; what the storage wants to hear where it has none, often `us-east-1`.
    pub region: String,
    /// The bucket's name.
    pub bucket: String,
    /// What keys start with, such as `podgate/cluster-1/node-7`: nodes must not share one.
    pub prefix: String,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: Secret,
    /// Session token; none for keys that last.
    pub session_token: Option<Secret>,
}

/// A thread that uploads the archive's hours when they are over.
pub struct Upload {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: Mutex<bool>,
    wake: Condvar,
    state: Mutex<UploadState>,
}

/// How uploads are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadState {
    /// Files that were found or put there.
    pub uploaded: u64,
    /// Why the last file could not be uploaded; none when all are there. It is tried again every half minute,
    /// as long as the archive keeps the file.
    pub trouble: Option<String>,
}

const LOOK_EVERY: Duration = Duration::from_secs(30);

impl Upload {
    /// Starts to upload hours that are not there, or are there in another size.
    pub fn start(archive: Arc<Archive>, bucket: Bucket) -> std::io::Result<Upload> {
        let shared = Arc::new(Shared::default());
        let mine = shared.clone();
        let thread = std::thread::Builder::new()
            .name("export-s3".to_owned())
            .spawn(move || run(&mine, &archive, &S3 { client: Client::new(), bucket }))?;
        Ok(Upload { shared, thread: Some(thread) })
    }

    /// How they are doing.
    pub fn state(&self) -> UploadState {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        *self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell but what it told already.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, archive: &Archive, s3: &S3) {
    let mut there: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let mut uploaded = 0;
    loop {
        let mut trouble = None;
        let hours = archive.whole_hours();
        there.retain(|path, _| hours.iter().any(|(known, _)| known == path));
        for (path, bytes) in hours {
            if there.get(&path) == Some(&bytes) {
                continue;
            }
            match s3.upload(&path, bytes) {
                Ok(()) => {
                    there.insert(path, bytes);
                    uploaded += 1;
                }
                Err(failure) => trouble = Some(failure.to_string()),
            }
        }
        *shared.state.lock().unwrap_or_else(PoisonError::into_inner) = UploadState { uploaded, trouble };
        let stop = shared.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = shared.wake.wait_timeout_while(stop, LOOK_EVERY, |stop| !*stop);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 {
            return;
        }
    }
}

struct S3 {
    client: Client,
    bucket: Bucket,
}

impl S3 {
    fn upload(&self, path: &std::path::Path, bytes: u64) -> Result<(), Failure> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let key = match self.bucket.prefix.trim_matches('/') {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        let target = format!("/{}/{}", encoded(&self.bucket.bucket, b""), encoded(&key, b"/"));
        let url = format!("{}{target}", self.bucket.endpoint.trim_end_matches('/'));
        let now = now();
        let headers = self.sign(&Method::HEAD, &url, &target, b"", now)?;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if self.client.length(&url, &headers)? == Some(bytes) {
            return Ok(());
        }
        let body = std::fs::read(path)
            .map_err(|error| Failure::lasting(format!("{} can't be read: {error}", path.display())))?;
        let headers = self.sign(&Method::PUT, &url, &target, &body, now)?;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.client.send(Method::PUT, &url, &headers, &body).map(drop)
    }

    /// The headers of AWS Signature Version 4.
    fn sign(
        &self,
        method: &Method,
        url: &str,
        target: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        let bucket = &self.bucket;
        let uri: Uri = url
            .parse()
            .map_err(|error| Failure::lasting(format!("{url} is no address of a storage: {error}")))?;
        let Some(authority) = uri.authority() else {
            return Err(Failure::lasting(format!("{url} is no address of a storage: it has no host")));
        };
        let text = now.to_string();
        let date: String = text[..10].replace('-', "");
        let time = format!("{date}T{}Z", text[11..19].replace(':', ""));
        let payload = hex(digest::digest(&digest::SHA256, body).as_ref());
        let mut signed = vec![("host", authority.to_string()), ("x-amz-content-sha256", payload.clone())];
        signed.push(("x-amz-date", time.clone()));
        if let Some(Secret(token)) = &bucket.session_token {
            signed.push(("x-amz-security-token", token.clone()));
        }
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let canonical: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request = format!("{method}\n{target}\n\n{canonical}\n{names}\n{payload}");
        let scope = format!("{date}/{}/s3/aws4_request", bucket.region);
        let request = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{request}");
        let mut key = format!("AWS4{}", bucket.secret_key.0).into_bytes();
        for part in [date.as_str(), &bucket.region, "s3", "aws4_request"] {
            key = keyed(&key, part.as_bytes());
        }
        let signature = hex(&keyed(&key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            bucket.access_key
        );
        // The client names the host itself.
        let mut headers: Vec<_> = signed.into_iter().skip(1).collect();
        headers.push(("authorization", authorization));
        Ok(headers)
    }
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_nanos() as u64)
}
