//! Proves connectors: simulated files with faults and power cuts, crash points.
