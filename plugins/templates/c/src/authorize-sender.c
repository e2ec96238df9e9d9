// `authorize-sender`: shared addresses are open to everybody of their domain, and nobody sends as no-reply.

#include "text.h"

typedef exports_wasmta_policy_authorize_sender_verdict_t verdict;
typedef exports_wasmta_policy_authorize_sender_request_t request;

// Whether `local@domain` is this address.
static bool names(string written, const exports_wasmta_policy_authorize_sender_address_t *address) {
    size_t at = last(written, '@');
    return at < written.len && same(part(written, 0, at), address->local) &&
           same(part(written, at + 1, written.len), address->domain);
}

static verdict answer(const request *asked) {
    if (same(asked->address.local, literal("no-reply")))
        return (verdict){
            .tag = EXPORTS_WASMTA_POLICY_AUTHORIZE_SENDER_VERDICT_DENY,
            .val.deny = {550, copy_of("5.7.1"), copy_of("Nobody sends as no-reply")},
        };
    size_t at = last(asked->account, '@');
    bool colleague = at < asked->account.len && same(part(asked->account, at + 1, asked->account.len), asked->address.domain);
    plugin_list_string_t shared = strings("shared");
    bool allowed = false;
    for (size_t i = 0; colleague && i < shared.len; i++) allowed |= names(shared.ptr[i], &asked->address);
    plugin_list_string_free(&shared);
    if (allowed) trace("sends as a shared address", asked->account);
    // Otherwise the host's own rule holds. ALLOW there would let anybody send as anybody.
    return (verdict){.tag = allowed ? EXPORTS_WASMTA_POLICY_AUTHORIZE_SENDER_VERDICT_ALLOW
                                    : EXPORTS_WASMTA_POLICY_AUTHORIZE_SENDER_VERDICT_NO_OPINION};
}

bool exports_wasmta_policy_authorize_sender_authorize(exports_wasmta_policy_authorize_sender_context_t *about,
                                                      exports_wasmta_policy_authorize_sender_request_t *question,
                                                      exports_wasmta_policy_authorize_sender_verdict_t *ret,
                                                      exports_wasmta_policy_authorize_sender_failure_t *err) {
    (void)err; // nothing here is expected to fail
    *ret = answer(question);
    exports_wasmta_policy_authorize_sender_context_free(about);
    exports_wasmta_policy_authorize_sender_request_free(question);
    return true;
}
