// `disposition`: marked spam into Junk, and a folder for each subaddress that the operator names.
//
// `to->sender` is the envelope sender; `is_some` is false for the null sender, which nobody may answer.

#include <string.h>

#include "text.h"

typedef exports_wasmta_policy_disposition_list_action_t actions;

// Whether the scanner's mark is there. The header is asked for when it is needed: it costs nothing unread.
static bool is_spam(void) {
    string name = literal("X-Spam-Flag"), value;
    if (!wasmta_policy_headers_text(&name, 0, &value)) return false;
    string word = part(value, 0, first(value, ' '));
    bool spam = same(word, literal("yes"));
    plugin_string_free(&value);
    return spam;
}

static actions keep(string mailbox) {
    actions list = {room(1, sizeof *list.ptr), 1};
    list.ptr[0].tag = EXPORTS_WASMTA_POLICY_DISPOSITION_ACTION_KEEP;
    list.ptr[0].val.keep.mailbox = copy(mailbox);
    return list;
}

static actions answer(const exports_wasmta_policy_disposition_recipient_t *to) {
    if (is_spam()) return keep(literal("Junk"));
    // Only folders that the operator named: a stranger chooses the subaddress.
    plugin_list_string_t folders = strings("folders");
    bool wanted = false;
    for (size_t i = 0; i < folders.len; i++)
        wanted |= folders.ptr[i].len == to->detail.len && !memcmp(folders.ptr[i].ptr, to->detail.ptr, to->detail.len);
    plugin_list_string_free(&folders);
    if (wanted) {
        trace("has a folder", to->detail);
        return keep(to->detail);
    }
    // Nothing says where the mail goes: one copy in INBOX, or where the next plugin wants it.
    return (actions){NULL, 0};
}

bool exports_wasmta_policy_disposition_decide(exports_wasmta_policy_disposition_context_t *about,
                                              exports_wasmta_policy_disposition_recipient_t *to,
                                              exports_wasmta_policy_disposition_list_action_t *ret,
                                              exports_wasmta_policy_disposition_failure_t *err) {
    (void)err; // nothing here is expected to fail
    *ret = answer(to);
    exports_wasmta_policy_disposition_context_free(about);
    exports_wasmta_policy_disposition_recipient_free(to);
    return true;
}
