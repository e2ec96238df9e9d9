"""A client that sends mail over one open SMTP connection, all the time, and knows which messages were taken."""

import smtplib
import threading
import time

# Between two messages: so many come in during a compilation that a lost one would be seen.
PAUSE_SECONDS = 0.05
REPLY_SECONDS_MAX = 60
JOIN_SECONDS_MAX = 90


class Steady(threading.Thread):
    """Sends until it is told to end. Whatever is not 250, or breaks the connection, is its fault."""

    def __init__(self, port, sender, recipient):
        super().__init__(daemon=True)
        self.port, self.sender, self.recipient = port, sender, recipient
        self.taken = []
        self.fault = None
        self.enough = threading.Event()

    def run(self):
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=REPLY_SECONDS_MAX) as connection:
                connection.ehlo("steady.test")
                while not self.enough.is_set():
                    self.send(connection)
                    self.enough.wait(PAUSE_SECONDS)
        except (OSError, smtplib.SMTPException) as error:
            self.fault = f"after {len(self.taken)} messages: {error!r}"

    def send(self, connection):
        name = f"steady-{len(self.taken)}-{time.monotonic_ns()}"
        connection.sendmail(self.sender, [self.recipient], f"Subject: {name}\r\n\r\nOne of many.\r\n")
        self.taken.append(name)

    def end(self):
        """Ends it; gives the names of what was taken, each once."""
        self.enough.set()
        self.join(JOIN_SECONDS_MAX)
        if self.fault is None and self.is_alive():
            self.fault = "it did not end"
        return self.taken
