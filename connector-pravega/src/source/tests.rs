//! The source on simulated stores.
