//! Archives at rest: pages, bounds, tombstones.
