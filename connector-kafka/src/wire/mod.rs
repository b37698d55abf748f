//! The protocol on the wire, for what the bundled client lacks: transactions of producers that are gone.
