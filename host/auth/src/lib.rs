//! SASL mechanisms and password hashes, once for every protocol.
