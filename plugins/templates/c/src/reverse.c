// `reverse`: mail from our machines leaves in the name of our domain: anna@pc7.example.org as anna@example.org.

#include "text.h"

typedef exports_wasmta_policy_reverse_verdict_t verdict;
typedef exports_wasmta_policy_reverse_request_t request;

// Whether a domain is a name below another one.
static bool is_below(string domain, string above) {
    if (domain.len <= above.len + 1) return false;
    size_t dot = domain.len - above.len - 1;
    return domain.ptr[dot] == '.' && same(part(domain, dot + 1, domain.len), above);
}

static verdict answer(string tenant, const request *asked) {
    // Mail that is handed on is another's: its sender stays. An empty tenant means the server's own rules: no domain.
    if (asked->forwarded || !tenant.len || !is_below(asked->address.domain, tenant))
        return (verdict){.tag = EXPORTS_WASMTA_POLICY_REVERSE_VERDICT_UNCHANGED};
    trace("hidden", asked->address.domain);
    return (verdict){
        .tag = EXPORTS_WASMTA_POLICY_REVERSE_VERDICT_CHANGED,
        .val.changed = {copy(asked->address.local), copy(tenant)},
    };
}

bool exports_wasmta_policy_reverse_reverse(exports_wasmta_policy_reverse_context_t *about,
                                           exports_wasmta_policy_reverse_list_request_t *batch,
                                           exports_wasmta_policy_reverse_list_verdict_t *ret,
                                           exports_wasmta_policy_reverse_failure_t *err) {
    (void)err; // nothing here is expected to fail
    // One verdict for each request, in order.
    ret->len = batch->len;
    ret->ptr = room(batch->len, sizeof *ret->ptr);
    for (size_t i = 0; i < batch->len; i++) ret->ptr[i] = answer(about->tenant, &batch->ptr[i]);
    exports_wasmta_policy_reverse_context_free(about);
    exports_wasmta_policy_reverse_list_request_free(batch);
    return true;
}
