//! The connector of the tutorial (`docs/tutorial`): journals, which are files of records in a directory.
//!
//! A journal is a file `log-<anything>.bin`. One whose name begins with a dot is nobody's business but the sink's.

pub mod factory;
pub mod record;
pub mod sink;
pub mod source;
