//! Inferred columns, kept beside the checkpoints so that a restore converts as before.
//!
//! The file `schema-<n>` in the checkpoint directory holds the columns of the checkpoints whose numbers are above `n`, until
//! another one of a higher number takes over: `--from none` infers anew, and the checkpoints of the run before stay
//! restorable. It is written like a checkpoint: under a hidden name, synced, renamed, and the directory synced.

use std::io::ErrorKind;
use std::path::Path;

use connector_api::env::{Access, FileSystem, Rename};
use connector_api::{Error, Result, Stored};
use serde::{Deserialize, Serialize};

use super::columns::{Schema, parse};

const NAME: &str = "schema-";
/// What is left of it after a crash is removed when the directory is opened next.
const TEMPORARY: &str = ".tmp-";

/// Columns as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptSchema(pub(super) String);

connector_api::stored!(KeptSchema, "inferred-schema");

/// The columns for checkpoint `checkpoint` of this directory; without one, the newest. None when there are none.
///
/// # Errors
///
/// [`Error::State`] naming the file when it does not decode; the file system's.
pub(super) fn find(fs: &dyn FileSystem, dir: &Path, checkpoint: Option<u64>) -> Result<Option<Schema>> {
    let entries = match fs.list(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(Error::io("list", dir)(e)),
    };
    let number = |name: &str| name.strip_prefix(NAME)?.parse::<u64>().ok();
    let numbers = entries.iter().filter_map(|entry| number(entry.name.to_str()?));
    let Some(newest) = numbers.filter(|after| checkpoint.is_none_or(|n| *after < n)).max() else {
        return Ok(None);
    };
    let path = dir.join(format!("{NAME}{newest}"));
    let unusable = |reason: String| Error::state(format!("schema file {}", path.display()), reason);
    let file = fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
    let length = file.metadata().map_err(Error::io("look at", &path))?.len;
    // A table has thousands of columns at most.
    let length = usize::try_from(length).ok().filter(|length| *length < 64 << 20);
    let mut bytes = vec![0; length.ok_or_else(|| unusable("is too long".into()))?];
    let read = file.read_full_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
    bytes.truncate(read);
    let kept = KeptSchema::from_bytes(&bytes).map_err(|e| unusable(e.to_string()))?;
    parse(&kept.0).map(Some).map_err(unusable)
}

/// Keeps the columns of the checkpoints that will have numbers above `after`, durably. Only for who holds the directory.
///
/// # Errors
///
/// The file system's.
pub(super) fn keep(fs: &dyn FileSystem, dir: &Path, after: u64, schema: &Schema) -> Result<()> {
    let name = format!("{NAME}{after}");
    let (path, temporary) = (dir.join(&name), dir.join(format!("{TEMPORARY}{name}")));
    let file = fs.open(&temporary, Access::CreateOrTruncate).map_err(Error::io("create", &temporary))?;
    file.write_all_at(&KeptSchema(schema.text()).to_bytes()?, 0).map_err(Error::io("write", &temporary))?;
    file.sync_data().map_err(Error::io("sync", &temporary))?;
    fs.rename(&temporary, &path, Rename::Replace).map_err(Error::io("rename to", &path))?;
    fs.sync_dir(dir).map_err(Error::io("sync directory", dir))
}

#[cfg(feature = "parquet")]
#[cfg(test)]
mod tests {
    use super::*;
    use testkit::fs::{PowerCut, SimFs};
    use testkit::golden::{Broken, Golden};

    const DIR: &str = "/ckpt";

    fn schema(text: &str) -> Schema {
        parse(text).unwrap()
    }

    #[test]
    fn kept_columns_are_those_of_the_run_that_a_checkpoint_belongs_to() {
        let fs = SimFs::new();
        let dir = Path::new(DIR);
        assert_eq!(find(&fs, dir, None).unwrap(), None, "no directory");
        fs.create_dir_all(dir).unwrap();
        let (first, second) = (schema(r#"["a int64"]"#), schema(r#"["b string!"]"#));
        keep(&fs, dir, 0, &first).unwrap();
        keep(&fs, dir, 64, &second).unwrap();
        assert_eq!(find(&fs, dir, None).unwrap().as_ref(), Some(&second));
        assert_eq!(find(&fs, dir, Some(64)).unwrap().as_ref(), Some(&first));
        assert_eq!(find(&fs, dir, Some(65)).unwrap().as_ref(), Some(&second));
        let after = fs.power_cut(PowerCut::SyncedOnly);
        assert_eq!(find(&after, dir, None).unwrap().as_ref(), Some(&second), "durable");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let fs = SimFs::new();
        fs.put("/ckpt/schema-7", b"nonsense").unwrap();
        let error = find(&fs, Path::new(DIR), None).unwrap_err();
        assert!(error.to_string().contains("/ckpt/schema-7"), "{error}");
    }

    #[test]
    fn kept_columns_of_every_version_are_read() -> Result<(), Broken> {
        let golden = Golden::<KeptSchema>::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
        golden.value("two", KeptSchema(schema(r#"["id int64!","a name string"]"#).text())).check()
    }
}
