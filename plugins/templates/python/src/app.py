"""{{name}}: a policy plugin of wasmta for {{roles}}.

CPython runs in the component, without an operating system: no files, no sockets, no environment, no clock. `time.time()`
traps: import `clock` from the host. `random` gives every instance the same numbers: import `random` from the host. All
imports of modules happen when the component is built, and so does whatever stands outside of functions; keep no state
there but the configuration.
"""

import json

from wit_world import exports
from wit_world.exports.plugin import Description
from wit_world.exports.plugin import Interest {{if rewrite}}

# The roles: componentize-py looks for these names in this module.
from authorize_sender import AuthorizeSender {{if authorize-sender}}
from disposition import Disposition {{if disposition}}
from reverse import Reverse {{if reverse}}
from rewrite import Rewrite {{if rewrite}}
from route_table import RouteTable {{if route-table}}

# What the operator may set. The host checks it, and fills in defaults, before the plugin runs.
CONFIG_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "moved": {"type": "array", "items": {"type": "string"}, "default": [], "description": "old=new, local parts"}, {{if rewrite}}
        "gone": {"type": "array", "items": {"type": "string"}, "default": [], "description": "local parts"}, {{if rewrite}}
        "shared": {"type": "array", "items": {"type": "string"}, "default": [], "description": "addresses"}, {{if authorize-sender}}
        "folders": {"type": "array", "items": {"type": "string"}, "default": [], "description": "subaddresses with a folder"}, {{if disposition}}
        "trace": {"type": "boolean", "default": False, "description": "a line in the log for each answer"},
    },
}


class Plugin(exports.Plugin):
    def describe(self) -> Description:
        """Asked at installation. It may not call the host."""
        return Description(
            name="{{name}}",
            version="0.1.0",
            summary="What it does, in one sentence for operators.",
            config_schema=json.dumps(CONFIG_SCHEMA),
            # What no interest matches is answered by the host, and costs nothing. No interest: asked always. `{key}` in a
            # selector stands for that key of the configuration, as in `local-contains={separator}`.
            interests=[
                Interest("rewrite", "position=envelope direction=to"), {{if rewrite}}
                # Interest("disposition", "domain=example.org"), {{if disposition}}
            ],
            attrs=[],
        )
