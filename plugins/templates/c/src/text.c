#include "text.h"

#include <stdlib.h>
#include <string.h>

void *room(size_t count, size_t size) {
    void *place = calloc(count ? count : 1, size ? size : 1);
    if (!place) abort();
    return place;
}

string copy(string from) {
    string to = {room(from.len, 1), from.len};
    memcpy(to.ptr, from.ptr, from.len);
    return to;
}

string literal(const char *text) {
    return (string){(uint8_t *)text, strlen(text)};
}

string copy_of(const char *text) {
    return copy(literal(text));
}

string part(string from, size_t begin, size_t end) {
    return (string){from.ptr + begin, end - begin};
}

size_t first(string in, char octet) {
    size_t at = 0;
    while (at < in.len && in.ptr[at] != (uint8_t)octet) at++;
    return at;
}

size_t last(string in, char octet) {
    for (size_t at = in.len; at > 0; at--)
        if (in.ptr[at - 1] == (uint8_t)octet) return at - 1;
    return in.len;
}

static uint8_t lower(uint8_t octet) {
    return octet >= 'A' && octet <= 'Z' ? octet + ('a' - 'A') : octet;
}

bool same(string one, string other) {
    if (one.len != other.len) return false;
    for (size_t i = 0; i < one.len; i++)
        if (lower(one.ptr[i]) != lower(other.ptr[i])) return false;
    return true;
}
{{if rewrite authorize-sender disposition}}

plugin_list_string_t strings(const char *key) {
    plugin_list_string_t none = {NULL, 0};
    string name = literal(key);
    wasmta_policy_config_value_t value;
    if (!wasmta_policy_config_get(&name, &value)) return none;
    if (value.tag == WASMTA_POLICY_CONFIG_VALUE_ITEMS) return value.val.items;
    wasmta_policy_config_value_free(&value);
    return none;
}
{{end}}

void trace(const char *what, string about) {
    string key = literal("trace");
    wasmta_policy_config_value_t value;
    if (!wasmta_policy_config_get(&key, &value)) return;
    bool wanted = value.tag == WASMTA_POLICY_CONFIG_VALUE_FLAG && value.val.flag;
    wasmta_policy_config_value_free(&value);
    if (!wanted) return;
    string text = literal(what);
    plugin_tuple2_string_string_t field = {literal("about"), about};
    plugin_list_tuple2_string_string_t fields = {&field, 1};
    wasmta_policy_log_emit(WASMTA_POLICY_LOG_LEVEL_DEBUG, &text, &fields);
}
