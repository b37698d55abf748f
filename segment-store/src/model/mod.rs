//! What streams are: scopes, streams, epochs of segments, transactions and watermarks, as a state machine without I/O.
//!
//! A change is a [`StreamOp`]. [`Streams::check`] says whether it may be made, [`Streams::apply`] makes it and tells what it
//! means for the segments' data as [`SegmentEffect`]s. The log holds operations that were checked, so that recovery applies the same ones in the
//! same order and comes to the same state: `apply` depends on nothing else.
