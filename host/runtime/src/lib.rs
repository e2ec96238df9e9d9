//! Clock, randomness, listeners, TLS, bounded streams, durable files, graceful stop.
