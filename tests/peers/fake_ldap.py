"""A little LDAP server that lies on demand: it forgets cookies (e-syncRefreshRequired), talks nonsense, or points elsewhere.

It answers binds and searches over one fixed tree, by RFC 4511, RFC 2696 and RFC 4533, as far as the cases need.
"""

import contextlib
import socketserver
import threading
import time

SYNC_REQUEST = b"1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE = b"1.3.6.1.4.1.4203.1.9.1.2"
SYNC_INFO = b"1.3.6.1.4.1.4203.1.9.1.4"
REFRESH_REQUIRED = 4096

TREE = {
    "o=isp": {"objectClass": ["top", "organization"], "o": ["isp"]},
    "o=fake.test,o=isp": {
        "objectClass": ["top", "organization", "sunManagedOrganization", "mailDomain"], "sunPreferredDomain": ["fake.test"],
        "mailDomainStatus": ["active"],
    },
    "uid=anna,o=fake.test,o=isp": {"objectClass": ["top", "inetMailUser"], "uid": ["anna"], "mail": ["anna@fake.test"]},
    "o=internet": {"objectClass": ["top", "organization"], "o": ["internet"]},
}


def ber(tag, *parts):
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def number(value, tag=2):
    return ber(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value, tag=4):
    return ber(tag, value if isinstance(value, bytes) else value.encode())


def elements(content):
    """The elements of a constructed value: tag and content each."""
    found = []
    while content:
        tag, length, at = content[0], content[1], 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(content[2:2 + count], "big"), 2 + count
        found.append((tag, content[at:at + length]))
        content = content[at + length:]
    return found


class FakeLdap:
    """One server on the loopback; `refusals` is how often each base forgets its cookie."""

    def __init__(self, forgets=False, tree=None):
        self.tree = TREE if tree is None else tree
        # What it shows besides, wherever one asks.
        self.strangers = {}
        self.refusals = 0
        self.refused = 0
        self.nonsense = False
        self.bases_refused = {}
        # Whom it heard of: a name for each bind.
        self.binds = []
        self.connections = 0
        # By base: where the base itself lies (result code 10), and what its answer is continued with.
        self.referrals = {}
        self.references = {}
        # So many times each answer leads one level further down, to this server itself.
        self.deeper = False
        # After so many entries of a search: the connection ends, or the result is sizeLimitExceeded. Before each: a wait.
        self.cut_after = self.limit_after = None
        self.delay = 0
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                # Whoever has lost patience is gone.
                with contextlib.suppress(ConnectionError):
                    fake.serve(self)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self.forgets = forgets
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"ldap://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def serve(self, handler):
        self.connections += 1
        while True:
            message = self.message(handler.rfile)
            if message is None:
                return
            parts = elements(message)
            identifier, (operation, body) = parts[0][1], parts[1]
            controls = dict(self.control(value) for _, value in elements(parts[2][1])) if len(parts) > 2 else {}

            def send(content, controls=b"", identifier=identifier):
                further = ber(0xA0, controls) if controls else b""
                handler.wfile.write(ber(0x30, octets(identifier, 2), content, further))

            if operation == 0x60:
                self.binds.append(elements(body)[1][1].decode())
                send(ber(0x61, number(0, 10), octets(""), octets("")))
            elif operation == 0x63:
                if self.nonsense:
                    # A well-formed element of a kind that no answer to a search has.
                    send(ber(0x7E, octets("what?")))
                    continue
                if self.search(body, controls, send) == "cut":
                    return
            elif operation == 0x42:
                return

    @staticmethod
    def message(stream):
        head = stream.read(2)
        if len(head) < 2:
            return None
        length = head[1]
        if length & 0x80:
            length = int.from_bytes(stream.read(length & 0x7F), "big")
        return stream.read(length)

    @staticmethod
    def control(value):
        parts = elements(value)
        return parts[0][1], parts[-1][1] if len(parts) > 1 else b""

    def search(self, body, controls, send):
        parts = elements(body)
        base, scope = parts[0][1].decode(), parts[1][1][0]
        if base in self.referrals:
            urls = ber(0xA3, *map(octets, self.referrals[base]))
            send(ber(0x65, number(10, 10), octets(""), octets("elsewhere"), urls))
            return None
        if self.deeper:
            send(ber(0x73, octets(f"{self.url}/ou=deeper,{base.replace(' ', '%20')}??sub")))
        for urls in self.references.get(base, []):
            send(ber(0x73, *map(octets, urls)))
        wanted = [dn for dn in self.tree if dn == base or scope == 2 and dn.endswith("," + base)]
        # A filter that asks for an address or a domain: this tree has none but its own.
        asked = parts[6][1]
        if b"@" in asked or b"sunPreferredDomain" in asked:
            wanted = [dn for dn in wanted if any(value.encode() in asked for value in self.tree[dn].get("mail", ["\0"]))]
        wanted += self.strangers
        time.sleep(self.delay)
        if SYNC_REQUEST not in controls:
            for number_sent, dn in enumerate(wanted):
                if number_sent == self.cut_after:
                    return "cut"
                if number_sent == self.limit_after:
                    send(ber(0x65, number(4, 10), octets(""), octets("too many")))
                    return None
                send(self.entry(dn))
            send(ber(0x65, number(0, 10), octets(""), octets("")))
            return None
        # `syncRequestValue ::= SEQUENCE { mode, cookie OPTIONAL, … }`
        has_cookie = any(tag == 4 for tag, _ in elements(elements(controls[SYNC_REQUEST])[0][1]))
        if has_cookie and self.bases_refused.get(base, 0) < self.refusals:
            self.bases_refused[base] = self.bases_refused.get(base, 0) + 1
            self.refused += 1
            send(ber(0x65, number(REFRESH_REQUIRED, 10), octets(""), octets("cookie is stale")))
            return None
        if not has_cookie:
            for dn in wanted:
                state = ber(0x30, number(1, 10), octets(self.uuid(dn)))
                send(self.entry(dn), ber(0x30, octets(SYNC_STATE), octets(state)))
        done = ber(0xA1 if has_cookie else 0xA2, octets("cookie-1"))
        send(ber(0x79, octets(SYNC_INFO, 0x80), octets(done, 0x81)))
        return None

    def uuid(self, dn):
        return (list(self.tree | self.strangers).index(dn) + 1).to_bytes(16, "big")

    def entry(self, dn):
        text = self.uuid(dn).hex()
        named = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        attributes = (self.tree | self.strangers)[dn] | {"entryUUID": [named], "modifyTimestamp": ["20260101000000Z"]}
        listed = [ber(0x30, octets(name), ber(0x31, *map(octets, values))) for name, values in attributes.items()]
        return ber(0x64, octets(dn), ber(0x30, *listed))
