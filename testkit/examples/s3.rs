//! A server that speaks S3, for programs that are no tests: prints its address, and ends with its standard input.

use std::error::Error;
use std::io;

use testkit::brokers::{Broker, S3};

fn main() -> Result<(), Box<dyn Error>> {
    let server = Broker::start(S3)?;
    println!("{}", server.address());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
