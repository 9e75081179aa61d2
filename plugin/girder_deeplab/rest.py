"""`/api/v1/deeplab`: what an administrator or a site's scripts ask of this plugin."""

from dataclasses import asdict

from docker.errors import DockerException
from girder.api import access
from girder.api.describe import Description, autoDescribeRoute
from girder.api.rest import Resource
from girder.exceptions import RestException
from girder.models.setting import Setting

from girder_deeplab.images import image_states
from girder_deeplab.settings import SettingKey


class DeeplabResource(Resource):
    """The plugin's routes."""

    def __init__(self) -> None:
        super().__init__()
        self.resourceName = "deeplab"
        self.route("GET", ("image",), self.listImages)

    @access.admin
    @autoDescribeRoute(
        Description("List the configured images and whether their tasks are registered.")
        .notes("`available` is the id that Docker has, `registered` the id last registered.")
        .errorResponse("You are not a system administrator.", 403)
        .errorResponse("Docker does not answer on this server.", 503)
    )
    def listImages(self) -> list:
        """The state of each configured image."""
        try:
            states = image_states(Setting().get(SettingKey.IMAGES))
        except DockerException as error:
            raise RestException("Docker does not answer on this server.", code=503) from error
        return [asdict(state) for state in states]
