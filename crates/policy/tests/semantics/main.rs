//! What the engine decides, case by case: each test is named after the numbered case of the
//! specification that it holds.

mod blocks;
mod cluster_policies;
mod deltas;
mod fixture;
mod hairpin;
mod kinds;
mod lifecycle;
mod order;
mod ports;
mod rules;
mod selection;
