//! Parts as uploads to an object store: not visible until the commit completes them.
//!
//! # The life of an upload
//!
//! It begins when the first of its parts is full, or when the file is closed. A small hidden object, the *marker*, then tells
//! its id, before any part is put. Parts go up in the background; the committable names the id and the parts. The commit
//! completes the upload, which makes the object appear, and removes the marker. The sweep finds what dead attempts left by
//! the markers, since stores can't list uploads through this library, and aborts what no checkpoint names.
//!
//! With compaction a part must be readable before its commit: it is staged as a hidden object, and the merged file is the
//! upload. What passes unmerged is copied to its name by the commit.

mod compaction;
mod marker;
mod publish;
mod staging;
mod sweep;
mod upload;

pub(crate) use compaction::{merge, still_hidden};
pub(crate) use marker::Marker;
pub(crate) use publish::publish;
pub(crate) use staging::ObjectStaging;
pub(crate) use sweep::sweep;
pub(crate) use upload::Uploads;
