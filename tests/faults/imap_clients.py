"""IMAP clients of the hostile kind: what they have in common, and an honest one to be served beside them."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

from instance import crowd
from trial import SECONDS_MAX, Peer, starts

USERS = 60
# How long an honest client waits for its whole session while, or after, others do their worst.
ALIVE_SECONDS_MAX = 10


def alive(server):
    """An honest client is served."""
    began = time.monotonic()
    client = reader(server, USERS)
    starts(client.tagged("STATUS INBOX (MESSAGES)"), "a OK")
    starts(client.tagged("LOGOUT"), "a OK", "* BYE")
    client.close()
    seconds = time.monotonic() - began
    assert seconds < ALIVE_SECONDS_MAX, f"an honest client waited {seconds:.1f} s"


def logged_in(server, number=1):
    client = Peer(server, "imap")
    starts(client.line(), "* OK")
    starts(client.tagged(f"LOGIN {crowd.address(number)} {crowd.PASSWORD}"), "a OK")
    return client


def reader(server, number=1):
    client = logged_in(server, number)
    starts(client.tagged("SELECT INBOX"), "a OK")
    return client


def appended(client, octets, mailbox="INBOX"):
    """A message by APPEND: sent beside what is read, whatever its size."""
    client.flood(b"a APPEND %s {%d+}\r\n%s\r\n" % (mailbox.encode(), len(octets), octets))
    while not (line := client.line()).startswith(("a ", "* BYE")):
        pass
    starts(line, "a OK")


def several(client, messages, at_once=500):
    """Many small messages, by an APPEND for some hundred of them."""
    for at in range(0, len(messages), at_once):
        literals = b"".join(b" {%d+}\r\n%s" % (len(octets), octets) for octets in messages[at : at + at_once])
        client.flood(b"a APPEND INBOX" + literals + b"\r\n")
        while not (line := client.line()).startswith(("a ", "* BYE")):
            pass
        starts(line, "a OK")
    client.tagged("NOOP")


def ends(client):
    """The last line, or nothing where the connection is cut while we still talk."""
    try:
        return client.last()
    except ConnectionError:
        return "* BYE"


def refused(client, octets):
    """Something that must not be done: NO, BAD or BYE; whatever comes, it comes soon."""
    client.flood(octets)
    line = ""
    try:
        while not line.startswith(("a NO", "a BAD", "* BYE", "a OK")):
            line = client.line()
    except (AssertionError, ConnectionError):
        line = "* BYE"
    starts(line, "a NO", "a BAD", "* BYE")


def from_address(server, address):
    """A client that comes from another address of this machine."""
    client = Peer.__new__(Peer)
    client.socket = socket.create_connection(("127.0.0.1", server.port("imap")), timeout=SECONDS_MAX, source_address=(address, 0))
    client.heard = b""
    return client


def guesses(server, address, names):
    """How each of these log-ins was answered; it ends where the server ends it."""
    answers = []
    client = from_address(server, address)
    try:
        client.line()
        client.send(b"".join(b"a LOGIN %s guess%d\r\n" % (name.encode(), at) for at, name in enumerate(names)))
        while len(answers) < len(names):
            answers.append(client.line())
    except (AssertionError, OSError):
        pass
    client.close()
    return answers


def at_once(server, addresses, names):
    with ThreadPoolExecutor(len(addresses)) as pool:
        return [line for answers in pool.map(lambda address: guesses(server, address, names), addresses) for line in answers]
