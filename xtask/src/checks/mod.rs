//! Checks of the tree that no compiler makes.

pub(crate) mod api;
pub(crate) mod arrows;
pub(crate) mod deny;
pub(crate) mod lean;
