// {{name}}: a policy plugin of wasmta for {{roles}}.
//
// The engine is QuickJS: modern JavaScript without Node and without a browser. There is no console, no TextEncoder, no
// timer. `new Date()` and `Date.now()` trap: import `clock` for the time. Math.random() gives every instance the same
// numbers: import `random`. What runs outside of functions runs once, when the component is built; so keep no state there
// but the configuration.

export { rewrite } from './rewrite.js'; {{if rewrite}}
export { reverse } from './reverse.js'; {{if reverse}}
export { authorizeSender } from './authorize-sender.js'; {{if authorize-sender}}
export { disposition } from './disposition.js'; {{if disposition}}
export { routeTable } from './route-table.js'; {{if route-table}}

// What the operator may set. The host checks it, and fills in defaults, before the plugin runs.
const CONFIG_SCHEMA = {
    type: 'object',
    additionalProperties: false,
    properties: {
        moved: { type: 'array', items: { type: 'string' }, default: [], description: 'old=new, local parts' }, {{if rewrite}}
        gone: { type: 'array', items: { type: 'string' }, default: [], description: 'local parts' }, {{if rewrite}}
        shared: { type: 'array', items: { type: 'string' }, default: [], description: 'addresses' }, {{if authorize-sender}}
        folders: { type: 'array', items: { type: 'string' }, default: [], description: 'subaddresses with a folder' }, {{if disposition}}
        trace: { type: 'boolean', default: false, description: 'a line in the log for each answer' },
    },
};

export const plugin = {
    // Asked at installation. It may not call the host.
    describe() {
        return {
            name: '{{name}}',
            version: '0.1.0',
            summary: 'What it does, in one sentence for operators.',
            configSchema: JSON.stringify(CONFIG_SCHEMA),
            // What no interest matches is answered by the host, and costs nothing. No interest: asked always. `{key}` in a
            // selector stands for that key of the configuration, as in `local-contains={separator}`.
            interests: [
                { role: 'rewrite', selector: 'position=envelope direction=to' }, {{if rewrite}}
                // { role: 'disposition', selector: 'domain=example.org' }, {{if disposition}}
            ],
            attrs: [],
        };
    },
};
