"""The operator's rules: `Subject contains invoice -> Money/In \\Flagged work`."""

from dataclasses import dataclass

FIELDS_MAX = 20
"""How many fields of one name a rule looks at: a header may repeat one for ever."""

TESTS = {
    "contains": lambda value, words: words in value,
    "is": lambda value, words: value == words,
    "starts": lambda value, words: value.startswith(words),
    "ends": lambda value, words: value.endswith(words),
    "exists": lambda value, words: True,
}


@dataclass
class Rule:
    field: str
    test: str
    words: str
    mailbox: str
    labels: list

    def fits(self, text):
        """`text(name, nth)` gives the nth field of a name, or None. Letters compare without case."""
        for nth in range(FIELDS_MAX):
            value = text(self.field, nth)
            if value is None:
                return False
            if TESTS[self.test](value.strip().lower(), self.words):
                return True
        return False


def parse(line):
    condition, arrow, target = line.rpartition("->")
    if not arrow:
        raise ValueError("-> MAILBOX is missing")
    field, test, words = (condition.split(None, 2) + ["", "", ""])[:3]
    if test not in TESTS:
        raise ValueError(f"the test is one of {', '.join(TESTS)}")
    words = words.strip().lower()
    if not words and test != "exists":
        raise ValueError(f"{test} what?")
    names = target.split()
    if not names:
        raise ValueError("the mailbox is missing")
    return Rule(field, test, words, "" if names[0] == "INBOX" else names[0], names[1:])
