// `route-table`: rows for people whose entries have `mail`, `otherMail` and `accountActive`.
//
// Asked at synchronisation. The answer for an entry depends on that entry, the domain and the configuration alone.

#include "text.h"

typedef exports_wasmta_policy_route_table_entry_t entry;
typedef exports_wasmta_policy_route_table_rows_t rows;
typedef exports_wasmta_policy_route_table_alias_row_t alias_row;

static alias_row row(string address, string primary, const char *relation, const char *status) {
    alias_row one = {
        .address = copy(address),
        .primary = copy(primary),
        .kind = copy_of("user"),
        .relation = copy_of(relation),
        .status = copy_of(status),
        .options = {room(1, sizeof(string)), 1},
    };
    one.options.ptr[0] = copy_of("mailbox");
    return one;
}

static bool is_of(string address, string domain) {
    size_t at = last(address, '@');
    return at < address.len && same(part(address, at + 1, address.len), domain);
}

// Whether the nth attribute has this name. Names compare without case: directories differ.
static bool named(const entry *asked, size_t nth, const char *name) {
    return same(asked->attrs.ptr[nth].f0, literal(name));
}

static rows rows_of(string domain, const entry *asked) {
    // At most a row a value.
    rows found = {.aliases = {room(asked->attrs.len, sizeof(alias_row)), 0}};
    string primary = literal("");
    const char *status = "active";
    for (size_t i = 0; i < asked->attrs.len; i++) {
        string value = asked->attrs.ptr[i].f1;
        if (named(asked, i, "accountActive") && same(value, literal("FALSE"))) status = "disabled";
        if (named(asked, i, "mail") && !primary.len) primary = value;
    }
    // Addresses of other domains are not this domain's to give.
    if (is_of(primary, domain)) found.aliases.ptr[found.aliases.len++] = row(primary, literal(""), "primary", status);
    // An alternate says whose mailbox it leads to; the primary address is its own.
    for (size_t i = 0; i < asked->attrs.len; i++) {
        string value = asked->attrs.ptr[i].f1;
        if (named(asked, i, "otherMail") && is_of(value, domain))
            found.aliases.ptr[found.aliases.len++] = row(value, primary, "alternate", status);
    }
    if (!found.aliases.len) trace("no rows", asked->dn);
    return found;
}

bool exports_wasmta_policy_route_table_build(string *domain, exports_wasmta_policy_route_table_list_entry_t *batch,
                                             exports_wasmta_policy_route_table_list_rows_t *ret,
                                             exports_wasmta_policy_route_table_failure_t *err) {
    (void)err; // nothing here is expected to fail
    // One answer for each entry, in order; an entry that is none of ours has no rows.
    ret->len = batch->len;
    ret->ptr = room(batch->len, sizeof *ret->ptr);
    for (size_t i = 0; i < batch->len; i++) ret->ptr[i] = rows_of(*domain, &batch->ptr[i]);
    plugin_string_free(domain);
    exports_wasmta_policy_route_table_list_entry_free(batch);
    return true;
}
