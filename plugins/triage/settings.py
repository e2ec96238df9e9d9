"""The configuration as plain values. The host has checked it against the schema and filled in defaults."""

from wit_world.imports import config


def _value(key, otherwise):
    value = config.get(key)
    return otherwise if value is None else value.value


def text(key):
    return _value(key, "")


def number(key):
    return _value(key, 0)


def strings(key):
    return _value(key, [])
