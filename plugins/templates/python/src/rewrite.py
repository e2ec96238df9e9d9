"""`rewrite`: where mail goes for people who moved to another name, and who has left."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.rewrite import Verdict_Again, Verdict_NoMatch, Verdict_Refuse
from wit_world.imports.types import Address, Failure, Reply

from host import strings, trace


class Rewrite(exports.Rewrite):
    def rewrite(self, about, batch):
        moved = dict(pair(line) for line in strings("moved"))
        gone = {name.lower() for name in strings("gone")}
        # One verdict for each request, in order.
        return [answer(request.address, moved, gone) for request in batch]


def pair(line):
    old, sign, new = line.partition("=")
    if not sign:
        # The operator's slip, and no bug: a failure, whose message goes to the log. Any other exception traps.
        raise Err(Failure(permanent=False, message=f"moved: no = in {line}"))
    return old.strip().lower(), new.strip()


def answer(address, moved, gone):
    name = address.local.lower()
    if name in moved:
        trace(f"{name} moved to {moved[name]}")
        # `again`: the rules look at the new address too. It must differ, or they would do so for ever.
        return Verdict_Again(Address(moved[name], address.domain))
    if name in gone:
        # A reply is printable ASCII: so no part of the address is in it.
        return Verdict_Refuse(Reply(550, "5.1.6", "This person has left"))
    return Verdict_NoMatch()
