//! What enumerators have in common: splits that wait for a reader, and work that must not block.
//!
//! An enumerator that hands out one split per request, as [`SplitFetchReader`](crate::reader::SplitFetchReader) asks, keeps
//! [`PendingSplits`] and passes every command on; what it discovers it finds in a [`Background`] task:
//!
//! ```
//! use std::task::Context;
//!
//! use connector_api::Result;
//! use connector_api::env::Environment;
//! use connector_api::id::CheckpointId;
//! use connector_api::source::{EnumeratorCommand, EnumeratorContext, Split, SplitEnumerator};
//! use connector_base::enumerator::{Background, PendingSplits};
//! # use connector_api::id::SplitId;
//! # #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! # struct Table(String);
//! # connector_api::stored!(Table, "table");
//! # impl Split for Table { fn id(&self) -> SplitId { SplitId::new(self.0.as_str()) } }
//! # async fn list() -> Result<Vec<Table>> { Ok(Vec::new()) }
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct State {
//!     listed: bool,
//!     pending: Vec<Table>,
//! }
//! connector_api::stored!(State, "tables");
//!
//! struct Tables {
//!     env: Environment,
//!     pending: PendingSplits<Table>,
//!     listing: Background<Vec<Table>>,
//! }
//!
//! impl SplitEnumerator for Tables {
//!     type Split = Table;
//!     type State = State;
//!
//!     fn handle(
//!         &mut self,
//!         command: EnumeratorCommand<Table>,
//!         context: &mut EnumeratorContext<Table>,
//!     ) -> Result<()> {
//!         if command == EnumeratorCommand::Start && !self.pending.is_complete() {
//!             self.listing = Background::start(&self.env, "list tables", list());
//!         }
//!         self.pending.handle(command, context)
//!     }
//!
//!     fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<Table>) -> Result<()> {
//!         if let Some(tables) = self.listing.poll(cx)? {
//!             self.pending.add_last(tables, context);
//!         }
//!         Ok(())
//!     }
//!
//!     fn snapshot(&mut self, _: CheckpointId) -> Result<State> {
//!         Ok(State { listed: self.pending.is_complete(), pending: self.pending.to_vec() })
//!     }
//! }
//! # impl PartialEq for Table { fn eq(&self, other: &Self) -> bool { self.0 == other.0 } }
//! ```

mod background;
mod pending;
#[cfg(test)]
mod tests;

pub use background::Background;
pub use pending::PendingSplits;
