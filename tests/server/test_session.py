from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deeplab.errors import AccessDeniedError, ConfigError, ServerError, UnreachableError
from deeplab.server.session import Patience, ServerLogin, Session
from tests.girder_for_tests import QUICK, TOKEN, Raw, fake_girder, raw
from tests.pace import at_this_pace


def test_the_token_shows_in_no_text():
    login = ServerLogin("https://girder.example/api/v1", TOKEN)
    assert TOKEN not in repr(login)
    assert TOKEN not in str(login)


@pytest.mark.parametrize(
    "url",
    [
        "girder.example/api/v1",
        "ftp://girder.example",
        "https://me:pw@girder.example",
        "https://:pw@girder.example",
        "https://girder.example/api/v1?token=pw",
        "https://girder.example/api/v1#pw",
        "https://girder.example:pw/api/v1",
        "https://girder.example:99999/api/v1",
        "https://[pw/api/v1",
        "https://girder.example/api/ v1",
        "https://girder\x1b[2J.example/api/v1",
        "",
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url):
    with pytest.raises(ConfigError, match="girderApiUrl") as caught:
        ServerLogin(url, TOKEN)
    assert "pw" not in str(caught.value)


def test_a_token_that_would_break_a_header_is_refused_without_repeating_it():
    with pytest.raises(ConfigError, match="girderToken") as caught:
        ServerLogin("https://girder.example/api/v1", "abc\r\nX: y")
    assert "abc" not in str(caught.value)


def test_json_is_fetched_with_the_token_over_one_connection():
    with fake_girder(routes={"system/version": {"release": "3.2"}}) as girder:
        with Session(girder.login) as session:
            for _ in range(5):
                assert session.get_json("system/version", "version") == {"release": "3.2"}
        assert len(girder.connections) == 1


@pytest.mark.parametrize("fault", [500, 502, 503, 429, "drop", "half"])
def test_a_server_that_fails_twice_is_asked_a_third_time(fault):
    with fake_girder(routes={"x": [1, 2, 3]}, faults=[fault, fault]) as girder:
        with Session(girder.login, patience=QUICK) as session:
            assert session.get_json("x", "x") == [1, 2, 3]
        assert len(girder.asked) == 3


@pytest.mark.parametrize("fault", [500, "drop"])
def test_patience_has_an_end_and_the_error_counts_the_tries(fault):
    with fake_girder(routes={"x": {}}, faults=[fault] * 1000) as girder:
        begun = time.monotonic()
        with (
            Session(girder.login, patience=QUICK) as session,
            pytest.raises(ServerError, match=r"^slide 7: .* did not answer after \d+ tries"),
        ):
            session.get_json("x", "slide 7")
        assert time.monotonic() - begun < at_this_pace(2)
        assert 5 < len(girder.asked) < 50


@pytest.mark.parametrize("fault", [raw(b"", status=504), Raw([]), 500])
def test_one_thing_that_fails_is_told_apart_from_a_server_that_is_down(fault):
    with (
        fake_girder(routes={"x": fault, "user/me": {"_id": "1a" * 12}}) as girder,
        Session(girder.login, patience=QUICK) as session,
    ):
        with pytest.raises(ServerError, match="did not answer") as caught:
            session.get_json("x", "tile 1/2/3")
        assert type(caught.value) is ServerError
        girder.routes["user/me"] = fault
        with pytest.raises(UnreachableError, match="did not answer"):
            session.get_json("x", "tile 1/2/3")


def test_a_server_that_is_not_there_is_an_error_that_names_it():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        Session(ServerLogin(f"http://127.0.0.1:{port}/api/v1", TOKEN), patience=QUICK) as session,
        pytest.raises(ServerError, match=r"127\.0\.0\.1 did not answer") as caught,
    ):
        session.get_json("x", "x")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_said_at_once_and_not_shown(status):
    with fake_girder(routes={"x": {}}, faults=[status]) as girder:
        with (
            Session(girder.login, patience=QUICK) as session,
            pytest.raises(AccessDeniedError, match="sign in again") as caught,
        ):
            session.get_json("x", "item 5")
        assert len(girder.asked) == 1
    assert str(caught.value).startswith("item 5: the server refuses it")
    assert TOKEN not in str(caught.value)


def test_the_words_of_a_refusal_are_passed_on_in_one_line():
    with (
        fake_girder() as girder,
        Session(girder.login) as session,
        pytest.raises(ServerError, match=r"answered 404 \(said no\)$"),
    ):
        session.get_json("nowhere", "item 5")


def test_a_redirection_is_not_followed_so_that_the_token_stays():
    with (
        fake_girder(routes={"x": 302}) as girder,
        Session(girder.login) as session,
        pytest.raises(ServerError, match="answered 302"),
    ):
        session.get_json("x", "x")


def test_what_is_no_json_is_an_error_after_a_few_tries():
    with fake_girder(routes={"x": {}}, faults=["garbage"] * 9) as girder:
        with (
            Session(girder.login, patience=QUICK) as session,
            pytest.raises(ServerError, match="not JSON"),
        ):
            session.get_json("x", "x")
        assert len(girder.asked) == 3


def test_an_answer_without_end_is_cut_off():
    with (
        fake_girder(routes={"x": ("image/png", b"0" * 100_000)}) as girder,
        Session(girder.login, patience=QUICK) as session,
        pytest.raises(ServerError, match="more than 1,000 bytes"),
    ):
        session.get("x", "x", limit_bytes=1000, check=lambda reply: reply)


def test_the_wait_grows_and_heeds_what_the_server_asks_for():
    patience = Patience(first_wait_s=0.5, longest_wait_s=15, total_s=60)
    assert [patience.wait_s(n, 0) for n in (1, 2, 3, 9)] == [0.5, 1, 2, 15]
    assert patience.wait_s(1, 7) == 7


def test_many_threads_share_a_session():
    with fake_girder(routes={f"n/{n}": [n] for n in range(60)}) as girder:
        with Session(girder.login, connections=4) as session, ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda n: session.get_json(f"n/{n}", "n"), range(60))
            assert list(answers) == [[n] for n in range(60)]
        assert len(girder.connections) <= 8


def test_a_post_is_not_repeated_where_it_may_have_arrived():
    with fake_girder(routes={"x": {}}, faults=["drop"]) as girder:
        with (
            Session(girder.login, patience=QUICK) as session,
            pytest.raises(ServerError, match="broke while it was sent"),
        ):
            session.post_json("x", "x", [1])
        assert len(girder.posted) == 1


def test_a_post_is_repeated_where_the_server_was_busy():
    with fake_girder(routes={"x": {"ok": True}}, faults=[503, 429]) as girder:
        with Session(girder.login, patience=QUICK) as session:
            assert session.post_json("x", "x", {"a": 1}) == {"ok": True}
        assert girder.posted == [{"a": 1}] * 3


def test_a_file_is_posted_whole_each_time(tmp_path):
    (tmp_path / "a.json").write_text("[1, 2]")
    with fake_girder(routes={"x": {"ok": True}}, faults=[503]) as girder:
        with Session(girder.login, patience=QUICK) as session:
            assert session.post_file("x", "x", tmp_path / "a.json") == {"ok": True}
        assert girder.posted == [[1, 2]] * 2
