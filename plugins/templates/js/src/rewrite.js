// `rewrite`: where mail goes for people who moved to another name, and who has left.

import { same, strings, trace } from './host.js';

export const rewrite = {
    rewrite(about, batch) {
        const moved = strings('moved').map(pair);
        const gone = strings('gone');
        // One verdict for each request, in order.
        return batch.map(request => answer(request.address, moved, gone));
    },
};

function pair(line) {
    const [old, to] = line.split('=').map(word => word.trim());
    // The operator's slip, and no bug: a failure, whose message goes to the log. Anything else that is thrown traps.
    if (!to) throw { permanent: false, message: `moved: no = in ${line}` };
    return [old, to];
}

function answer(address, moved, gone) {
    const move = moved.find(([old]) => same(old, address.local));
    if (move) {
        trace(`${move[0]} moved to ${move[1]}`);
        // `again`: the rules look at the new address too. It must differ, or they would do so for ever.
        return { tag: 'again', val: { local: move[1], domain: address.domain } };
    }
    if (gone.some(name => same(name, address.local))) {
        // A reply is printable ASCII: so no part of the address is in it.
        return { tag: 'refuse', val: { code: 550, enhanced: '5.1.6', text: 'This person has left' } };
    }
    return { tag: 'no-match' };
}
