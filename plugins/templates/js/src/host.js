// The host's side, as plain values. Each call to it counts: ask once a call, not once an address.

import { all } from 'wasmta:policy/config@1.1.0';
import { emit } from 'wasmta:policy/log@1.1.0';

// Fetched once an instance: the configuration never changes while one lives. A variant is { tag, val }.
let values;

function value(key) {
    values ??= new Map(all());
    return values.get(key);
}
{{if rewrite authorize-sender disposition}}

export function strings(key) {
    const found = value(key);
    return found?.tag === 'items' ? found.val : [];
}
{{end}}

// A line in the server's log, where the operator asked for it.
export function trace(text) {
    if (value('trace')?.val === true) emit('debug', text, []);
}
{{if rewrite reverse authorize-sender route-table}}

// Local parts and domains compare without case.
export function same(one, other) {
    return one.toLowerCase() === other.toLowerCase();
}
{{end}}
