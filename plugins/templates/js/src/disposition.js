// `disposition`: marked spam into Junk, and a folder for each subaddress that the operator names.
//
// `to.sender` is the envelope sender; null for the null sender, which nobody may answer.

import headers from 'wasmta:policy/headers@1.1.0';
import { strings, trace } from './host.js';

export const disposition = {
    decide(about, to) {
        // The header is asked for when it is needed: it costs nothing unread.
        const flag = headers.text('X-Spam-Flag', 0) ?? '';
        if (flag.trim().toLowerCase() === 'yes') return [keep('Junk')];
        // Only folders that the operator named: a stranger chooses the subaddress.
        if (strings('folders').includes(to.detail)) {
            trace(`${to.detail} has a folder`);
            return [keep(to.detail)];
        }
        // Nothing says where the mail goes: one copy in INBOX, or where the next plugin wants it.
        return [];
    },
};

function keep(mailbox) {
    return { tag: 'keep', val: { mailbox, labels: [] } };
}
