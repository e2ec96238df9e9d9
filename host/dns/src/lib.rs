//! Answers about mail hosts: MX and addresses, from a static table or the DNS.
