//! Runs a program and prints what it cost as JSON.

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::exit(benches::child::measure(std::env::args_os().skip(1)))
}
