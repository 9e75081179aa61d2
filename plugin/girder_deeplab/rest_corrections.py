"""Routes of corrections: marking layers, the slides that have such, and where layers come from."""

from __future__ import annotations

from girder.api import access
from girder.api.describe import Description, autoDescribeRoute
from girder.api.rest import Resource
from girder.constants import AccessType, TokenScope
from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder.models.item import Item
from girder_large_image_annotation.models.annotation import Annotation

from girder_deeplab import corrections
from girder_deeplab.cards import Document
from girder_deeplab.lineage import layer_lineage, model_lineage
from girder_deeplab.marks import NEXT_REGIONS


class CorrectionRoutes(Resource):
    """Mixed into the plugin's resource."""

    def route_corrections(self) -> None:
        """Add the routes."""
        self.route("PUT", ("annotation", ":id", "corrected"), self.markCorrected)
        self.route("GET", ("corrections",), self.listCorrections)
        self.route("GET", ("lineage",), self.getLineage)

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        Description("Mark a layer as corrected, or take the mark off.")
        .notes(
            "Who says so and when stands in the layer's attributes, as `corrected`. The layer is "
            "then a person's: no run replaces it, evaluations take it for a reference. The mark of "
            f'a layer "{NEXT_REGIONS}" says that the layers of its run are corrected '
            "within its squares. Returns the layer, and the ids of all that were marked with it."
        )
        .modelParam(
            "id", model=Annotation, level=AccessType.WRITE, destName="layer", getElements=False
        )
        .param("corrected", "Whether it is corrected.", dataType="boolean", required=True)
        .errorResponse("The layer is an old version, or was deleted.")
        .errorResponse("You may not write to the layer.", 403)
    )
    def markCorrected(self, layer: Document, corrected: bool) -> Document:  # noqa: FBT001
        """The layer as it is then."""
        return corrections.set_corrected(layer, self.getCurrentUser(), corrected=corrected)

    @access.public(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("List the slides of a folder that have corrected layers.")
        .notes(
            "Of each: its corrected layers, who has marked them and when. Slides in folders of it "
            "are not looked at."
        )
        .modelParam(
            "folderId", model=Folder, level=AccessType.READ, paramType="query", destName="folder"
        )
        .modelParam(
            "modelId",
            "Item of a model: is anything marked or changed since its training ended (`isNewer`)?",
            model=Item, level=AccessType.READ, paramType="query", destName="model", required=False,
        )
        .errorResponse("The item is not registered as a model.")
        .errorResponse("You may not read the folder, or the model.", 403)
    )  # fmt: skip
    def listCorrections(self, folder: Document, model: Document | None) -> list:
        """The slides."""
        return corrections.corrections_told(folder, model, self.getCurrentUser())

    @access.public(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("Tell where a layer or a model comes from, as far as you may read it.")
        .notes(
            "Of a layer: who made and corrected it, its job, and its model. Of the model, and of "
            "those that it began with or was joined of: the slides that it learnt from, those that "
            "you may not read counted only, and who drew or corrected layers on these."
        )
        .modelParam(
            "annotationId", "A layer.", model=Annotation, level=AccessType.READ,
            paramType="query", destName="layer", required=False, getElements=False,
        )
        .modelParam(
            "itemId", "The item of a model.", model=Item, level=AccessType.READ,
            paramType="query", destName="item", required=False,
        )
        .errorResponse("The item is not registered as a model.")
        .errorResponse("You may not read the layer, or the item.", 403)
    )  # fmt: skip
    def getLineage(self, layer: Document | None, item: Document | None) -> Document:
        """The chain, the nearest first."""
        user = self.getCurrentUser()
        if (layer is None) == (item is None):
            raise ValidationException("Give either annotationId or itemId.")
        return layer_lineage(layer, user) if item is None else model_lineage(item, user)
