//! What goes wrong with a request, as the client reads it.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::model::ApiError;

/// A request that has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, where, and what to do.
    pub error: String,
}

impl Fault {
    /// With any status.
    pub fn new(status: StatusCode, error: impl Into<String>) -> Fault {
        Fault { status, error: error.into() }
    }

    /// The request means nothing.
    pub fn bad(error: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, error)
    }

    /// What it names is not there.
    pub fn missing(error: impl Into<String>) -> Fault {
        Fault::new(StatusCode::NOT_FOUND, error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&ApiError { error: self.error }).expect("text is JSON");
        (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}
