//! Rules of the state machine that more than one of its parts take part in.
