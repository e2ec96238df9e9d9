//! The closed list of what happens, and where it is told.
