// Old addresses to new ones, from the tenant's table `legacy`.
//
// A row's first value decides:
//   new@example.org      the new address; rules look at it again
//   @example.org         the same local part at another domain
//   channel:host         out by this channel to this host; `channel:` leaves the host to the channel
//   !text                refused with this text; `!` alone with one of ours
// A whole batch costs one call to the host. The generated bindings stand in bindings/; `plugins/build --bindings`
// makes them anew.

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/plugin.h"

typedef plugin_string_t string;
typedef wasmta_policy_types_address_t address;
typedef exports_wasmta_policy_rewrite_request_t request;
typedef exports_wasmta_policy_rewrite_verdict_t verdict;
typedef wasmta_policy_lookup_option_attributes_t row;

// The contract's limit for the text of a reply.
enum { REPLY_TEXT_MAX = 400 };
// The address itself, and `@domain` for whatever else the domain had.
enum { KEYS_PER_REQUEST = 2 };

// ---------------------------------------------------------------- text

static void *room(size_t size) {
    void *place = malloc(size ? size : 1);
    if (!place) abort(); // the memory limit: the call fails, as the binding says
    return place;
}

static string copy(string from) {
    string to = {room(from.len), from.len};
    memcpy(to.ptr, from.ptr, from.len);
    return to;
}

static string literal(const char *text) {
    string to;
    plugin_string_dup(&to, text);
    return to;
}

static bool is(string text, const char *other) {
    return text.len == strlen(other) && memcmp(text.ptr, other, text.len) == 0;
}

static string part(string text, size_t from, size_t to) {
    string piece = {text.ptr + from, to - from};
    return piece;
}

static void lower(string text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z') text.ptr[i] += 'a' - 'A';
}

// Where a sign stands last; the length where it does not.
static size_t last(string text, uint8_t sign) {
    for (size_t i = text.len; i > 0; i--)
        if (text.ptr[i - 1] == sign) return i - 1;
    return text.len;
}

static string trimmed(string text) {
    while (text.len && text.ptr[0] == ' ') text = part(text, 1, text.len);
    while (text.len && text.ptr[text.len - 1] == ' ') text.len--;
    return text;
}

// What may stand in a domain, an address literal, a host or the name of a channel.
static bool is_name(string text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !strchr(".-_:[]", c)) return false;
    }
    return text.len > 0;
}

static bool is_local(string text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) return false;
    return text.len > 0;
}

// ---------------------------------------------------------------- verdicts

static verdict no_match(void) {
    verdict answer = {.tag = EXPORTS_WASMTA_POLICY_REWRITE_VERDICT_NO_MATCH};
    return answer;
}

static verdict refused(uint16_t code, const char *enhanced, string text) {
    verdict answer = {.tag = EXPORTS_WASMTA_POLICY_REWRITE_VERDICT_REFUSE};
    answer.val.refuse.code = code;
    answer.val.refuse.enhanced = literal(enhanced);
    answer.val.refuse.text = text;
    return answer;
}

// A row that says nothing usable must not cost mail: the sender tries again until the operator has mended it.
static verdict wrong_row(void) {
    return refused(451, "4.3.5", literal("The table of old addresses is wrong for this one; it will be mended"));
}

// `!text`. Only printable ASCII may be said to a client.
static verdict refusal(string text) {
    text = trimmed(text);
    if (text.len > REPLY_TEXT_MAX) text.len = REPLY_TEXT_MAX;
    if (!text.len) return refused(550, "5.1.6", literal("This address is no longer used"));
    string clean = copy(text);
    for (size_t i = 0; i < clean.len; i++)
        if (clean.ptr[i] < 0x20 || clean.ptr[i] > 0x7e) clean.ptr[i] = '?';
    return refused(550, "5.1.6", clean);
}

// `new@domain` or `@domain`.
static verdict moved(const request *about, string value, size_t at) {
    string local = part(value, 0, at), domain = part(value, at + 1, value.len);
    if (!at) local = about->address.local;
    if (!is_local(local) || !is_name(domain)) return wrong_row();
    verdict answer = {.tag = EXPORTS_WASMTA_POLICY_REWRITE_VERDICT_AGAIN};
    answer.val.again.local = copy(local);
    answer.val.again.domain = copy(domain);
    lower(answer.val.again.domain);
    const address *old = &about->address, *new = &answer.val.again;
    bool same = old->local.len == new->local.len && memcmp(old->local.ptr, new->local.ptr, new->local.len) == 0 &&
                old->domain.len == new->domain.len && memcmp(old->domain.ptr, new->domain.ptr, new->domain.len) == 0;
    if (!same) return answer;
    exports_wasmta_policy_rewrite_verdict_free(&answer); // said again for ever, it would be a loop
    return no_match();
}

