//! The sink by name.

use std::io::ErrorKind;

use async_trait::async_trait;
use connector_api::factory::{FactoryContext, OptionSet, Options, Payload, SinkFactory};
use connector_api::sink::Sink;
use connector_api::{Error, Result};

use super::FileSink;
use super::config::{SinkConfig, SinkOptions};
use super::place::SinkPlace;
use crate::format::FileBatch;

/// Makes file sinks from options.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSinkFactory;

fn read<B: FileBatch>(options: &Options, context: &FactoryContext) -> Result<SinkConfig> {
    let parsed: SinkOptions = options.parse()?;
    parsed.checked::<B>(&context.base_dir, &|name, reason| options.error(name, reason))
}

#[async_trait]
impl<B: FileBatch> SinkFactory<B> for FileSinkFactory {
    fn options(&self) -> OptionSet {
        OptionSet::of::<SinkOptions>()
    }

    fn create(&self, options: &Options, context: &FactoryContext) -> Result<Box<dyn Sink<B>>> {
        Ok(Box::new(FileSink::<B>::of(read::<B>(options, context)?)))
    }

    fn payload(&self, options: &Options) -> Result<Option<Payload>> {
        let format = options.parse::<SinkOptions>()?.format;
        Ok(B::carries(format).is_ok().then(|| B::payload(format)))
    }

    /// The directory, or the nearest one above it that exists, is a directory that can be listed. Whether it can be written
    /// to is told only by writing, which a check must not do. A prefix of an object store can be listed.
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        let config = read::<B>(options, context)?;
        if let SinkPlace::Objects(place) = &config.place {
            return place.objects.check(&options.path("path")).await;
        }
        let (fs, path) = (context.env.fs.clone(), options.path("path"));
        let checked = context.env.blocking("check the directory", move || {
            let refuse = |reason: String| Err(Error::config(path.clone(), reason));
            for dir in config.dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
                match fs.metadata(dir) {
                    Ok(found) if !found.is_dir => {
                        return refuse(format!("{} is not a directory", dir.display()));
                    }
                    Ok(_) => {
                        return match fs.list(dir) {
                            Ok(_) => Ok(()),
                            Err(e) => refuse(format!("can't list {}: {e}", dir.display())),
                        };
                    }
                    Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                    Err(e) => return refuse(format!("can't reach {}: {e}", dir.display())),
                }
            }
            Ok(())
        });
        checked.await
    }
}
