// The configuration as plain values. The host has checked it against the schema and filled in defaults.

import { all } from 'wasmta:policy/config@1.1.0';

// Fetched once an instance. The configuration never changes while one lives; nothing else may be kept like this.
let values;

function value(key) {
    values ??= new Map(all());
    return values.get(key);
}

export function text(key) {
    const found = value(key);
    return found?.tag === 'text' ? found.val : '';
}

export function number(key, otherwise) {
    const found = value(key);
    return found?.tag === 'number' ? found.val : otherwise;
}
