//! What an agent writes back: conditions and Events, and the questions who somebody is and what they may.

mod event;
mod review;
mod status;

use http::Method;

pub use event::{EventAbout, EventKind};
pub use status::Condition;

pub(crate) use event::Told;

use crate::client::{Asked, Client, Fault};
use crate::error::Error;

impl Client {
    /// Sends what an agent writes. `what` says it in a sentence: "the server refuses to …".
    async fn write(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: &serde_json::Value,
        what: &str,
    ) -> Result<Vec<u8>, Error> {
        let body = body.to_string().into_bytes();
        let asked = Asked { method, path, content_type: Some(content_type), body };
        self.ask(&asked).await.map_err(|fault| self.failed(fault, what))
    }

    fn failed(&self, fault: Fault, what: &str) -> Error {
        let context = self.context().to_owned();
        match fault {
            Fault::Unreachable(why) => Error::Unreachable { context, server: self.url(), why },
            Fault::Credentials(said) | Fault::Status { code: 401, said, .. } => {
                Error::Unauthorized { context, said }
            }
            Fault::Status { code, said, .. } => Error::Refused { context, what: what.to_owned(), code, said },
        }
    }
}

const JSON: &str = "application/json";
