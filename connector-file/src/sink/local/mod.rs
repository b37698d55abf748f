//! Parts as files of a local directory: hidden until the commit renames them.

mod file;
mod publish;
mod restore;
mod staging;
mod sweep;

pub(crate) use file::{PartFile, Piece, buckets, concatenate, look, remove_visible, sync_dirs};
pub(crate) use publish::Publication;
pub(crate) use staging::LocalStaging;
pub(crate) use sweep::sweep;
