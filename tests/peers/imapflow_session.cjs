// A session of Node's `imapflow` (a library): arguments are port, user and password. Prints what it heard while it waited.
'use strict';

const assert = require('assert');
const { ImapFlow } = require('imapflow');

const [port, user, pass] = process.argv.slice(2);
const WAIT_MILLISECONDS_MAX = 20000;
const NAME = 'Flow/Größe';

const message = (number) =>
    `From: Anna <a@example.net>\r\nTo: ${user}\r\nSubject: flow ${number}\r\nMIME-Version: 1.0\r\n` +
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\ntext ${number}\r\n` +
    `--b\r\nContent-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--\r\n`;

const connect = async () => {
    const client = new ImapFlow({
        host: '127.0.0.1', port: Number(port), secure: true, auth: { user, pass }, logger: false, tls: { rejectUnauthorized: false },
    });
    await client.connect();
    return client;
};

const until = async (what, holds) => {
    const end = Date.now() + WAIT_MILLISECONDS_MAX;
    while (!holds()) {
        assert(Date.now() < end, `${what} did not come`);
        await new Promise((done) => setTimeout(done, 20));
    }
};

const main = async () => {
    const first = await connect();
    const second = await connect();
    await first.mailboxCreate(NAME);
    assert((await first.list()).some((box) => box.path === NAME), 'the mailbox is not listed');
    for (let number = 0; number < 5; number += 1) {
        const appended = await first.append(NAME, message(number), number === 1 ? ['\\Seen'] : [], new Date('2026-02-03T04:05:06Z'));
        assert.strictEqual(appended.uid, number + 1);
    }
    assert.deepStrictEqual(
        (({ messages, unseen, uidNext }) => ({ messages, unseen, uidNext }))(await first.status(NAME, { messages: true, unseen: true, uidNext: true })),
        { messages: 5, unseen: 4, uidNext: 6 },
    );
    let heard = 0;
    await second.mailboxOpen(NAME);
    second.on('exists', () => { heard += 1; });
    second.on('expunge', () => { heard += 1; });
    second.on('flags', () => { heard += 1; });
    const waiting = second.idle();
    const lock = await first.getMailboxLock(NAME);
    try {
        assert.strictEqual(first.mailbox.exists, 5);
        assert.deepStrictEqual(await first.search({ seen: false }), [1, 3, 4, 5]);
        assert.deepStrictEqual(await first.search({ subject: 'flow 3' }, { uid: true }), [4]);
        const seen = [];
        for await (const one of first.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, size: true, internalDate: true })) {
            assert.strictEqual(one.envelope.subject, `flow ${one.uid - 1}`);
            assert.strictEqual(one.bodyStructure.childNodes.length, 2);
            assert.strictEqual(one.bodyStructure.childNodes[1].parameters.name, 'a.png');
            assert.strictEqual(one.size, message(one.uid - 1).length);
            assert.strictEqual(one.internalDate.getTime(), Date.UTC(2026, 1, 3, 4, 5, 6));
            seen.push(one.uid);
        }
        assert.deepStrictEqual(seen, [1, 2, 3, 4, 5]);
        const part = await first.download('3', '1', { uid: true });
        const pieces = [];
        for await (const piece of part.content) pieces.push(piece);
        assert.strictEqual(Buffer.concat(pieces).toString(), 'text 2');
        await first.messageFlagsAdd('1:2', ['\\Flagged', 'custom'], { uid: true });
        const flagged = await first.fetchOne('1', { flags: true });
        assert(flagged.flags.has('\\Flagged') && flagged.flags.has('custom'));
        await first.append(NAME, message(5));
        await first.messageDelete('5', { uid: true });
        await until('what the other did', () => heard >= 3);
        await first.mailboxCreate('Flow moved');
        const moved = await first.messageMove('1:2', 'Flow moved', { uid: true });
        assert.strictEqual(moved.uidMap.size, 2);
    } finally {
        lock.release();
    }
    await second.mailboxClose();
    await waiting;
    for (const name of ['Flow moved', NAME]) await first.mailboxDelete(name);
    await first.logout();
    await second.logout();
    console.log(JSON.stringify({ heard }));
};

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
