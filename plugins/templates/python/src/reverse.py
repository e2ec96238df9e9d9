"""`reverse`: mail from our machines leaves in the name of our domain: anna@pc7.example.org as anna@example.org."""

from wit_world import exports
from wit_world.exports.reverse import Verdict_Changed, Verdict_Unchanged
from wit_world.imports.types import Address

from host import trace


class Reverse(exports.Reverse):
    def reverse(self, about, batch):
        # One verdict for each request, in order.
        return [answer(about.tenant, request) for request in batch]


def answer(tenant, request):
    domain = request.address.domain
    # Mail that is handed on is another's: its sender stays. An empty tenant means the server's own rules: no domain.
    if request.forwarded or not tenant or not domain.endswith("." + tenant):
        return Verdict_Unchanged()
    trace(f"{domain} is hidden")
    return Verdict_Changed(Address(request.address.local, tenant))
