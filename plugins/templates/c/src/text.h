// Text and the host's answers. A string of the contract is octets and a length, without a zero at the end.
//
// Who frees what: arguments of our functions are ours, and freed with the generated ..._free. What we return belongs to the
// host, which frees it: so every part of an answer is a copy made with malloc, never a literal and never a part of an
// argument. What we hand to the host's functions stays ours, and may be a literal.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "plugin.h" // made by wit-bindgen from wit/

typedef plugin_string_t string;

// Memory, or the end of the call: out of memory is a breach of the limit, and the binding's on-failure decides.
void *room(size_t count, size_t size);

// A copy for an answer.
string copy(string from);
string copy_of(const char *literal);

// A literal as it is, to hand to the host or to compare with. The host does not write to it.
string literal(const char *text);

// A piece of another string, without a copy.
string part(string from, size_t begin, size_t end);

// Where an octet stands first or last; the length where it does not.
size_t first(string in, char octet);
size_t last(string in, char octet);

// Compares without case: A to Z alone, as local parts and domains want it.
bool same(string one, string other);
{{if rewrite authorize-sender disposition}}

// A list of the configuration; empty where there is none. To be freed with plugin_list_string_free.
plugin_list_string_t strings(const char *key);
{{end}}

// A line in the server's log, where the operator asked for it.
void trace(const char *what, string about);
