// The configuration as plain values. The host has checked it against the schema and filled in defaults.

import { get } from 'wasmta:policy/config@1.0.0';

export function text(key) {
    const value = get(key);
    return value && value.tag === 'text' ? value.val : '';
}

export function number(key, otherwise) {
    const value = get(key);
    return value && value.tag === 'number' ? value.val : otherwise;
}
