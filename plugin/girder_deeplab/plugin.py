"""The plugin as Girder loads it."""

from girder import events
from girder.plugin import GirderPlugin, getPlugin

from girder_deeplab import comparisons, driver, evaluations, tokens
from girder_deeplab.histomicsui import load_script
from girder_deeplab.images import register_in_background
from girder_deeplab.jobs import show_reason
from girder_deeplab.models import fill_in_default, make_index, register_uploaded
from girder_deeplab.rest import DeeplabResource
from girder_deeplab.settings import SettingKey


class DeeplabPlugin(GirderPlugin):
    """Registers the tasks' images and the models of a site, and runs batches of slides."""

    DISPLAY_NAME = "DeepLab segmentation"

    def load(self, info: dict) -> None:
        """Hook into the server that is starting."""
        for each in ("slicer_cli_web", "large_image_annotation"):
            getPlugin(each).load(info)
        info["apiRoot"].deeplab = DeeplabResource()
        make_index()
        evaluations.make_index()
        tokens.make_index()
        events.bind("model.setting.save.after", "deeplab", _on_setting)
        events.bind("model.user.save.created", "deeplab", _on_user)
        events.bind("jobs.job.update", "deeplab", tokens.hide_tokens)
        events.bind("jobs.job.update.after", "deeplab", show_reason)
        events.bind("jobs.job.update.after", "deeplab.tokens", tokens.end_tokens)
        events.bind("jobs.job.update.after", "deeplab.batches", driver.on_job)
        events.bind("jobs.job.update.after", "deeplab.comparisons", comparisons.on_job)
        events.bind("model.annotation.save.created", "deeplab", driver.on_layer)
        events.bind("model.file.finalizeUpload.after", "deeplab", register_uploaded)
        events.bind(
            "model.file.finalizeUpload.after", "deeplab.evaluations", evaluations.register_uploaded
        )
        events.bind("rest.get.slicer_cli_web/path_match.before", "deeplab", fill_in_default)
        load_script(info)
        register_in_background()
        driver.start(driver.advance, comparisons.advance)


def _on_setting(event: events.Event) -> None:
    if event.info.get("key") == SettingKey.IMAGES:
        register_in_background()


def _on_user(event: events.Event) -> None:
    if event.info.get("admin"):
        register_in_background()
