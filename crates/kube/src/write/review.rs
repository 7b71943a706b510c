//! Who somebody is, and what they may: asked from the API server.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::JSON;
use crate::{Client, Error};

#[derive(Deserialize)]
struct Review<S> {
    status: Option<S>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    uid: String,
    groups: Vec<String>,
    /// Passed on as it is.
    extra: Value,
}

#[derive(Deserialize)]
struct Access {
    #[serde(default)]
    allowed: bool,
    #[serde(default)]
    denied: bool,
}

impl Client {
    /// Whether the bearer of a token may GET a path that is no resource. False for a token that the server does
    /// not know.
    pub async fn may_get(&self, bearer: &str, path: &str) -> Result<bool, Error> {
        let question = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": bearer},
        });
        let what = "review a token";
        let token: Token =
            self.review("/apis/authentication.k8s.io/v1/tokenreviews", &question, what).await?;
        if !token.authenticated {
            return Ok(false);
        }
        let User { username, uid, groups, extra } = token.user;
        let mut spec = json!({
            "user": username,
            "uid": uid,
            "groups": groups,
            "nonResourceAttributes": {"path": path, "verb": "get"},
        });
        if extra.is_object() {
            spec["extra"] = extra;
        }
        let question = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec,
        });
        let what = "review an access";
        let access: Access =
            self.review("/apis/authorization.k8s.io/v1/subjectaccessreviews", &question, what).await?;
        Ok(access.allowed && !access.denied)
    }

    async fn review<S>(&self, path: &str, question: &Value, what: &str) -> Result<S, Error>
    where
        S: for<'a> Deserialize<'a>,
    {
        let text = self.write(Method::POST, path, JSON, question, what).await?;
        let unexpected = |said: String| Error::Unexpected {
            context: self.context().to_owned(),
            what: what.to_owned(),
            said,
        };
        let review: Review<S> = serde_json::from_slice(&text)
            .map_err(|error| unexpected(format!("its answer is not what an API server writes: {error}")))?;
        review.status.ok_or_else(|| unexpected("its answer has no status".to_owned()))
    }
}
