//! A factory over the connectors in memory.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::{
    ConnectorFactory, FactoryContext, OptionSet, OptionSpec, Options, SinkFactory, SourceFactory,
};
use connector_api::secret::Secret;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ledger, Numbers};
use crate::factory::{Example, FactorySubject, Values};

/// What makes [`MemoryFactory`] break a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactoryFlaw {
    /// It breaks none.
    #[default]
    None,
    /// K-1: an option does not say what it does.
    Undocumented,
    /// K-1: an option is taken and not listed.
    Unlisted,
    /// K-1: what is documented as the default is refused.
    FalseDefault,
    /// K-2: an option that is not known is ignored.
    TakesUnknown,
    /// K-2: an option that is missing is not named.
    MissingUnnamed,
    /// K-3: an option with a wrong value is not named.
    WrongUnnamed,
    /// K-4: `create` looks at the directory.
    CreateLooks,
    /// K-4: `create` starts a task.
    CreateSpawns,
    /// K-5: the directory is not part of the identity.
    ForgetsIdentity,
    /// K-5: the size of batches is part of the identity.
    TuningIsIdentity,
    /// K-6: `check` makes the directory.
    CheckMakes,
    /// K-6: `check` accepts everything.
    CheckAccepts,
    /// K-6: `check` accepts options that `create` refuses.
    CheckTakesUnknown,
    /// F-1: an error shows the password.
    ShowsSecret,
    /// S-5: the password is part of the identity.
    SecretIsIdentity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parsed {
    dir: PathBuf,
    #[serde(default)]
    batch: Option<u32>,
    #[serde(default)]
    retry: Retry,
    #[serde(default)]
    password: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(default)]
    times: u32,
}

/// Makes [`Numbers`] and [`Ledger`]s from options; its `check` wants the directory `dir` to be there.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFactory {
    flaw: FactoryFlaw,
}

impl MemoryFactory {
    /// A factory with a flaw.
    pub fn new(flaw: FactoryFlaw) -> Self {
        Self { flaw }
    }

    fn specs(self) -> OptionSet {
        let spec = |name: &str, kind: &str, default: Option<&str>, doc: &str| OptionSpec {
            name: name.into(),
            kind: kind.into(),
            default: default.map(str::to_owned),
            required: name == "dir",
            identity: name == "dir",
            doc: doc.into(),
        };
        let mut specs = vec![
            spec("dir", "string", None, "The directory."),
            spec("batch", "integer", Some("1000"), "Rows per batch."),
            spec("retry", "table", None, "What follows a failure."),
            spec("retry.times", "integer", Some("0"), "How often it is tried again."),
            spec("password", "secret", None, "Opens the directory."),
        ];
        match self.flaw {
            FactoryFlaw::Undocumented => specs[1].doc.clear(),
            FactoryFlaw::Unlisted => drop(specs.remove(1)),
            FactoryFlaw::FalseDefault => specs[1].default = Some("lots".into()),
            FactoryFlaw::ForgetsIdentity => specs[0].identity = false,
            FactoryFlaw::TuningIsIdentity => specs[1].identity = true,
            FactoryFlaw::SecretIsIdentity => specs[4].identity = true,
            _ => {}
        }
        OptionSet(specs)
    }

    fn parse(self, options: &Options) -> Result<Parsed> {
        let parsed = match self.flaw {
            FactoryFlaw::TakesUnknown => options.parse::<Values>().and_then(|mut values| {
                values.retain(|name, _| name != "no_such_option");
                if let Some(Value::Object(retry)) = values.get_mut("retry") {
                    retry.retain(|name, _| name != "no_such_option");
                }
                let prefix = options.path("");
                Options::new(prefix.trim_end_matches('.'), values).parse()
            }),
            _ => options.parse::<Parsed>(),
        };
        parsed.map_err(|error| match (self.flaw, error) {
            (FactoryFlaw::MissingUnnamed, Error::Config { reason, .. }) if reason.contains("missing") => {
                Error::config("options", "one is missing")
            }
            (FactoryFlaw::WrongUnnamed, Error::Config { reason, .. }) if reason.contains("invalid") => {
                Error::config("options", reason)
            }
            (_, error) => error,
        })
    }

