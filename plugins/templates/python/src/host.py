"""The host's side, as plain values. Each call to it counts: ask once a call, not once an address."""

from functools import cache

from wit_world.imports import config, log


@cache
def values():
    """Fetched once an instance: the configuration never changes while one lives."""
    return dict(config.all())
{{if rewrite authorize-sender disposition}}


def strings(key):
    """A variant is an object of a class per case, with `value`."""
    value = values().get(key)
    return value.value if isinstance(value, config.Value_Items) else []
{{end}}


def trace(text):
    """A line in the server's log, where the operator asked for it."""
    wanted = values().get("trace")
    if isinstance(wanted, config.Value_Flag) and wanted.value:
        log.emit(log.Level.DEBUG, text, [])
