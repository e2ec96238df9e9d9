//! The directory: embedded DIT, schema, entries, change log.
