//! Coordination as state machines without I/O: inputs in, outputs out, time as an argument.
//!
//! The tokio shell ([`crate::Job`]) and a simulated host drive the same code.
//!
//! ```text
//! checkpoint n:   idle --Trigger--> waiting for acks --Store--> storing --Stored--> Commit, notices
//!                                      \--timeout--> Abort (idle again; late acks are void)
//! ```

pub mod barrier;
pub mod checkpoint;
pub mod commit;
pub mod restart;
pub mod route;
pub mod source;
pub mod watermark;

#[cfg(test)]
mod tests;
