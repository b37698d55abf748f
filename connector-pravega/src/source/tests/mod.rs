//! The source on simulated stores: streams that are scaled while they are read, and what else a stream may do.

mod rules;
mod scaling;
