// The host's side, as plain values. Each call to it counts: ask once a call, not once an address.

import { get } from 'wasmta:policy/config@1.0.0';
import { emit } from 'wasmta:policy/log@1.0.0';
{{if rewrite authorize-sender disposition}}

// A variant is { tag, val }; an option is the value or null.
export function strings(key) {
    const value = get(key);
    return value && value.tag === 'items' ? value.val : [];
}
{{end}}

// A line in the server's log, where the operator asked for it.
export function trace(text) {
    const wanted = get('trace');
    if (wanted && wanted.val === true) emit('debug', text, []);
}
{{if rewrite reverse authorize-sender route-table}}

// Local parts and domains compare without case.
export function same(one, other) {
    return one.toLowerCase() === other.toLowerCase();
}
{{end}}
