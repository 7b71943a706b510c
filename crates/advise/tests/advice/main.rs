//! Advice on records as real packets make them: clients' ports from the ephemeral range, flags, Services translated.

mod examples;
mod failure_modes;
mod random;
mod replay;
mod score;
mod support;
