//! Rules of the sink, one by one.
