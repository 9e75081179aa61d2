"""Connections: what comes too slowly, goes elsewhere, is too much or is not what it says."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import traceback
from contextlib import contextmanager, suppress

import pytest

from deeplab.errors import AccessDeniedError, ServerError
from deeplab.server import transport
from deeplab.server.session import JSON_BYTES, ServerLogin, Session
from tests.girder_for_tests import QUICK, TOKEN, Raw, fake_girder, raw
from tests.pace import at_this_pace

WHOLE = b"".join(raw(b"[1, 2, 3]").parts)
PAUSE_S = 0.1


def drips(data, at):
    """The bytes from place `at` on come one by one, each in time."""
    return Raw([data[:at], *(data[n : n + 1] for n in range(at, len(data)))], PAUSE_S)


@pytest.mark.parametrize("at", [0, 15, 30, len(WHOLE) - 9], ids=["status", "head", "name", "body"])
def test_a_reply_that_drips_ends_in_time_wherever_it_does(girder, session, monkeypatch, at):
    monkeypatch.setattr(transport, "READ_S", 3 * PAUSE_S)
    girder.routes["x"] = drips(WHOLE + b" " * 100, at)
    began = time.monotonic()
    with pytest.raises(ServerError, match=r"^slide 7: .* did not answer .* \(it takes too long\)$"):
        session.get_json("x", "slide 7")
    assert time.monotonic() - began < at_this_pace(3)


def test_a_download_that_drips_ends_too(girder, session, monkeypatch, tmp_path):
    monkeypatch.setattr(transport, "READ_S", 3 * PAUSE_S)
    girder.routes["x"] = drips(WHOLE, len(WHOLE) - 9)
    with pytest.raises(ServerError, match="it takes too long"):
        session.download("x", "model a.zip", to=tmp_path / "a", limit_bytes=100)


def test_a_reply_that_comes_slowly_but_comes_is_read(girder, session, monkeypatch):
    monkeypatch.setattr(transport, "READ_S", 3 * PAUSE_S)
    monkeypatch.setattr(transport, "LEAST_BYTES_PER_S", 1000.0)
    body = json.dumps(["x" * 100] * 20).encode()
    head, _ = raw(body).parts
    girder.routes["x"] = Raw([head, *(body[n : n + 300] for n in range(0, len(body), 300))], 0.1)
    assert session.get_json("x", "x") == ["x" * 100] * 20


@contextmanager
def server_that_takes(bytes_at_once, pause_s):
    """A login for a server that reads so slowly, and answers when it has all."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    stopped = threading.Event()

    def serve():
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                received = b""
                while not received.endswith(b"END") and not stopped.wait(pause_s):
                    received = received[-3:] + connection.recv(bytes_at_once)
                connection.sendall(b"".join(raw(b"[1]").parts))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ServerLogin(f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1", TOKEN)
    finally:
        stopped.set()
        listener.close()
        thread.join()


MUCH = b"x" * 2**23 + b"END"


def test_what_is_sent_may_take_longer_than_a_connection(monkeypatch):
    monkeypatch.setattr(transport, "CONNECT_S", 0.5)
    with (
        server_that_takes(2**17, 0.02) as login,
        Session(login, patience=QUICK) as session,
    ):
        began = time.monotonic()
        assert session.post("x", "x", params={}, content=MUCH) == [1]
        assert time.monotonic() - began > 0.5


@pytest.mark.parametrize(
    "send",
    [
        lambda session, path: session.post_file("x", "x", path),
        lambda session, path: session.post("x", "x", params={}, content=path.read_bytes()),
    ],
    ids=["file", "bytes"],
)
def test_a_server_that_takes_by_drips_what_is_sent_is_left_in_time(monkeypatch, tmp_path, send):
    monkeypatch.setattr(transport, "READ_S", 0.5)
    monkeypatch.setattr(transport, "LEAST_BYTES_PER_S", 1e8)
    (tmp_path / "a").write_bytes(MUCH)
    with (
        server_that_takes(2**12, 0.05) as login,
        Session(login, patience=QUICK) as session,
        pytest.raises(ServerError, match="the connection broke while it was sent"),
    ):
        send(session, tmp_path / "a")


def test_the_token_goes_to_no_other_server(girder, session):
    with fake_girder(routes={"x": [1]}) as other:
        for location in (f"{other.url}/x", f"//{other.url.partition('//')[2]}/x"):
            girder.routes["x"] = raw(b"", status=302, Location=location)
            with pytest.raises(ServerError, match=r"sends on to 127\.0\.0\.1, which is not"):
                session.get_json("x", "x")
        assert not other.asked
        assert len(girder.asked) == 2, "such an answer is final"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_on_the_same_server_is_followed(girder, session, status):
    girder.routes |= {"x": raw(b"", status=status, Location="/api/v1/y?a=b"), "y": [1]}
    assert session.get_json("x", "x", {"c": "d"}) == [1]
    assert girder.asked == [("x", {"c": "d"}), ("y", {"a": "b"})]


@pytest.mark.parametrize(
    "location",
    [
        "http://[",
        "http://a:b/",
        "file:///etc/passwd",
        "http://\x1b[31m\xff/",
        "//me:pw@127.0.0.1/x",
    ],
)
def test_an_address_to_be_sent_on_to_that_is_none_is_an_error(girder, session, location):
    girder.routes["x"] = raw(b"", status=302, Location=location)
    with pytest.raises(ServerError, match="the server sends on to") as caught:
        session.get_json("x", "x")
    assert str(caught.value).isprintable()
    assert "pw" not in str(caught.value)


def test_going_round_in_circles_has_an_end(girder, session):
    girder.routes |= {"x": raw(b"", status=302, Location="x")}
    with pytest.raises(ServerError, match="on and on"):
        session.get_json("x", "x")


def test_what_is_posted_is_not_sent_on(girder, session):
    girder.routes |= {"x": raw(b"", status=307, Location="/api/v1/y"), "y": [1]}
    with pytest.raises(ServerError, match="give its address as girderApiUrl"):
        session.post_json("x", "x", [1])
    assert [path for path, _ in girder.asked] == ["x"]


def test_a_small_reply_that_unpacks_to_much_is_cut_off(girder, session, tmp_path):
    bomb = gzip.compress(b"[" + b" " * (4 * JSON_BYTES))
    girder.routes["x"] = raw(bomb, Content_Encoding="gzip")
    with pytest.raises(ServerError, match="more than 33,554,432 bytes"):
        session.get_json("x", "x")
    with pytest.raises(ServerError, match="more than 1,000 bytes"):
        session.download("x", "x", to=tmp_path / "a", limit_bytes=1000)
    assert (tmp_path / "a").stat().st_size <= 1000


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (raw(b"[1]", length=100), "no connection, or it broke"),
        (raw(b"[1]", length="-3"), None),
        (raw(b"[1]", length="9" * 5000), None),
        (raw(b"[1]", Content_Encoding="gzip"), "no connection, or it broke"),
        (raw(b"zz\r\n[1]", Transfer_Encoding="chunked"), "no connection, or it broke"),
        (Raw([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"]), "no connection, or it broke"),
        (Raw([b"SSH-2.0-OpenSSH\r\n"]), "no connection, or it broke"),
        (Raw([b""]), "no connection, or it broke"),
        (raw(b"<html>sign in</html>", "text/html"), "not JSON"),
        (raw(b"[" * 100_000), "not JSON"),
        (raw(b"9" * 5000), "not JSON"),
        (raw(b'"\xff"'), "not JSON"),
        (raw(b"", status=503, Retry_After="9" * 5000), "did not answer after 1 tries"),
        (raw(b"", status=503, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"), "after 1 tries"),
        (raw(b"", status=503, Retry_After="\xff, soon"), "it says 503"),
        (raw(b"", status=204), "answered 204"),
        (raw(b"\xff\xfe" * 50_000, status=404), r"answered 404$"),
    ],
)
def test_a_reply_that_is_not_what_it_says_is_one_sentence(girder, session, reply, sentence):
    girder.routes["x"] = reply
    if sentence is None:
        assert session.get_json("x", "x") == [1]
        return
    with pytest.raises(ServerError, match=sentence) as caught:
        session.get_json("x", "x")
    assert str(caught.value).isprintable()


def test_a_page_for_signing_in_midway_says_what_to_do(girder, session):
    girder.routes["x"] = raw(b"<html>\x1b[2J</html>", "text/html", 401)
    with pytest.raises(AccessDeniedError, match="sign in again and start this again"):
        session.get_json("x", "x")


def test_what_is_no_number_is_nothing(girder, session):
    girder.routes["x"] = raw(b'{"a": NaN, "b": [-Infinity, 1.5]}')
    assert session.get_json("x", "x") == {"a": None, "b": [None, 1.5]}


@pytest.mark.parametrize(
    "reply",
    [
        raw(b"", status=401),
        raw(b"", status=500),
        raw(b"", status=302, Location="https://elsewhere.example/"),
        raw(b"<html>", "text/html"),
        raw(b"", length=9),
        Raw([]),
    ],
)
def test_no_error_shows_the_token_nor_do_those_behind_it(girder, session, reply):
    girder.routes["x"] = reply
    for ask in (
        lambda: session.get_json("x", "x"),
        lambda: session.post_json("x", "x", []),
        lambda: session.put_json("x", "x", {}),
        lambda: session.delete("x", "x"),
    ):
        try:
            ask()
        except ServerError as error:
            shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
            assert TOKEN not in shown
    assert TOKEN not in repr(session) + repr(vars(session))


def test_halves_of_letters_become_whole_ones(girder, session):
    sent = rb'{"a": "x\ud800y", "b": "\\ud800", "c": "\ud83d\ude00", "\udfff": 1}'
    girder.routes["x"] = raw(sent)
    told = session.get_json("x", "x")
    assert told == {"a": "x�y", "b": r"\ud800", "c": "😀", "�": 1}
