//! The API over real HTTP, with a small cluster and flows that are made here.

mod access;
mod advice;
mod answers;
mod archive;
mod choices;
mod compression;
mod schema;
mod secured;
mod streams;
mod support;
