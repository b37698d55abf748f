//! Where files lie: in a local directory, or as objects below a prefix of an object store.

mod errors;
mod input;
mod memory;
mod objects;
mod open;
mod options;
mod wait;

use std::path::{Path, PathBuf};

use connector_api::{Error, Result};

pub use memory::MemoryStore;
pub use objects::Store;
pub use options::{StoreOptions, UploadOptions};

pub(crate) use input::ObjectInput;
pub(crate) use objects::{Completion, Object, Objects, Revision};
pub(crate) use wait::wait;

/// What the option `path` stands for, with the table `store`.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A local path, made absolute.
    Local(PathBuf),
    /// Objects, and the path below them: below the bucket for a URL.
    Objects(Objects, String),
}

impl Place {
    /// Reads the option `path`, with the table `store` beside it.
    ///
    /// # Errors
    ///
    /// Those of the options, made by `error` from an option's name and a reason.
    pub(crate) fn of(
        path: &Path,
        base_dir: &Path,
        options: Option<&StoreOptions>,
        error: &dyn Fn(&str, String) -> Error,
    ) -> Result<Self> {
        let url = path.to_str().and_then(|text| text.split_once("://"));
        let Some((scheme, rest)) = url else {
            if options.is_some() {
                return Err(error(
                    "store",
                    "is about object stores, and `path` is local; leave it out".into(),
                ));
            }
            return Ok(Self::Local(base_dir.join(path)));
        };
        let (bucket, below) = rest.split_once('/').unwrap_or((rest, ""));
        let below = below.trim_end_matches('/');
        if bucket.is_empty() {
            return Err(error(
                "path",
                format!("{} names no bucket; give {scheme}://BUCKET/PREFIX", path.display()),
            ));
        }
        let none = StoreOptions::default();
        let store = open::open(scheme, bucket, options.unwrap_or(&none), error)?;
        let url = format!("{scheme}://{bucket}");
        Ok(Self::Objects(Objects::new(store, url, ""), below.to_owned()))
    }

    /// Objects of a store that the program made; `path` is below its root.
    ///
    /// # Errors
    ///
    /// When the path is no text, or has a scheme.
    pub(crate) fn within(
        store: std::sync::Arc<dyn Store>,
        path: &Path,
        error: &dyn Fn(&str, String) -> Error,
    ) -> Result<(Objects, String)> {
        let Some(text) = path.to_str() else {
            return Err(error("path", "must be UTF-8 in an object store".into()));
        };
        if text.contains("://") {
            return Err(error(
                "path",
                "is below the root of the store that was handed in; leave the scheme out".into(),
            ));
        }
        let url = store.to_string();
        Ok((Objects::new(store, url, ""), text.trim_matches('/').to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, store: Option<&str>) -> Result<Place> {
        let store: Option<StoreOptions> = store.map(|text| serde_json::from_str(text).unwrap());
        Place::of(Path::new(path), Path::new("/base"), store.as_ref(), &|name, reason| {
            Error::config(name, reason)
        })
    }

    #[test]
    fn a_path_with_a_scheme_is_an_object_store_and_any_other_is_local() {
        let Ok(Place::Local(path)) = of("in/x", None) else { panic!() };
        assert_eq!(path, Path::new("/base/in/x"));
        let Ok(Place::Objects(_, below)) = of("memory://bucket/a/b/", None) else { panic!() };
        assert_eq!(below, "a/b");
        let Ok(Place::Objects(_, below)) = of("memory://bucket", None) else { panic!() };
        assert_eq!(below, "");
    }

    #[test]
    fn what_a_path_can_not_be_is_refused_by_the_name_of_its_option() {
        let cases = [
            ("ftp://x/y", None, "path"),
            ("memory:///y", None, "path"),
            ("in", Some(r#"{"region": "x"}"#), "store"),
            ("memory://x", Some(r#"{"region": "x"}"#), "store.region"),
        ];
        for (path, store, expected) in cases {
            match of(path, store) {
                Err(Error::Config { option, .. }) => assert_eq!(option, expected, "{path}"),
                other => panic!("{path}: {other:?}"),
            }
        }
    }

    #[test]
    fn one_name_of_a_store_in_memory_is_one_store() {
        let stores =
            ["memory://one/a", "memory://one/b", "memory://two/a"].map(|path| match of(path, None) {
                Ok(Place::Objects(objects, _)) => objects,
                other => panic!("{other:?}"),
            });
        let key = |objects: &Objects| objects.at("k").unwrap();
        wait(stores[0].put(&key(&stores[0]), bytes::Bytes::from_static(b"x"))).unwrap().unwrap();
        assert!(wait(stores[1].look(&key(&stores[1]))).unwrap().unwrap().is_some());
        assert!(wait(stores[2].look(&key(&stores[2]))).unwrap().unwrap().is_none());
    }
}
