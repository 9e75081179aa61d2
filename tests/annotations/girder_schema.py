"""The annotation schema of the Girder plugin, taken from its source: importing it needs a server."""

import ast
import copy
import importlib.util
from pathlib import Path


def load_schema() -> dict | None:
    """The JSON schema that the server holds annotations against; None where it is not installed."""
    spec = importlib.util.find_spec("girder_large_image_annotation")
    if spec is None or spec.origin is None:
        return None
    source = (Path(spec.origin).parent / "models" / "annotation.py").read_text()
    wanted = ("extendSchema", "AnnotationSchema")
    nodes = [n for n in ast.parse(source).body if getattr(n, "name", "") in wanted]
    names: dict = {"copy": copy}
    exec(compile(ast.Module(nodes, []), "annotation.py", "exec"), names)  # noqa: S102  an installed package's own source
    return names["AnnotationSchema"].annotationSchema
