"""Flags of a plugin as a whole: that it loads, and what loading it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from fusionkit.contract.registry import PluginInfo

from .checks import ConformanceError

# Run by a fresh interpreter. The finder finds nothing: it only notes the plugin's line
# that leads to torch, since sys.modules alone would not tell.
_IMPORT = """
import importlib.metadata, json, sys, traceback
import os, pluggy
from fusionkit.host import collecting, plugins
from fusionkit.host.plugins import GROUP, load_plugins

HOST = (plugins.__file__, collecting.__file__, os.path.dirname(pluggy.__file__) + os.sep)

class Watch:
    asked = None
    def find_spec(self, name, path=None, target=None):
        if name == "torch" and Watch.asked is None:
            frames = [f for f in traceback.extract_stack()[:-1] if "importlib" not in f.filename]
            host = max(n for n, f in enumerate(frames) if f.filename.startswith(HOST))
            Watch.asked = "{0.filename}:{0.lineno}".format(frames[host + 1])

sys.meta_path.insert(0, Watch())
name, origin, inline = json.loads(sys.argv[1])
if inline:
    load_plugins(inline=[origin], entry_points=(), strict=True)
else:
    point = importlib.metadata.EntryPoint(name, origin, GROUP)
    load_plugins(entry_points=[point], strict=True)
print("\\n" + json.dumps(Watch.asked if "torch" in sys.modules else None))
"""


def loads(plugin: PluginInfo) -> None:
    """Check that the plugin is imported and its hooks called without an error."""
    if plugin.status == "failed":
        raise ConformanceError(
            f"plugin {plugin.name} ({plugin.source}) failed to load: {plugin.error}"
        )
    if plugin.status != "loaded":
        raise ConformanceError(f"plugin {plugin.name} ({plugin.source}) is {plugin.status}")


def light_import(plugin: PluginInfo) -> None:
    """Check that importing the plugin and calling its hooks does not import torch."""
    # An entry point names a module, a plugin without one is a file.
    inline = plugin.distribution is None and plugin.origin.endswith(".py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("FUSIONKIT_DISABLE_PLUGINS", None)
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, json.dumps([plugin.name, plugin.origin, inline])],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ConformanceError(
            f"plugin {plugin.name} cannot be loaded by a fresh interpreter: {last}"
        )
    asked = json.loads(done.stdout.splitlines()[-1])
    if asked is not None:
        raise ConformanceError(
            f"plugin {plugin.name}: importing it and calling its hooks must not import torch, "
            f"which {asked} leads to; import it inside build or a method"
        )


CHECKS = (loads, light_import)
