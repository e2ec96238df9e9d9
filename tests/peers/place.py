"""What a case has at hand: the server, a folder, and ways to see what arrived."""

import email
import email.policy
import imaplib
import itertools
import subprocess
import time
from pathlib import Path

import libraries

PASSWORD = "password"
ARRIVAL_SECONDS_MAX = 15
COMMAND_SECONDS_MAX = 60
_numbers = itertools.count(1)


class Place:
    """One case's surroundings."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)

    def port(self, name):
        return self.server.port(name)

    def certificate(self):
        """The server's own certificate, for clients that must be told to trust it."""
        found = sorted(self.server.data.glob("*cert*.pem"))
        assert found, "the server has made no certificate"
        return found[0]

    def script(self, name):
        """A program beside the cases, which runs on its own."""
        return Path(__file__).resolve().parent / name

    def libraries(self):
        """The environment in which such a program finds its libraries."""
        return libraries.environment()

    def subject(self, what):
        """A subject that no other case has."""
        return f"{what} {next(_numbers)} {time.time_ns()}"

    def message(self, subject, sender="user2@example.org", to="user1@example.org", body="a line\n.\n..two dots\n"):
        return f"From: {sender}\nTo: {to}\nSubject: {subject}\n\n{body}"

    def run(self, *command, stdin="", check=True, **options):
        """Runs a client; its output goes into the failure."""
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, cwd=self.folder,
            errors="replace", **options,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(command)}\nended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        return done

    def imap(self, user):
        """A logged-in session of Python's own client, to look at what others did."""
        session = imaplib.IMAP4("127.0.0.1", self.port("imap"))
        session.starttls(insecure_tls())
        session.login(user, PASSWORD)
        return session

    def arrived(self, user, subject, mailbox="INBOX", wait=ARRIVAL_SECONDS_MAX, utf8=False):
        """The message with that subject, once it is there; its number in `.number`, its flags in `.flags`. With `utf8` for a
        client that reads UTF-8 in headers."""
        until = time.monotonic() + wait
        while True:
            session = self.imap(user)
            try:
                if utf8:
                    session.enable("UTF8=ACCEPT")
                found = find(session, subject, mailbox)
            finally:
                session.logout()
            if found is not None:
                return found
            if time.monotonic() > until:
                raise AssertionError(f"no message {subject!r} in {mailbox} of {user}")
            time.sleep(0.2)

    def absent(self, user, subject, mailbox="INBOX"):
        session = self.imap(user)
        try:
            return find(session, subject, mailbox) is None
        finally:
            session.logout()

    def put(self, user, subject, flags="", mailbox="INBOX"):
        """A message by APPEND, for clients that read."""
        session = self.imap(user)
        octets = self.message(subject).replace("\n", "\r\n").encode()
        answer = session.append(mailbox, flags, None, octets)
        session.logout()
        assert answer[0] == "OK", answer


def find(session, subject, mailbox):
    typ, _ = session.select(mailbox, readonly=True)
    if typ != "OK":
        return None
    _, numbers = session.search(None, "SUBJECT", f'"{subject}"')
    numbers = numbers[0].split() if numbers and numbers[0] else []
    if not numbers:
        return None
    assert len(numbers) == 1, f"{subject!r} is there {len(numbers)} times"
    _, answer = session.fetch(numbers[0], "(FLAGS BODY.PEEK[])")
    octets = next(part[1] for part in answer if isinstance(part, tuple))
    message = email.message_from_bytes(octets, policy=email.policy.default)
    around = b" ".join(part[0] if isinstance(part, tuple) else part for part in answer)
    message.flags = {flag.decode() for flag in imaplib.ParseFlags(around)}
    message.number = numbers[0].decode()
    message.octets = octets
    return message


def insecure_tls():
    """The sample server's certificate is its own."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
