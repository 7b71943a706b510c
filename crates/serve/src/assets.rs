//! The page's files, which are part of the binary.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::compression;

mod list {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

struct File {
    plain: Form,
    packed: Option<Form>,
}

struct Form {
    bytes: &'static [u8],
    etag: String,
}

static FILES: LazyLock<BTreeMap<&'static str, File>> = LazyLock::new(|| {
    let form = |bytes| Form { bytes, etag: etag(bytes, "") };
    let files = list::FILES.iter();
    files
        .map(|(name, plain, packed)| (*name, File { plain: form(plain), packed: packed.map(form) }))
        .collect()
});

/// A text that is another one for other bytes, or for the same in another form.
pub fn etag(bytes: &[u8], form: &str) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}{form}\"", hasher.finish())
}

/// Whether a client has these bytes already.
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag))
}

/// The file at a path; `None`: there is none.
pub fn file(path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let file = FILES.get(name)?;
    let packed = file.packed.as_ref().filter(|_| compression::is_accepted(headers));
    let Form { bytes, etag } = packed.unwrap_or(&file.plain);
    let mut response = match is_known(headers, etag) {
        true => with_status(StatusCode::NOT_MODIFIED),
        false => Response::new(Body::from(*bytes)),
    };
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
    set.insert(header::ETAG, HeaderValue::from_str(etag).expect("hexadecimal digits"));
    set.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // Names with a hash in them never have other bytes.
    let caching =
        if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if packed.is_some() {
        set.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

fn with_status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "map") => "application/json",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
