//! How much one command may cost.

/// The maxima of one command. Every one is checked before memory is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command's lines, literals not counted.
    pub line_octets: usize,
    /// Octets of all literals of a command, the message of an APPEND not counted.
    pub literal_octets: u64,
    /// Octets of the message of an APPEND.
    pub append_octets: u64,
    /// Octets of one non-synchronizing literal: no bound of its own with LITERAL+, 4096 with
    /// LITERAL- (RFC 7888 §5).
    pub non_synchronizing_octets: u64,
    /// How deep NOT and parentheses of a search nest, and what OR has on either side, but for another OR.
    pub depth: usize,
    /// Ranges in one sequence set.
    pub set_items: usize,
    /// Search keys in one command, nested ones counted.
    pub search_keys: usize,
    /// Members of any other list: fetch items, flags, header field names, status items, patterns.
    pub list_items: usize,
    /// Mailbox names come in UTF-8, `&` standing for itself: the client has enabled it (RFC 6855 §3, RFC 9051 §5.1).
    pub utf8_names: bool,
}

impl Limits {
    /// RFC 7888 §5: the largest non-synchronizing literal where LITERAL- is announced.
    pub const LITERAL_MINUS_OCTETS: u64 = 4096;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Long UID sets are usual (mbsync, Thunderbird); RFC 2683 §3.2.1.5 asks for 8000 at least.
            line_octets: 64 * 1024,
            literal_octets: 64 * 1024,
            append_octets: 64 * 1024 * 1024,
            non_synchronizing_octets: u64::MAX,
            // Some frames of the stack each. Filters of clients put each alternative in parentheses of its own.
            depth: 100,
            set_items: 10_000,
            search_keys: 1_000,
            list_items: 500,
            utf8_names: false,
        }
    }
}
