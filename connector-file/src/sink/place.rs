//! Where a sink writes to.

use connector_api::{Error, Result};

use super::config::{Compaction, Rolling};
use crate::place::{Objects, Place, UploadOptions};

/// S3 and GCS refuse smaller parts, but for the last of an upload.
const SMALLEST_PART: u64 = 5 << 20;
/// S3 refuses larger parts.
const LARGEST_PART: u64 = 5 << 30;
/// Stores take 10,000 parts; a file may be longer than the limit by one record.
const MOST_PARTS: u64 = 9_000;
/// S3 copies nothing larger in one request, and a file may be longer than the limit by one record.
const LARGEST_COPY: u64 = 4 << 30;

/// Where a sink writes to, checked.
#[derive(Clone, Debug)]
pub(crate) enum SinkPlace {
    /// To the directory of the configuration.
    Local,
    /// To an object store.
    Objects(ObjectPlace),
}

/// Where and how objects are written.
#[derive(Clone, Debug)]
pub(crate) struct ObjectPlace {
    pub(crate) objects: Objects,
    pub(crate) part_size: usize,
    pub(crate) max_uploads: usize,
}

impl SinkPlace {
    /// Checks the options that only one kind of place has.
    pub(crate) fn checked(
        place: Place,
        upload: Option<&UploadOptions>,
        rolling: &Rolling,
        compaction: Option<&Compaction>,
        error: &dyn Fn(&str, String) -> Error,
    ) -> Result<Self> {
        let (objects, below) = match place {
            Place::Local(_) if upload.is_some() => {
                return Err(error(
                    "upload",
                    "is about object stores, and `path` is local; leave it out".into(),
                ));
            }
            Place::Local(_) => return Ok(Self::Local),
            Place::Objects(objects, below) => (objects, below),
        };
        if !rolling.on_checkpoint {
            let reason = "can't be false in an object store: an upload is not readable, and can't be cut, before it is \
                          complete, so no later attempt could go on with a part; leave it out and merge small files by `compaction`";
            return Err(error("rolling.on_checkpoint", reason.into()));
        }
        let upload = upload.cloned().unwrap_or_default();
        let part_size = upload.part_size.0;
        let smallest = if objects.wants_large_parts() { SMALLEST_PART } else { 1 };
        if part_size < smallest || part_size > LARGEST_PART {
            let least = if smallest == 1 { "1 B" } else { "5 MiB" };
            return Err(error("upload.part_size", format!("must be between {least} and 5 GiB")));
        }
        if upload.max_uploads == 0 || upload.max_uploads > 1_024 {
            return Err(error("upload.max_uploads", "must be between 1 and 1024".into()));
        }
        if rolling.size.0 / part_size > MOST_PARTS {
            let reason =
                format!("a file of `rolling.size` would have more than {MOST_PARTS} parts; give larger ones");
            return Err(error("upload.part_size", reason));
        }
        if compaction.is_some() && rolling.size.0 > LARGEST_COPY {
            let reason = "must be 4 GiB at most when `compaction` is on: a part that is not merged is copied to its name, and \
                          stores copy no more at once";
            return Err(error("rolling.size", reason.into()));
        }
        let objects = objects.below(&below);
        objects.at("x").map_err(|e| error("path", e.to_string()))?;
        let part_size = usize::try_from(part_size).unwrap_or(usize::MAX);
        let max_uploads = usize::try_from(upload.max_uploads).unwrap_or(usize::MAX);
        Ok(Self::Objects(ObjectPlace { objects, part_size, max_uploads }))
    }
}
