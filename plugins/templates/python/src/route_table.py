"""`route-table`: rows for people whose entries have `mail`, `otherMail` and `accountActive`.

Asked at synchronisation. The answer for an entry depends on that entry, the domain and the configuration alone.
"""

from wit_world import exports
from wit_world.exports.route_table import AliasRow, Rows

from host import trace


class RouteTable(exports.RouteTable):
    def build(self, domain, batch):
        # One answer for each entry, in order; an entry that is none of ours has no rows.
        return [rows(domain, entry) for entry in batch]


def rows(domain, entry):
    active = all(value.upper() != "FALSE" for value in values(entry, "accountActive"))
    status = "active" if active else "disabled"
    own = values(entry, "mail")[:1]
    # An alternate says whose mailbox it leads to; the primary address is its own.
    addresses = [(address, "", "primary") for address in own]
    addresses += [(address, "".join(own), "alternate") for address in values(entry, "otherMail")]
    aliases = [
        AliasRow(address, primary, "user", relation, status, options=["mailbox"], targets=[], attrs=[])
        for address, primary, relation in addresses
        if address.rpartition("@")[2].lower() == domain.lower()
    ]
    if not aliases:
        trace(f"no rows for {entry.dn}")
    return Rows(aliases, routes=[], attrs=[])


def values(entry, name):
    """The values of an attribute, in any case of its name: directories differ."""
    return [value for key, value in entry.attrs if key.lower() == name.lower()]
