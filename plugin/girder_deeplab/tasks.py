"""A task as slicer_cli_web knows it: what it takes, and a job of it for somebody."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import cherrypy
from amqp.exceptions import AMQPError, ChannelError
from celery import Celery
from cherrypy._cprequest import Request, Response
from cherrypy.lib.httputil import HeaderMap, Host
from ctk_cli.module import CLIParameter
from girder.api.rest import setCurrentUser
from girder.constants import AccessType
from girder.exceptions import ValidationException
from girder.models.item import Item
from girder.models.setting import Setting
from girder.models.token import Token
from kombu.exceptions import KombuError
from slicer_cli_web.cli_utils import SLICER_TYPE_TO_GIRDER_MODEL_MAP, as_model, get_cli_parameters
from slicer_cli_web.models import CLIItem
from slicer_cli_web.rest_slicer_cli import genHandlerToRunDockerCLI

from girder_deeplab import tokens
from girder_deeplab.cards import Document
from girder_deeplab.images import tag_folder
from girder_deeplab.settings import SettingKey

ANSWER_S = 2.0  # of workers that are asked what they have
# What the server gives a task, and nobody chooses.
GIVEN = {"girderApiUrl", "girderToken", "result_id"}


def find_task(name: str, user: Document) -> CLIItem:
    """Return the task of the first image that has it and that the user may run.

    Raises:
        ValidationException: there is none.
    """
    for image in Setting().get(SettingKey.IMAGES):
        folder = tag_folder(image)
        item = folder and Item().findOne({"folderId": folder["_id"], "name": name})
        if item and Item().hasAccess(item, user, AccessType.READ):
            return CLIItem(item)
    raise ValidationException(f"There is no task {name} that you may run.")


def read_options(task: CLIItem, options: Mapping[str, Any]) -> dict[str, str]:
    """Return options of a task as slicer_cli_web takes them.

    Args:
        task: which has them in its form.
        options: by the names there; numbers, texts, true and false, and lists of these.

    Raises:
        ValidationException: one is not in the form, or its value is none of those it can have.
    """
    indexed, named, _ = get_cli_parameters(as_model(task.xml))
    known = {each.identifier(): each for each in [*indexed, *named]}
    return {name: _as_text(name, known.get(name), value) for name, value in options.items()}


def _as_text(name: str, param: CLIParameter | None, value: object) -> str:
    if param is None or name in GIVEN:
        raise ValidationException(f"{name} is no option of this task.", name)
    if param.typ in SLICER_TYPE_TO_GIRDER_MODEL_MAP or param.channel == "output":
        raise ValidationException(f"{name} is a file, which cannot be an option here.", name)
    if param.typ == "region" or param.isVector():
        return _list_as_text(name, param, value)
    if param.typ == "boolean":
        if str(value).lower() not in ("true", "false"):
            raise ValidationException(f"{name} must be true or false, but is {value!r}.", name)
        return str(value).lower()
    if param.typ in ("integer", "float", "double"):
        return _number_as_text(name, param, value)
    if not isinstance(value, (str, int, float)) or (
        param.elements and str(value) not in [str(each) for each in param.elements]
    ):
        one_of = f"one of {', '.join(map(str, param.elements))}" if param.elements else "a text"
        raise ValidationException(f"{name} must be {one_of}, but is {value!r}.", name)
    return str(value)


def _list_as_text(name: str, param: CLIParameter, value: object) -> str:
    text = param.typ == "string-vector"
    if not isinstance(value, list) or not all(
        isinstance(each, str) if text else _is_number(each) for each in value
    ):
        kind = "texts" if text else "numbers"
        raise ValidationException(f"{name} must be a list of {kind}, but is {value!r}.", name)
    return json.dumps(value)


def _number_as_text(name: str, param: CLIParameter, value: object) -> str:
    whole = param.typ == "integer"
    if not _is_number(value) or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise ValidationException(f"{name} must be {kind}, but is {value!r}.", name)
    limits = param.constraints
    least = _limit(limits and limits.minimum, -math.inf)
    most = _limit(limits and limits.maximum, math.inf)
    if not least <= value <= most:
        where = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise ValidationException(f"{name} must be {where}, but is {value}.", name)
    return str(int(value) if whole else value)


def _limit(told: object, otherwise: float) -> float:
    return otherwise if told in (None, "") else float(told)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def start(task: CLIItem, params: Mapping[str, str], user: Document, api_url: str) -> Document:
    """Give a job of a task to the workers, and return it.

    It has a token of its own, which ends with it.

    Args:
        task: to be run.
        params: as slicer_cli_web takes them; the server's address is added.
        user: whose job it is, with whose rights.
        api_url: of this server as its users call it, for workers that no setting tells another.

    Raises:
        RestException, ValidationException, AccessException: slicer_cli_web refuses.
        OSError, KombuError: the broker does not answer.
    """
    from slicer_cli_web.girder_worker_plugin.direct_docker_run import GirderToken  # noqa: PLC0415

    token = tokens.make_token(user)
    asked = {"girderApiUrl": "", **params}
    try:
        with _asking_with(token, api_url):
            if tokens.takes_from_environment(task):
                task = tokens.with_environment(task, GirderToken())
            else:
                asked["girderToken"] = ""
            job = genHandlerToRunDockerCLI(task).subHandler(task, asked, user, token).job
    except Exception:
        Token().remove(token)
        raise
    tokens.end_with_job(token, job)
    return job


class Workers:
    """Those who run jobs, as the server finds them at one look."""

    def submit(
        self, task: CLIItem, params: Mapping[str, str], user: Document, api_url: str
    ) -> Document:
        """Do as `start`."""
        return start(task, params, user, api_url)

    def has(self, job: Document) -> bool | None:
        """Return whether a job that has not begun is in the queue or with a worker.

        None: it cannot be said, as the broker does not answer or others are in the queue.
        """
        if self._queue is None:
            return None
        waiting, held = self._queue
        return True if job.get("celeryTaskId") in held else None if waiting else False

    @cached_property
    def _queue(self) -> tuple[int, set[str]] | None:
        """How many jobs wait, and the ids of those that workers have; None: nobody says it."""
        from slicer_cli_web.girder_worker_plugin.direct_docker_run import run  # noqa: PLC0415

        try:
            waiting = _number_waiting(run.app)
            asked = run.app.control.inspect(timeout=ANSWER_S)
            workers = set(asked.ping() or ())
            # Safe: with words for what girder_worker's arguments are, which no answer can hold.
            told = [asked.active(safe=True) or {}, asked.reserved() or {}, asked.scheduled() or {}]
        except (OSError, KombuError, AMQPError):
            return None
        if not workers or any(set(each) != workers for each in told):
            return None
        jobs = (job for each in told for held in each.values() for job in held)
        # Of one for later it is said when, around it.
        return waiting, {job.get("request", job)["id"] for job in jobs}


def _number_waiting(app: Celery) -> int:
    with app.connection_for_read() as connection:
        try:
            queue = connection.default_channel.queue_declare(
                app.conf.task_default_queue, passive=True
            )
        except ChannelError:  # Redis has no empty queues
            return 0
        return int(queue.message_count)


@contextmanager
def _asking_with(token: Document, api_url: str) -> Iterator[None]:
    """Let what slicer_cli_web and girder_worker ask of the request be answered by another one.

    They ask whether there is one, with which token and where to. Of a user they would make tokens
    of their own, several for each job; of a request that has a token and no user they take that.
    Threads without a request share a single object for it, which must not learn who anybody is.
    """
    here = Host("127.0.0.1", 80)
    request = Request(here, here)
    request.app = "girder_deeplab"
    request.headers, request.params = HeaderMap({"Girder-Token": token["_id"]}), {}
    address = urlsplit(api_url)
    request.base, request.path_info = f"{address.scheme}://{address.netloc}", address.path
    before = dict(vars(cherrypy.serving))
    cherrypy.serving.load(request, Response())
    try:
        setCurrentUser(None)
        yield
    finally:
        cherrypy.serving.clear()
        vars(cherrypy.serving).update(before)