    fn make(self, options: &Options, context: &FactoryContext) -> Result<()> {
        let parsed = self.parse(options)?;
        match self.flaw {
            FactoryFlaw::CreateLooks => drop(context.env.fs.metadata(&parsed.dir)),
            FactoryFlaw::CreateSpawns => {
                drop(context.env.spawner.spawn("connect", Box::pin(std::future::pending())));
            }
            _ => {}
        }
        let _ = (parsed.batch, parsed.retry.times);
        Ok(())
    }

    fn look(self, options: &Options, context: &FactoryContext) -> Result<()> {
        let parsed = match self.flaw {
            FactoryFlaw::CheckTakesUnknown => Self::new(FactoryFlaw::TakesUnknown).parse(options)?,
            _ => self.parse(options)?,
        };
        let dir = context.resolve(parsed.dir);
        match self.flaw {
            FactoryFlaw::CheckAccepts => return Ok(()),
            FactoryFlaw::CheckMakes => drop(context.env.fs.create_dir_all(&dir.with_extension("checked"))),
            _ => {}
        }
        let listed = context.env.fs.list(&dir).map(drop);
        listed.map_err(|error| match (self.flaw, &parsed.password) {
            (FactoryFlaw::ShowsSecret, Some(password)) => {
                options.error("dir", format!("{error} with password {}", password.expose()))
            }
            _ => options.error("dir", format!("can't list {}: {error}", dir.display())),
        })
    }
}

#[async_trait]
impl SourceFactory<Vec<String>> for MemoryFactory {
    fn options(&self) -> OptionSet {
        self.specs()
    }

    fn create(&self, options: &Options, context: &FactoryContext) -> Result<BoxSource<Vec<String>>> {
        self.make(options, context)?;
        Ok(erase(Numbers::new().source()))
    }

    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        self.look(options, context)
    }
}

#[async_trait]
impl SinkFactory<Vec<String>> for MemoryFactory {
    fn options(&self) -> OptionSet {
        self.specs()
    }

    fn create(&self, options: &Options, context: &FactoryContext) -> Result<Box<dyn Sink<Vec<String>>>> {
        self.make(options, context)?;
        Ok(Box::new(Ledger::new().sink()))
    }

    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        self.look(options, context)
    }
}

impl ConnectorFactory<Vec<String>> for MemoryFactory {
    fn identifier(&self) -> &'static str {
        "memory"
    }

    fn about(&self) -> &'static str {
        "Rows in memory, for testkit's own tests."
    }

    fn source(&self) -> Option<&dyn SourceFactory<Vec<String>>> {
        Some(self)
    }

    fn sink(&self) -> Option<&dyn SinkFactory<Vec<String>>> {
        Some(self)
    }
}

fn values(value: Value) -> Values {
    if let Value::Object(values) = value { values } else { Values::new() }
}

/// [`MemoryFactory`] under test.
#[async_trait]
impl FactorySubject for MemoryFactory {
    type Batch = Vec<String>;

    fn factory(&self) -> Box<dyn ConnectorFactory<Vec<String>>> {
        Box::new(*self)
    }

    fn source(&self) -> Option<Example> {
        Some(Example {
            options: values(json!({ "dir": "rows", "batch": 10, "retry": { "times": 3 } })),
            elsewhere: values(json!({ "dir": "others" })),
            tuned: values(json!({ "batch": 20 })),
            unreachable: values(json!({ "dir": "missing" })),
        })
    }

    fn sink(&self) -> Option<Example> {
        FactorySubject::source(self)
    }

    async fn prepare(&mut self, env: &Environment) -> Result<()> {
        let dir = Path::new("/base/rows");
        env.fs.create_dir_all(dir).map_err(Error::io("make", dir))
    }
}
