// Whether a message may be answered.

import headers from 'wasmta:policy/headers@1.1.0';

/// The decoded text of the first field of that name; '' for none.
export function header(name) {
    return headers.text(name, 0) ?? '';
}

/// Addresses in a field. Comments and quoted names may add some that are none: it is only asked whether the receiver is
/// among them.
function addressesIn(name) {
    return header(name).toLowerCase().match(/[^\s<>,;:"()]+@[^\s<>,;:"()]+/g) ?? [];
}

/// An address as it is compared.
export function written({ local, domain }) {
    return `${local}@${domain}`.toLowerCase();
}

// Those who speak for programs (RFC 3834 §2, RFC 5230 §4.6).
const PROGRAMS = /^(mailer-daemon|listserv|listproc|majordomo|postmaster|no-?reply|do-?not-?reply|bounces?|owner-.*|.*-(request|owner|relay|bounces?))(\+.*)?$/;

/// A reason not to answer, or ''.
export function noAnswerBecause(to) {
    // Reports and answers have none, so that nobody answers them.
    if (!to.sender) return 'null sender';
    if (PROGRAMS.test(to.sender.local.toLowerCase())) return 'the sender is a program';
    const submitted = header('Auto-Submitted').toLowerCase().split(';')[0].trim();
    if (submitted && submitted !== 'no') return 'Auto-Submitted: ' + submitted;
    const list = ['List-Id', 'List-Post', 'List-Unsubscribe', 'List-Help'].find(name => headers.text(name, 0) != null);
    if (list) return list;
    const precedence = header('Precedence').toLowerCase().trim();
    if (['bulk', 'list', 'junk'].includes(precedence)) return 'Precedence: ' + precedence;
    if (/\b(all|oof|autoreply)\b/i.test(header('X-Auto-Response-Suppress'))) return 'X-Auto-Response-Suppress';
    // An answer to spam goes to whoever the spammer named.
    if (/^yes\b/i.test(header('X-Spam-Flag').trim())) return 'spam';
    return addressFault(to);
}

/// Mail that does not name its receiver is bulk, whatever it says of itself (RFC 5230 §4.5).
function addressFault(to) {
    const own = new Set([written(to.address), written(to.original), to.account.toLowerCase()]);
    for (const [name, value] of to.profile) {
        if (/^mail(alternateaddress|equivalentaddress)?$/i.test(name)) own.add(value.toLowerCase());
    }
    if (own.has(written(to.sender))) return 'from the receiver';
    const named = ['To', 'Cc', 'Bcc', 'Resent-To', 'Resent-Cc'].flatMap(addressesIn);
    return named.some(one => own.has(one)) ? '' : 'the receiver is not named';
}
