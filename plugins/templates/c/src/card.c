// {{name}}: a policy plugin of wasmta for {{roles}}.
//
// A fresh instance serves each message, so keep nothing in variables outside of functions but the configuration. An answer
// that is expected to fail is `false` with the failure filled in; abort() and wild pointers are bugs, and cost the call.

#include "text.h"

// What the operator may set. The host checks it, and fills in defaults, before the plugin runs.
static const char config_schema[] =
    "{ \"type\": \"object\", \"additionalProperties\": false, \"properties\": {"
    " \"moved\": { \"type\": \"array\", \"items\": { \"type\": \"string\" }, \"default\": [], \"description\": \"old=new, local parts\" }," {{if rewrite}}
    " \"gone\": { \"type\": \"array\", \"items\": { \"type\": \"string\" }, \"default\": [], \"description\": \"local parts\" }," {{if rewrite}}
    " \"shared\": { \"type\": \"array\", \"items\": { \"type\": \"string\" }, \"default\": [], \"description\": \"addresses\" }," {{if authorize-sender}}
    " \"folders\": { \"type\": \"array\", \"items\": { \"type\": \"string\" }, \"default\": [], \"description\": \"subaddresses with a folder\" }," {{if disposition}}
    " \"trace\": { \"type\": \"boolean\", \"default\": false, \"description\": \"a line in the log for each answer\" } } }";

// What no interest matches is answered by the host, and costs nothing. No interest for a role: it is asked always. `{key}` in
// a selector stands for that key of the configuration, as in `local-contains={separator}`.
static const struct { const char *role, *selector; } interests[] = {
    {"rewrite", "position=envelope direction=to"}, {{if rewrite}}
    // {"disposition", "domain=example.org"}, {{if disposition}}
    {NULL, NULL},
};
enum { INTERESTS = sizeof interests / sizeof *interests - 1 };

// Asked at installation. It may not call the host.
void exports_wasmta_policy_plugin_describe(exports_wasmta_policy_plugin_description_t *ret) {
    *ret = (exports_wasmta_policy_plugin_description_t){
        .name = copy_of("{{name}}"),
        .version = copy_of("0.1.0"),
        .summary = copy_of("What it does, in one sentence for operators."),
        .config_schema = copy_of(config_schema),
        .interests = {room(INTERESTS, sizeof *ret->interests.ptr), INTERESTS},
    };
    for (size_t i = 0; i < INTERESTS; i++) {
        ret->interests.ptr[i].role = copy_of(interests[i].role);
        ret->interests.ptr[i].selector = copy_of(interests[i].selector);
    }
}
