"""Has HistomicsUI load our script, without a client being built or a file of its being touched."""

from __future__ import annotations

from typing import Any

from girder import plugin

from girder_deeplab.pages import FOLDER, SCRIPT

TEMPLATE = "deeplab.mako"  # HistomicsUI's page as it is, then our script


def load_script(info: dict[str, Any]) -> None:
    """Add the script to the page of HistomicsUI, where the server has that.

    Args:
        info: as Girder hands it to plugins.
    """
    if hasattr(plugin, "registerPluginStaticContent"):  # Girder 5: to all of its clients
        plugin.registerPluginStaticContent(
            plugin="deeplab", css=[], js=[SCRIPT], staticDir=FOLDER, tree=info["serverRoot"]
        )
        return
    histomicsui = plugin.getPlugin("histomicsui")
    if histomicsui is None:
        return
    histomicsui.load(info)
    page = info["serverRoot"].hui
    page.updateHtmlVars({"histomicsuiTemplate": page.templateFilename})
    page.setTemplatePath(str(FOLDER / TEMPLATE))
