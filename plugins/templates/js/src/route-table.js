// `route-table`: rows for people whose entries have `mail`, `otherMail` and `accountActive`.
//
// Asked at synchronisation. The answer for an entry depends on that entry, the domain and the configuration alone.

import { same, trace } from './host.js';

export const routeTable = {
    build(domain, batch) {
        // One answer for each entry, in order; an entry that is none of ours has no rows.
        return batch.map(entry => rows(domain, entry));
    },
};

function rows(domain, entry) {
    const active = values(entry, 'accountActive').every(value => !same(value, 'FALSE'));
    const primary = values(entry, 'mail')[0] ?? '';
    const row = relation => address => ({
        address,
        // Whose mailbox an alternate leads to; the primary address is its own.
        primary: relation === 'primary' ? '' : primary,
        kind: 'user',
        relation,
        status: active ? 'active' : 'disabled',
        options: ['mailbox'],
        targets: [],
        attrs: [],
    });
    const all = [
        ...[primary].filter(Boolean).map(row('primary')),
        ...values(entry, 'otherMail').map(row('alternate')),
    ];
    const aliases = all.filter(({ address }) => same(address.slice(address.lastIndexOf('@') + 1), domain));
    if (!aliases.length) trace(`no rows for ${entry.dn}`);
    return { aliases, routes: [], attrs: [] };
}

// The values of an attribute, in any case of its name: directories differ.
function values(entry, name) {
    return entry.attrs.filter(([key]) => same(key, name)).map(([, value]) => value);
}