// `channel:host`.
static verdict routed(const request *about, string value, size_t colon) {
    string channel = part(value, 0, colon), host = part(value, colon + 1, value.len);
    if (!is_name(channel) || (host.len && !is_name(host))) return wrong_row();
    verdict answer = {.tag = EXPORTS_WASMTA_POLICY_REWRITE_VERDICT_ROUTE};
    answer.val.route.address.local = copy(about->address.local);
    answer.val.route.address.domain = copy(about->address.domain);
    answer.val.route.channel = copy(channel);
    answer.val.route.host = copy(host);
    return answer;
}

static size_t first(string text, uint8_t sign) {
    const uint8_t *place = text.len ? memchr(text.ptr, sign, text.len) : NULL;
    return place ? (size_t)(place - text.ptr) : text.len;
}

static verdict decided(const request *about, const row *found) {
    // A header shows addresses; where they lead, and whether they are taken, is the envelope's business.
    bool header = is(about->position, "header");
    if (!header && is(about->direction, "from")) return no_match();
    if (!found->is_some) return no_match();
    string value = found->val.len ? trimmed(found->val.ptr[0].f1) : (string){(uint8_t *)"", 0};
    if (value.len && value.ptr[0] == '!') return header ? no_match() : refusal(part(value, 1, value.len));
    size_t at = last(value, '@'), colon = first(value, ':');
    if (at < value.len) return moved(about, value, at);
    if (header) return no_match();
    return colon < value.len ? routed(about, value, colon) : wrong_row();
}

// ---------------------------------------------------------------- exports

// The keys of an address in the table, in lower case: `local@domain` and `@domain`.
static void keys_of(const address *one, string *keys) {
    string key = {room(one->local.len + 1 + one->domain.len), one->local.len + 1 + one->domain.len};
    memcpy(key.ptr, one->local.ptr, one->local.len);
    key.ptr[one->local.len] = '@';
    memcpy(key.ptr + one->local.len + 1, one->domain.ptr, one->domain.len);
    lower(key);
    keys[0] = key;
    keys[1] = copy(part(key, one->local.len, key.len));
}

bool exports_wasmta_policy_rewrite_rewrite(exports_wasmta_policy_rewrite_context_t *about,
                                           exports_wasmta_policy_rewrite_list_request_t *batch,
                                           exports_wasmta_policy_rewrite_list_verdict_t *ret,
                                           exports_wasmta_policy_rewrite_failure_t *err) {
    string table = {(uint8_t *)"legacy", strlen("legacy")};
    plugin_list_string_t keys = {room(batch->len * KEYS_PER_REQUEST * sizeof(string)), batch->len * KEYS_PER_REQUEST};
    for (size_t i = 0; i < batch->len; i++) keys_of(&batch->ptr[i].address, keys.ptr + i * KEYS_PER_REQUEST);

    wasmta_policy_lookup_list_option_attributes_t rows;
    bool done = wasmta_policy_lookup_get_many(&table, &keys, &rows, err); // a failure of the table is our failure
    if (done) {
        ret->len = batch->len;
        ret->ptr = room(batch->len * sizeof(verdict));
        for (size_t i = 0; i < batch->len; i++) {
            const row *own = rows.ptr + i * KEYS_PER_REQUEST, *domain = own + 1;
            ret->ptr[i] = decided(&batch->ptr[i], own->is_some ? own : domain);
        }
        wasmta_policy_lookup_list_option_attributes_free(&rows);
    }
    // Arguments are ours to free: where instances are kept warm, they would add up.
    plugin_list_string_free(&keys);
    exports_wasmta_policy_rewrite_list_request_free(batch);
    exports_wasmta_policy_rewrite_context_free(about);
    return done;
}

void exports_wasmta_policy_plugin_describe(exports_wasmta_policy_plugin_description_t *ret) {
    static const char *const selectors[] = {"position=envelope direction=to", "position=header"};
    enum { COUNT = sizeof selectors / sizeof *selectors };
    memset(ret, 0, sizeof *ret);
    ret->name = literal("legacy-map");
    ret->version = literal("1.0.0");
    ret->summary = literal("Leads old addresses to new ones, by the tenant's table 'legacy'");
    ret->config_schema = literal("");
    ret->interests.len = COUNT;
    ret->interests.ptr = room(COUNT * sizeof *ret->interests.ptr);
    for (size_t i = 0; i < COUNT; i++) {
        ret->interests.ptr[i].role = literal("rewrite");
        ret->interests.ptr[i].selector = literal(selectors[i]);
    }
}
