//! An embeddable single-process host: exactly-once checkpoints, restarts, savepoints.
