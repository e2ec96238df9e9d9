"""Sorts mail by its header: spam into Junk, the operator's rules, lists into folders of their own, and a flag on mail
from the people whom the receiver's profile names. Every sorted copy says why, in a field X-Triage."""

import json
import re

from wit_world import exports
from wit_world.exports.disposition import Action_AddHeader, Action_Keep, Field, Filing
from wit_world.exports.plugin import Description
from wit_world.imports import headers
from componentize_py_types import Err
from wit_world.imports.types import Failure

import rules
from settings import number, strings, text

FLAGGED = "\\Flagged"

# A folder's name comes from a stranger's header.
FOLDER_CHARACTERS_MAX = 60

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "junk": {"type": "string", "default": "Junk"},
        "spam-header": {
            "type": "string",
            "default": "X-Spam-Score",
            "description": "a field that this host's own scanner sets, and that it takes off mail from outside",
        },
        "spam-at": {"type": "integer", "minimum": 0, "default": 5, "description": "the score from which mail is spam"},
        "lists": {"type": "string", "default": "Lists", "description": "above the folders of lists; empty: not sorted"},
        "vip-attribute": {"type": "string", "default": "mailVip", "description": "addresses and @domains in the profile"},
        "rules": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "FIELD contains|is|starts|ends|exists [TEXT] -> MAILBOX [LABEL ...]; the first that fits",
        },
    },
}


class Plugin(exports.Plugin):
    def describe(self) -> Description:
        # Headers are no selector: every recipient is asked about.
        return Description(
            name="triage",
            version="1.0.0",
            summary="Files lists, flags mail from people who matter, and moves spam, by the header alone.",
            config_schema=json.dumps(SCHEMA),
            interests=[],
            # Of an entry it gets this, and nothing else.
            attrs=[("entry-attributes", "{vip-attribute}")],
        )


class Disposition(exports.Disposition):
    def decide(self, about, to):
        spam = spam_score()
        if spam is not None and spam >= number("spam-at"):
            # A spammer may well claim to be somebody who matters: no flag here.
            return sorted_to(text("junk"), [], f"spam-score {spam:g}")
        vip = named_vip(to)
        labels = [FLAGGED] if vip else []
        reasons = [f"vip {vip}"] if vip else []
        mailbox, more, reason = by_rule() or by_list() or ("", [], "")
        if reason:
            reasons.append(reason)
        if not reasons:
            # No action: one copy in INBOX, or wherever the next plugin wants it.
            return []
        return sorted_to(mailbox, labels + [label for label in more if label not in labels], "; ".join(reasons))


def sorted_to(mailbox, labels, reason):
    # A field's value is printable ASCII here, whatever the stranger wrote.
    plain = re.sub(r"[^\x20-\x7e]", "?", reason)[:200]
    return [Action_AddHeader(Field("X-Triage", plain)), Action_Keep(Filing(mailbox, labels))]


def spam_score():
    """The number that the scanner's field begins with; None without one."""
    value = headers.text(text("spam-header"), 0)
    found = re.match(r"\s*([+-]?\d{1,6}(\.\d{1,6})?)", value or "")
    return float(found[1]) if found else None


def named_vip(to):
    """Which of the profile's people sent this. Anybody can claim to be them: a flag draws the eye and permits nothing."""
    if to.sender is None:
        return ""
    name = text("vip-attribute").lower()
    wanted = {value.strip().lower() for key, value in to.profile if key.lower() == name}
    domain = "@" + to.sender.domain.lower()
    sender = to.sender.local.lower() + domain
    return sender if sender in wanted or domain in wanted else ""


def by_rule():
    for line in strings("rules"):
        try:
            rule = rules.parse(line)
        except ValueError as fault:
            # The operator's slip, and no bug: the binding's on-failure decides about the mail.
            raise Err(Failure(permanent=False, message=f"rule {line!r}: {fault}"))
        if rule.fits(headers.text):
            return rule.mailbox, rule.labels, f"rule {rule.field} {rule.test}"
    return None


def by_list():
    """List-Id: Rust users <rust-users.lists.example.org> goes into Lists/rust-users (RFC 2919)."""
    value = headers.text("List-Id", 0)
    above = text("lists")
    if value is None or not above:
        return None
    found = re.search(r"<\s*([^<>\s]+)\s*>", value) or re.match(r"\s*(\S+)", value)
    name = re.sub(r"[^a-z0-9_-]+", "-", (found[1] if found else "").lower().split(".")[0]).strip("-")
    if not name:
        return None
    return f"{above}/{name[:FOLDER_CHARACTERS_MAX]}", [], f"list {name[:FOLDER_CHARACTERS_MAX]}"
