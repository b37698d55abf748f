//! `connect options NAME`: what can be set.

use connector_api::Error;
use connector_api::factory::OptionSet;
use serde_json::json;

use crate::args::OptionsArgs;
use crate::failure::Failure;
use crate::pipeline::PipelineConfig;
use crate::registry::About;
use crate::{output, registry};

/// The name that stands for the keys around source and sink.
const PIPELINE: &str = "pipeline";

/// Prints the options of a connector, or the keys around source and sink.
pub(crate) fn options(args: &OptionsArgs) -> Result<(), Failure> {
    if args.name == PIPELINE {
        let set = PipelineConfig::options();
        if args.json {
            output::line(&json!({ "name": PIPELINE, "keys": set }).to_string());
        } else {
            print("keys of a pipeline", &set);
        }
        return Ok(());
    }
    let connector = registry::registries().get(&args.name, "NAME").map_err(|e| match e {
        Error::Config { reason, .. } => {
            Failure::Configuration(format!("{reason}; `{PIPELINE}` documents the keys around them"))
        }
        other => Failure::Job(other),
    })?;
    let About { about, source, sink, .. } = connector;
    if args.json {
        let all = json!({ "name": args.name, "about": about, "source": source, "sink": sink });
        output::line(&all.to_string());
        return Ok(());
    }
    output::line(&format!("{}: {}", args.name, about));
    for (end, set) in [("source", source), ("sink", sink)] {
        if let Some(set) = set {
            output::line("");
            print(&format!("[{end}] connector = \"{}\"", args.name), &set);
        }
    }
    Ok(())
}

fn print(title: &str, set: &OptionSet) {
    output::line(title);
    let head = ["OPTION", "KIND", "DEFAULT", "REQUIRED", "IDENTITY", "WHAT IT DOES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let word = |yes: bool| if yes { "yes" } else { "-" }.to_owned();
    rows.extend(set.0.iter().map(|spec| {
        vec![
            spec.name.clone(),
            spec.kind.clone(),
            spec.default.clone().filter(|default| !default.is_empty()).unwrap_or("-".into()),
            word(spec.required),
            word(spec.identity),
            spec.doc.clone(),
        ]
    }));
    output::table(&rows);
}
