// `rewrite`: where mail goes for people who moved to another name, and who has left.

#include <string.h>

#include "text.h"

typedef exports_wasmta_policy_rewrite_verdict_t verdict;
typedef exports_wasmta_policy_rewrite_address_t address;

static verdict answer(const address *asked, const plugin_list_string_t *moved, const plugin_list_string_t *gone) {
    for (size_t i = 0; i < moved->len; i++) {
        string line = moved->ptr[i];
        size_t sign = first(line, '=');
        if (!same(part(line, 0, sign), asked->local)) continue;
        trace("moved", line);
        // `again`: the rules look at the new address too. It must differ, or they would do so for ever.
        return (verdict){
            .tag = EXPORTS_WASMTA_POLICY_REWRITE_VERDICT_AGAIN,
            .val.again = {copy(part(line, sign + 1, line.len)), copy(asked->domain)},
        };
    }
    for (size_t i = 0; i < gone->len; i++)
        if (same(gone->ptr[i], asked->local))
            // A reply is printable ASCII: so no part of the address is in it.
            return (verdict){
                .tag = EXPORTS_WASMTA_POLICY_REWRITE_VERDICT_REFUSE,
                .val.refuse = {550, copy_of("5.1.6"), copy_of("This person has left")},
            };
    return (verdict){.tag = EXPORTS_WASMTA_POLICY_REWRITE_VERDICT_NO_MATCH};
}

// The operator's slip, and no bug: a failure, whose message goes to the log.
static bool well_formed(const plugin_list_string_t *moved, exports_wasmta_policy_rewrite_failure_t *fault) {
    static const char text[] = "moved: no = in ";
    for (size_t i = 0; i < moved->len; i++) {
        string line = moved->ptr[i];
        if (first(line, '=') < line.len) continue;
        size_t head = sizeof text - 1;
        fault->permanent = false;
        fault->message = (string){room(head + line.len, 1), head + line.len};
        memcpy(fault->message.ptr, text, head);
        memcpy(fault->message.ptr + head, line.ptr, line.len);
        return false;
    }
    return true;
}

bool exports_wasmta_policy_rewrite_rewrite(exports_wasmta_policy_rewrite_context_t *about,
                                           exports_wasmta_policy_rewrite_list_request_t *batch,
                                           exports_wasmta_policy_rewrite_list_verdict_t *ret,
                                           exports_wasmta_policy_rewrite_failure_t *err) {
    plugin_list_string_t moved = strings("moved"), gone = strings("gone");
    bool done = well_formed(&moved, err);
    if (done) {
        // One verdict for each request, in order.
        ret->len = batch->len;
        ret->ptr = room(batch->len, sizeof *ret->ptr);
        for (size_t i = 0; i < batch->len; i++) ret->ptr[i] = answer(&batch->ptr[i].address, &moved, &gone);
    }
    plugin_list_string_free(&moved);
    plugin_list_string_free(&gone);
    exports_wasmta_policy_rewrite_context_free(about);
    exports_wasmta_policy_rewrite_list_request_free(batch);
    return done;
}
