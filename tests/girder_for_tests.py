"""A small HTTP server that answers as Girder does, and fails on request."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from large_image.constants import TILE_FORMAT_IMAGE

from deeplab.server.session import Patience, ServerLogin

TOKEN = "s3cr3t-t0k3n"  # noqa: S105  of a server that lives for one test
QUICK = Patience(first_wait_s=0.01, longest_wait_s=0.05, total_s=0.4)  # of a session
ITEM = "5f" * 12
FOLDER = "6a" * 12


@dataclass
class Bodied:
    """A route whose reply also depends on what was sent: (query, body)."""

    reply: Callable


@dataclass
class Raw:
    """A reply as its bytes, head and all: in parts, with a pause after each; then the end."""

    parts: list
    pause_s: float = 0.0


@dataclass
class FakeGirder:
    """`routes` maps a path below the API, or "DELETE path", to its reply: JSON, (content type, bytes), a status, or a function
    of the query that gives either. `faults` are taken, one a request, before any route: a status, or
    "drop" (no answer), "half" (dies midway), "garbage" (bytes that are no image).
    `change` takes a path and its Raw reply and returns what is sent instead.
    """

    routes: dict = field(default_factory=dict)
    faults: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    posted: list = field(default_factory=list)
    put: list = field(default_factory=list)
    deleted: list = field(default_factory=list)
    connections: set = field(default_factory=set)
    url: str = ""
    change: Callable | None = None

    @property
    def login(self):
        return ServerLogin(self.url, TOKEN)


def raw(body, kind="application/json", status=200, *, length=None, **headers):
    """A reply of these bytes; headers are written with _ for -."""
    lines = [f"HTTP/1.1 {status} OK", f"Content-Type: {kind}", "Connection: close"]
    lines += [f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return Raw(["\r\n".join([*lines, "", ""]).encode("latin-1"), body])


class _Handler(BaseHTTPRequestHandler):
    girder: FakeGirder
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.connection.settimeout(20)
        self.girder.connections.add(self.client_address)

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.headers.get("Content-Type") == "application/json":
            self.girder.posted.append(json.loads(body))
        self.do_GET(body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.girder.put.append(
            (urlsplit(self.path).path.removeprefix("/api/v1/"), json.loads(body))
        )
        self.do_GET(body)

    def do_DELETE(self):
        self.girder.deleted.append(urlsplit(self.path).path.removeprefix("/api/v1/"))
        self.do_GET()

    def do_GET(self, body=b""):
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/api/v1/")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.girder.asked.append((path, query))
        fault = self.girder.faults.pop(0) if self.girder.faults else None
        if self.headers.get("Girder-Token") != TOKEN:
            fault = fault or 401
        reply = self.girder.routes.get(path, 404)
        reply = self.girder.routes.get(f"{self.command} {path}", reply)
        if isinstance(reply, Bodied):
            taken = fault in (None, "half")  # what is answered by halves was done all the same
            reply = reply.reply(query, body) if taken else 404
        elif callable(reply):
            reply = reply(query)
        if fault == "drop":
            self.close_connection = True
            return
        if isinstance(fault, int):
            reply = fault
        self.answer(reply, fault)

    def answer(self, reply, fault):
        if isinstance(reply, Raw):
            self.send(reply)
            return
        status, kind = 200, "application/json"
        if isinstance(reply, int):
            status, body = reply, json.dumps({"message": "said\nno", "type": "rest"}).encode()
        elif isinstance(reply, tuple):
            kind, body = reply
        else:
            body = json.dumps(reply).encode()
        if fault == "garbage":
            body = b"\x00garbage\xff" * 10
        if self.girder.change:
            self.send(self.girder.change(self.path, raw(body, kind, status)))
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "half":
            body, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(body)

    def send(self, reply):
        self.close_connection = True
        for part in reply.parts:
            self.wfile.write(part)
            self.wfile.flush()
            if reply.pause_s:
                time.sleep(reply.pause_s)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that goes away is no fault of a test."""


