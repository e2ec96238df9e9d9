//! Rewrite rules, routing table, alias table, resolution and its explanation.
