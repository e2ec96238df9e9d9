"""Many local users and groups of them, and a quick look into all their mailboxes."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor

DOMAIN = "example.org"
BASE = "o=example.org,o=isp"
PASSWORD = "password"
# The clear text would be hashed anew for each: minutes. Such a hash is cheap to make and to verify.
PASSWORD_HASH = "{SSHA}yrht1iYXEIkejLVu42JWkadd80RzYWx0c2FsdA=="
# Else each first log-in would replace the hash by a costly one.
CONFIG = "upgrade-hashes = false\nparallel-max = 8\n"
READERS = 4
READ_SECONDS_MAX = 60


def address(number):
    return f"m{number:05}@{DOMAIN}"


def addresses(count):
    return [address(number) for number in range(1, count + 1)]


def dn(number):
    return f"uid=m{number:05},ou=People,{BASE}"


def users(count):
    """LDIF of that many users, to stand behind the shipped directory."""
    return "".join(
        f"\ndn: {dn(n)}\nobjectClass: inetMailUser\nuid: m{n:05}\nmail: {address(n)}\nuserPassword: {PASSWORD_HASH}\n"
        for n in range(1, count + 1)
    )


def group(name, count, *settings, groups=()):
    """LDIF of a group of the first so many of them, and of further groups; with `settings` it may be a list."""
    members = [dn(n) for n in range(1, count + 1)] + [f"cn={other},ou=Groups,{BASE}" for other in groups]
    lines = [f"dn: cn={name},ou=Groups,{BASE}", "objectClass: inetMailGroup", f"cn: {name}", f"mail: {name}@{DOMAIN}"]
    lines += [f"uniqueMember: {member}" for member in members] + list(settings)
    return "\n" + "\n".join(lines) + "\n"


def read(port, users, *fields):
    """What the INBOX of each user holds: for each user and field the values in all messages, in the order of UIDs."""
    with ThreadPoolExecutor(READERS) as readers:
        return dict(zip(users, readers.map(lambda user: inbox(port, user, fields), users)))


def inbox(port, user, fields):
    """All commands at once: a look costs one turn."""
    with socket.create_connection(("127.0.0.1", port), timeout=READ_SECONDS_MAX) as connection:
        commands = [
            f'a LOGIN "{user}" "{PASSWORD}"', "b EXAMINE INBOX",
            f"c FETCH 1:* (BODY.PEEK[HEADER.FIELDS ({' '.join(fields)})])", "d LOGOUT",
        ]
        connection.sendall("".join(command + "\r\n" for command in commands).encode())
        said = b""
        while octets := connection.recv(1 << 16):
            said += octets
    # An empty mailbox has no message 1.
    if not re.search(rb"^b OK", said, re.M) or not (re.search(rb"^c OK", said, re.M) or b"* 0 EXISTS" in said):
        raise ConnectionError(f"the mailbox of {user} could not be read: {said[-300:]!r}")
    return {field: values(said, field) for field in fields}


def values(said, field):
    return [value.decode() for value in re.findall(rb"^%s: *([^\r\n]*)" % field.encode(), said, re.M | re.I)]
