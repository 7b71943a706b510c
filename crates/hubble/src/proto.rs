//! The messages and services of `proto/`.
#![expect(missing_docs, reason = "made from proto/, where the words are")]
#![allow(clippy::all, reason = "made by a generator")]

pub use prost_types::Timestamp;

/// `flow.*` of the public Hubble API.
pub mod flow {
    tonic::include_proto!("flow");
}

/// `observer.*` of the public Hubble API.
pub mod observer {
    tonic::include_proto!("observer");
}

/// `relay.*` of the public Hubble API.
pub mod relay {
    tonic::include_proto!("relay");
}

/// The health check of gRPC.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// What podgate tells beyond the public Hubble API.
pub mod podgate {
    /// `podgate.v1.*`.
    pub mod v1 {
        tonic::include_proto!("podgate.v1");
    }
}

/// The definition of all of them, as a file descriptor set.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
