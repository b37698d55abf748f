//! The sink on simulated stores.
