"""`disposition`: marked spam into Junk, and a folder for each subaddress that the operator names.

`to.sender` is the envelope sender; None for the null sender, which nobody may answer.
"""

from wit_world import exports
from wit_world.exports.disposition import Action_Keep, Filing
from wit_world.imports import headers

from host import strings, trace


class Disposition(exports.Disposition):
    def decide(self, about, to):
        # The header is asked for when it is needed: it costs nothing unread.
        flag = headers.text("X-Spam-Flag", 0) or ""
        if flag.strip().lower() == "yes":
            return [keep("Junk")]
        # Only folders that the operator named: a stranger chooses the subaddress.
        if to.detail in strings("folders"):
            trace(f"{to.detail} has a folder")
            return [keep(to.detail)]
        # Nothing says where the mail goes: one copy in INBOX, or where the next plugin wants it.
        return []


def keep(mailbox):
    return Action_Keep(Filing(mailbox, []))