@contextmanager
def fake_girder(**routes_and_faults):
    girder = FakeGirder(**routes_and_faults)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"girder": girder}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    girder.url = f"http://127.0.0.1:{server.server_port}/api/v1"
    try:
        yield girder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def item_routes(source, *, item=ITEM, name="painted.svs"):
    """The routes of an item whose tiles a large_image source (opened by its file) serves."""

    def tile(z, x, y):
        def reply(query):
            encoding = query.get("encoding", "JPEG")
            opened = source(encoding, query.get("style"))
            return f"image/{encoding.lower()}", bytes(opened.getTile(x, y, z))

        return reply

    exact = source("PNG", None)
    routes = {
        f"item/{item}": {
            "_id": item,
            "name": name,
            "folderId": FOLDER,
            "size": 1,
            "largeImage": {"fileId": item, "sourceName": exact.name},
        },
        f"item/{item}/tiles": dict(exact.getMetadata()),
        f"item/{item}/tiles/internal_metadata": json.loads(
            json.dumps(exact.getInternalMetadata(), default=str)
        ),
    }
    routes[f"item/{item}/tiles/region"] = _region(exact)
    for z in range(exact.levels):
        by = 2 ** (exact.levels - 1 - z) * exact.tileWidth
        for x in range(-(-exact.sizeX // by)):
            for y in range(-(-exact.sizeY // by)):
                routes[f"item/{item}/tiles/zxy/{z}/{x}/{y}"] = tile(z, x, y)
    return routes


def _region(source):
    """The regions of a large_image source, as girder_large_image makes them of their parameters."""

    frames = len(source.getMetadata().get("frames", (0,)))

    def reply(query):
        if int(query["frame"]) >= frames:
            return 400
        numbers = {name: float(query[name]) for name in ("left", "top")}
        size = {"width": float(query["regionWidth"]), "height": float(query["regionHeight"])}
        limits = {"width": "maxWidth", "height": "maxHeight"}
        output = {most: int(query[name]) for name, most in limits.items() if name in query}
        pixels, kind = source.getRegion(
            region={**numbers, **size, "units": query["units"]},
            output=output,
            format=TILE_FORMAT_IMAGE,
            encoding=query["encoding"],
            tiffCompression=query["tiffCompression"],
            frame=int(query["frame"]),
        )
        return kind, bytes(pixels)

    return reply


class Shelf:
    """A folder that takes uploads in pieces as Girder does; an item is there when all bytes are."""

    def __init__(self, girder, *, folder=FOLDER, access=1):
        self.girder, self.folder, self.items, self.uploads, self._count = girder, folder, {}, {}, 0
        others = girder.routes.get("item", [])  # of every other folder

        def items(query):
            return list(map(self._item, self.items)) if query["folderId"] == folder else others

        girder.routes |= {
            f"folder/{folder}": {"_id": folder, "name": "shelf", "_accessLevel": access},
            "item": items,
            "file": Bodied(self._begin),
            "file/chunk": Bodied(self._take),
            "file/offset": Bodied(self._offset),
        }

    def names(self):
        return sorted(name for name, _ in self.items.values())

    def put(self, name, content):
        """An item of one file."""
        self._count += 1
        number = f"{self._count:024x}"
        self.items[number] = (name, content)
        file = {"_id": number, "name": name, "size": len(content), "itemId": number}
        self.girder.routes |= {
            f"item/{number}": Bodied(lambda *_: self._remove(number)),
            f"item/{number}/files": [file],
            f"file/{number}/download": ("application/zip", content),
        }
        return file

    def _item(self, number):
        name, content = self.items[number]
        return {"_id": number, "name": name, "folderId": self.folder, "size": len(content)}

    def _remove(self, number):
        return {} if self.items.pop(number, None) else 400

    def _begin(self, query, *_):
        assert (query["parentType"], query["parentId"]) == ("folder", self.folder)
        self._count += 1
        self.uploads[f"{self._count:024x}"] = [query["name"], int(query["size"]), b""]
        return {"_id": f"{self._count:024x}", "received": 0}

    def _take(self, query, body):
        name, size, received = self.uploads.get(query["uploadId"]) or (None, 0, b"")
        if name is None or int(query["offset"]) != len(received):
            return 400
        self.uploads[query["uploadId"]][2] = received = received + body
        if len(received) < size:
            return {"_id": query["uploadId"], "received": len(received)}
        del self.uploads[query["uploadId"]]
        return self.put(name, received)

    def _offset(self, query, *_):
        upload = self.uploads.get(query["uploadId"])
        return {"offset": len(upload[2])} if upload else 400


class Board:
    """The annotations of items, put there, listed and removed as Girder's large_image does."""

    def __init__(self, girder, *items):
        self.girder, self.layers, self._clock = girder, {}, 0
        girder.routes["annotation"] = self._heads
        for item in items:
            self.add(item)

    def add(self, item):
        """One more item that can have annotations."""
        self.girder.routes[f"annotation/item/{item}"] = Bodied(partial(self._posted, item))

    def put(self, item, annotation):
        """A layer, as a person draws one; its id."""
        self._clock += 1
        number = f"{self._clock:012x}" * 2
        now = f"2026-01-01T00:00:{self._clock:02d}.000000+00:00"
        self.layers[number] = {
            "_id": number,
            "itemId": item,
            "created": now,
            "updated": now,
            "annotation": annotation,
        }
        self.girder.routes |= {
            f"annotation/{number}": lambda _: self.layers.get(number, 400),
            f"DELETE annotation/{number}": Bodied(lambda *_: self.layers.pop(number) and {}),
        }
        return number

    def change(self, number, **annotation):
        """What a person does to a layer in HistomicsUI."""
        self._clock += 1
        self.layers[number]["annotation"] |= annotation
        self.layers[number]["updated"] = f"2026-01-02T00:00:{self._clock:02d}.000000+00:00"

    def of(self, item):
        return [each for each in self.layers.values() if each["itemId"] == item]

    def named(self, item):
        """The annotations of an item, by name."""
        found = {each["annotation"]["name"]: each for each in self.of(item)}
        assert len(found) == len(self.of(item)), "two layers of one name"
        return found

    def _heads(self, query):
        return [
            each | {"annotation": {k: v for k, v in each["annotation"].items() if k != "elements"}}
            for each in self.of(query["itemId"])
        ]

    def _posted(self, item, _query, body):
        if not body:
            return self.of(item)
        new = json.loads(body)
        for annotation in new:
            self.put(item, annotation)
        return "application/json", str(len(new)).encode()


def zipped(entries):
    """A zip as Girder sends it: names in UTF-8 that are not marked so."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    # The flag for UTF-8 is the eleventh bit of a word in both heads of each entry.
    raw = bytearray(packed.getvalue())
    for mark, place in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        at = raw.find(mark)
        while at >= 0:
            raw[at + place] &= ~0x08
            at = raw.find(mark, at + 4)
    return bytes(raw)


class SlideFolder:
    """A folder of slides and of files; a slide is 1000 x 800 pixels of 0.5 um."""

    def __init__(self, girder, *, folder=FOLDER, access=1):
        self.girder, self.folder, self.items, self._count = girder, folder, {}, 0
        self.contents = {}
        girder.routes |= {
            f"folder/{folder}": {"_id": folder, "name": "slides", "_accessLevel": access},
            "item": self._listed,
            "resource/download": self._packed,
        }

    def _listed(self, query):
        by_name = sorted(self.items.values(), key=lambda item: item["name"])
        return by_name if query["folderId"] == self.folder else 400

    def _packed(self, query):
        (item,) = json.loads(query["resources"])["item"]
        return "application/zip", zipped(self.contents[item])

    def _number(self):
        self._count += 1
        return f"{self._count:08x}" * 3

    def slide(self, name):
        """A new slide; the id of its item."""
        item, file = self._item(name), self._number()
        self.items[item]["largeImage"] = {"fileId": file}
        tiles = {"sizeX": 1000, "sizeY": 800, "tileWidth": 256, "tileHeight": 256, "levels": 3}
        self.girder.routes |= {
            f"item/{item}/tiles": tiles | {"mm_x": 0.0005, "mm_y": 0.0005},
            f"file/{file}": {"_id": file, "itemId": item},
        }
        self._add(item, file, name, b"pixels")
        return item

    def file(self, name, content, *, item="", file_name=""):
        """A new file, in an item of its own or in that of this id; the id of the item."""
        item = item or self._item(name)
        self._add(item, self._number(), file_name or name, content)
        return item

    def replace(self, item, content):
        """Another file of the same name in the place of the one in an item."""
        (old,) = self.girder.routes[f"item/{item}/files"]
        self.girder.routes[f"item/{item}/files"] = []
        self._add(item, self._number(), old["name"], content)

    def _item(self, name):
        item = self._number()
        self.items[item] = {"_id": item, "name": name, "folderId": self.folder, "size": 1}
        self.girder.routes |= {f"item/{item}": self.items[item], f"file/{item}": 400}
        self.girder.routes[f"item/{item}/files"] = []
        return item

    def _add(self, item, file, name, content):
        told = {"_id": file, "name": name, "size": len(content), "created": "2026-01-01"}
        self.girder.routes[f"item/{item}/files"].append(told)
        self.contents.setdefault(item, []).append((f"{self.items[item]['name']}/{name}", content))
        # Girder 3.2 fails on such names.
        sent = 500 if "ß" in name else ("application/octet-stream", content)
        self.girder.routes[f"file/{file}/download"] = sent
