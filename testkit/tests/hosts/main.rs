//! The conformance of the embedded host.
#![allow(missing_docs)]

use std::process::ExitCode;

use testkit::Suite;
use testkit::host::{self, EmbeddedHost, HostContext};

fn main() -> ExitCode {
    let capabilities = EmbeddedHost.capabilities();
    Suite::new("connector-runtime").checks(host::checks(), |_| EmbeddedHost, &capabilities).main()
}
