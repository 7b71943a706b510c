//! The answer to gRPC's health check: who can ask it is served.

use tonic::{Request, Response, Status};

use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::{Health, HealthServer};
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving;

impl Serving {
    pub(crate) fn service() -> HealthServer<Serving> {
        HealthServer::new(Serving)
    }
}

#[tonic::async_trait]
impl Health for Serving {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match request.into_inner().service.as_str() {
            // The second is what the hubble command asks for.
            "" | "hubble.server.Observer" | "observer.Observer" | "podgate.v1.Records" => {
                Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
            }
            other => Err(Status::not_found(format!("no service {other:?} is served here"))),
        }
    }
}
