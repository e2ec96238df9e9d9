// `authorize-sender`: shared addresses are open to everybody of their domain, and nobody sends as no-reply.

import { same, strings, trace } from './host.js';

export const authorizeSender = {
    authorize(about, { account, address }) {
        if (same(address.local, 'no-reply')) {
            return { tag: 'deny', val: { code: 550, enhanced: '5.7.1', text: 'Nobody sends as no-reply' } };
        }
        const wanted = `${address.local}@${address.domain}`;
        const colleague = same(account.slice(account.lastIndexOf('@') + 1), address.domain);
        if (colleague && strings('shared').some(one => same(one, wanted))) {
            trace(`${account} sends as ${wanted}`);
            return { tag: 'allow' };
        }
        // The host's own rule holds. `allow` here would let anybody send as anybody.
        return { tag: 'no-opinion' };
    },
};
