// Who sent it, and whether they may be answered.

import headers from 'wasmta:policy/headers@1.0.0';

/// The decoded text of the first field of that name; '' for none.
export function header(name) {
    return headers.text(name, 0) ?? '';
}

/// Addresses in a field. Comments and quoted names may add some that are none: that only makes the plugin more silent. No
/// controls: a sender goes into the answer's text, and a NUL there would make the whole answer invalid.
function addressesIn(name) {
    return header(name).toLowerCase().match(/[^\s\u0000-\u001f\u007f<>,;:"()]+@[^\s\u0000-\u001f\u007f<>,;:"()]+/g) ?? [];
}

/// The envelope sender: as the host names it, as an earlier host wrote it down, or else who the header says it is. The
/// answer itself goes where the host sends it; here it chooses the text.
export function addressOf(about) {
    const told = about.attrs.find(([name]) => name === 'sender');
    if (told) return told[1].toLowerCase();
    if (headers.text('Return-Path', 0) != null) return addressesIn('Return-Path')[0] ?? '';
    return addressesIn('From').at(-1) ?? '';
}

// Those who speak for programs (RFC 3834 §2, RFC 5230 §4.6).
const PROGRAMS = /^(mailer-daemon|listserv|listproc|majordomo|postmaster|no-?reply|do-?not-?reply|bounces?|owner-.*|.*-(request|owner|relay|bounces?))(\+.*)?$/;

/// A reason not to answer, or ''.
export function noAnswerBecause(about, to) {
    const submitted = header('Auto-Submitted').toLowerCase().split(';')[0].trim();
    if (submitted && submitted !== 'no') return 'Auto-Submitted: ' + submitted;
    const list = ['List-Id', 'List-Post', 'List-Unsubscribe', 'List-Help'].find(name => headers.text(name, 0) != null);
    if (list) return list;
    const precedence = header('Precedence').toLowerCase().trim();
    if (['bulk', 'list', 'junk'].includes(precedence)) return 'Precedence: ' + precedence;
    if (/\b(all|oof|autoreply)\b/i.test(header('X-Auto-Response-Suppress'))) return 'X-Auto-Response-Suppress';
    // An answer to spam goes to whoever the spammer named.
    if (/^yes\b/i.test(header('X-Spam-Flag').trim())) return 'spam';
    const sender = addressOf(about);
    if (!sender) return 'null sender';
    if (PROGRAMS.test(sender.slice(0, sender.lastIndexOf('@')))) return 'the sender is a program';
    return addressFault(sender, to);
}

/// Mail that does not name its receiver is bulk, whatever it says of itself (RFC 5230 §4.5).
function addressFault(sender, to) {
    const own = new Set([to.address, to.original].map(one => `${one.local}@${one.domain}`.toLowerCase()));
    own.add(to.account.toLowerCase());
    for (const [name, value] of to.profile) {
        if (/^mail(alternateaddress|equivalentaddress)?$/i.test(name)) own.add(value.toLowerCase());
    }
    if (own.has(sender)) return 'from the receiver';
    const named = ['To', 'Cc', 'Bcc', 'Resent-To', 'Resent-Cc'].flatMap(addressesIn);
    return named.some(one => own.has(one)) ? '' : 'the receiver is not named';
}
