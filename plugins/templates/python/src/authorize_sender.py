"""`authorize-sender`: shared addresses are open to everybody of their domain, and nobody sends as no-reply."""

from wit_world import exports
from wit_world.exports.authorize_sender import Verdict_Allow, Verdict_Deny, Verdict_NoOpinion
from wit_world.imports.types import Reply

from host import strings, trace


class AuthorizeSender(exports.AuthorizeSender):
    def authorize(self, about, question):
        account, address = question.account, question.address
        if address.local.lower() == "no-reply":
            return Verdict_Deny(Reply(550, "5.7.1", "Nobody sends as no-reply"))
        wanted = f"{address.local}@{address.domain}".lower()
        colleague = account.rpartition("@")[2].lower() == address.domain.lower()
        if colleague and wanted in (one.lower() for one in strings("shared")):
            trace(f"{account} sends as {wanted}")
            return Verdict_Allow()
        # The host's own rule holds. `Verdict_Allow` here would let anybody send as anybody.
        return Verdict_NoOpinion()
