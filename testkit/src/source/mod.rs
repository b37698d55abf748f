//! Checks of sources: the enumerator alone, the reader alone, both under the deterministic host.

mod restore;
mod support;

use crate::capability::{Capabilities, Capability};
use crate::check::Check;
use crate::context::SourceContext;

/// All checks of sources.
pub fn checks<C: SourceContext>() -> Vec<Check<C>> {
    restore::checks()
}

/// What the author declared, and what the context shows.
pub fn capabilities<C: SourceContext>(context: &mut C) -> Capabilities {
    let declared = context.capabilities();
    if context.faults().is_some() { declared.with(Capability::Breaks) } else { declared }
}
