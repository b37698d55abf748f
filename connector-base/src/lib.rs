//! What connector authors build on: the split-fetch reader, byte formats.
