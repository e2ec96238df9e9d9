// `reverse`: mail from our machines leaves in the name of our domain: anna@pc7.example.org as anna@example.org.

import { trace } from './host.js';

export const reverse = {
    reverse(about, batch) {
        // One verdict for each request, in order.
        return batch.map(request => answer(about.tenant, request));
    },
};

function answer(tenant, { address, forwarded }) {
    // Mail that is handed on is another's: its sender stays. An empty tenant means the server's own rules: no domain.
    if (forwarded || !tenant || !address.domain.endsWith('.' + tenant)) return { tag: 'unchanged' };
    trace(`${address.domain} is hidden`);
    return { tag: 'changed', val: { local: address.local, domain: tenant } };
}
