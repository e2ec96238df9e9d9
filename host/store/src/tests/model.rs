//! The store against a simple model, under random operations with restarts.
