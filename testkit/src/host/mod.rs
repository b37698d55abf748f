//! Conformance of hosts: whether an engine drives connectors as `docs/semantics.md` says.
//!
//! The author of an engine implements [`HostContext`] in a test: run this source into that sink, and end as you would. The
//! checks hand in *probes*, a source and a sink that write every call into one journal, across attempts and processes, and
//! judge the journal. Processes die at chosen calls, with or without the power; all in virtual time.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     use testkit::host::{self, EmbeddedHost, HostContext};
//!     let capabilities = EmbeddedHost.capabilities();
//!     testkit::Suite::new("my engine").checks(host::checks(), |_| EmbeddedHost, &capabilities).main()
//! }
//! ```
//!
//! What no probe can show is not checked here:
//!
//! | rule | why | who proves it for the embedded host |
//! |---|---|---|
//! | H-1, first half (never two callers at once) | `&mut self` forbids it | the compiler |
//! | H-24, a notice that was missed | a host that loses its own message can't be made to by its neighbours; after a restart the checks see it | `coordinate::commit` |
//! | H-42, an unfinished checkpoint is skipped, at every write of it | the files are the host's | `storage::tests::crashes` of connector-runtime |

mod checkpoint;
mod embedded;
mod end;
mod job;
mod journal;
mod judge;
mod play;
mod probe_sink;
mod probe_source;
mod restore;
mod script;
mod source;
mod watermark;
mod whole;
mod world;

pub use embedded::EmbeddedHost;
pub use job::{HostContext, HostEnd, HostJob, Start, StopRequest};

use crate::check::Check;

/// All checks of hosts.
pub fn checks<C: HostContext>() -> Vec<Check<C>> {
    let mut all = source::checks();
    all.extend(watermark::checks());
    all.extend(checkpoint::checks());
    all.extend(end::checks());
    all.extend(restore::checks());
    all.extend(whole::checks());
    all
}
