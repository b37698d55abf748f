//! `connect list`: the connectors.

use crate::{output, registry};

/// Prints one line for each connector: its name, what it has, and what it connects to.
pub(crate) fn list() {
    let rows: Vec<Vec<String>> = registry::registries()
        .list()
        .into_iter()
        .map(|connector| {
            let ends = match (connector.source.is_some(), connector.sink.is_some()) {
                (true, true) => "source, sink",
                (true, false) => "source",
                (false, true) => "sink",
                (false, false) => "-",
            };
            vec![connector.name.to_owned(), ends.to_owned(), connector.about.to_owned()]
        })
        .collect();
    output::table(&rows);
}
