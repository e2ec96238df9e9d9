// Answers mail for people who are away, by their directory entry (mailAutoReplyMode and its kin), with texts of the
// operator's for certain senders and weekdays. Who must not be answered (RFC 3834 §2) is not. What becomes of the mail
// itself is left to others.

import { emit } from 'wasmta:policy/log@1.1.0';
import { now } from 'wasmta:policy/clock@1.1.0';
import { number, text } from './settings.js';
import { header, noAnswerBecause, written } from './sender.js';

const DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];

// An answer is a courtesy, not a way to make this host send long mail to strangers.
const SUBJECT_MAX = 200;
const TEXT_MAX = 8000;

// What it reads of a receiver's entry.
const READ = [
    'mailAutoReplyMode', 'mailAutoReplySubject', 'mailAutoReplyText', 'mailAutoReplyTextInternal', 'mailAutoReplyTimeOut',
    'vacationStartDate', 'vacationEndDate', 'mail', 'mailAlternateAddress', 'mailEquivalentAddress',
];

const SCHEMA = {
    type: 'object',
    additionalProperties: false,
    properties: {
        subject: { type: 'string', default: 'Auto: $SUBJECT', description: 'where the profile has none' },
        text: { type: 'string', default: '', description: 'where sender, profile and weekday have none' },
        hours: { type: 'integer', minimum: 0, maximum: 8760, default: 168, description: 'between answers to one sender' },
        'utc-offset-minutes': { type: 'integer', minimum: -720, maximum: 840, default: 0, description: 'for weekdays' },
        senders: { type: 'object', additionalProperties: { type: 'string' }, description: 'address or @domain = text' },
        weekdays: {
            type: 'object',
            additionalProperties: false,
            properties: Object.fromEntries(DAYS.map(day => [day, { type: 'string' }])),
        },
    },
};

export const plugin = {
    describe() {
        return {
            name: 'vacation-plus',
            version: '1.0.0',
            summary: 'Answers mail for people who are away, with texts by sender and weekday.',
            configSchema: JSON.stringify(SCHEMA),
            // Whether a profile asks for answers is no selector: every recipient is asked about.
            interests: [],
            // Of an entry it gets these, and nothing else.
            attrs: [['entry-attributes', READ.join(' ')]],
        };
    },
};

export const disposition = {
    decide(about, to) {
        const mode = attribute(to.profile, 'mailAutoReplyMode').toLowerCase();
        // An answer says nothing of the copy: it stays in INBOX, or goes where the next plugin wants it.
        if (!['vacation', 'reply', 'echo'].includes(mode)) return [];
        const silence = awayFault(to.profile) || noAnswerBecause(to);
        if (silence) return quiet(to, silence);
        const sender = written(to.sender);
        const words = textFor(sender, about.tenant, to.profile);
        if (!words) return quiet(to, 'there is no text');
        return [{ tag: 'auto-reply', val: answer(mode, words, sender, to) }];
    },
};

function quiet(to, reason) {
    emit('debug', 'no answer', [['account', to.account], ['reason', reason]]);
    return [];
}

/// The first value of an attribute, in any case of its name; '' for none.
function attribute(attrs, name) {
    const found = attrs.find(([key]) => key.toLowerCase() === name.toLowerCase());
    return found ? found[1].trim() : '';
}

/// Why the owner is not away now; '' where they are. A date that cannot be read means silence: wrong answers are worse
/// than none, and the mail is kept either way.
function awayFault(profile) {
    const time = now().seconds;
    const start = attribute(profile, 'vacationStartDate');
    const end = attribute(profile, 'vacationEndDate');
    if (start && !(seconds(start) <= time)) return isNaN(seconds(start)) ? 'vacationStartDate is no date' : 'not away yet';
    if (end && !(time < seconds(end))) return isNaN(seconds(end)) ? 'vacationEndDate is no date' : 'back again';
    return '';
}

/// YYYYMMDDhhmmssZ as seconds since 1970; NaN for anything else. `new Date()` without arguments would ask WASI for the
/// time and trap; Date.UTC only calculates.
function seconds(stamp) {
    const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(stamp);
    if (!parts) return NaN;
    const [year, month, day, hour, minute, second] = parts.slice(1).map(Number);
    return Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
}

/// From the most particular to the most general.
function textFor(sender, tenant, profile) {
    const domain = sender.slice(sender.lastIndexOf('@'));
    const local = new Date((now().seconds + number('utc-offset-minutes', 0) * 60) * 1000);
    return text('senders.' + sender)
        || text('senders.' + domain)
        || (domain === '@' + tenant && attribute(profile, 'mailAutoReplyTextInternal'))
        || attribute(profile, 'mailAutoReplyText')
        || text('weekdays.' + DAYS[local.getUTCDay()])
        || text('text');
}

function answer(mode, words, sender, to) {
    const subject = oneLine(header('Subject'));
    // One pass: a subject that says `$FROM` stays as it is.
    const values = { $SUBJECT: subject, $FROM: sender };
    const fill = pattern => pattern.replace(/\$(SUBJECT|FROM)/g, name => values[name]);
    const timeout = attribute(to.profile, 'mailAutoReplyTimeOut');
    // `echo` would return the message; without the body it says which one it was.
    const echo = mode === 'echo' ? `\n\n> Subject: ${subject}\n> Date: ${oneLine(header('Date'))}\n` : '';
    return {
        subject: oneLine(fill(attribute(to.profile, 'mailAutoReplySubject') || text('subject') || 'Auto: $SUBJECT')),
        text: cut(fill(words), TEXT_MAX) + echo,
        // The host remembers whom it answered: no store of ours is needed.
        onceInHours: /^\d{1,4}$/.test(timeout) ? Number(timeout) : number('hours', 168),
    };
}

/// The subject came from a stranger: no line ends or other controls, and not too long.
function oneLine(value) {
    return cut(value.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim(), SUBJECT_MAX);
}

/// By characters: half a surrogate pair is no UTF-8, and would trap on its way to the host.
function cut(value, max) {
    return [...value].slice(0, max).join('');
}
