"""The configuration as plain values. The host has checked it against the schema and filled in defaults."""

from functools import cache

from wit_world.imports import config


@cache
def _values():
    """Fetched once an instance. The configuration never changes while one lives; nothing else may be kept like this."""
    return {key: value.value for key, value in config.all()}


def text(key):
    return _values().get(key, "")


def number(key):
    return _values().get(key, 0)


def strings(key):
    return _values().get(key, [])
