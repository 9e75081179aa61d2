"""Bring a stack up and take it down; both do nothing where nothing is to be done."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from local_stack.containers import bridge_address, build_image, check_docker, image_id
from local_stack.environment import build_client, build_environment
from local_stack.girder_site import set_up_site, upload_samples, wait_for_tasks
from local_stack.plan import Plan, admin_password
from local_stack.rest import GirderRest
from local_stack.services import (
    Service,
    girder_service,
    mongo_service,
    port_answers,
    redis_service,
    worker_answers,
    worker_service,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStack:
    """A stack that is up."""

    plan: Plan
    girder: GirderRest  # the administrator's session
    slide_id: str  # item of the sample slide


def bring_up(plan: Plan, say: Callable[[str], None]) -> RunningStack:
    """Start everything that does not run yet and wait until tasks can be run.

    Raises:
        StackError: something is missing on this machine or failed; one sentence says what.
    """
    check_docker()
    redis = redis_service(plan)
    build_environment(plan, say)
    build_client(plan, say)
    say(f"building the image {plan.image}")
    before = image_id(plan.image)
    build_image(plan)
    girder = girder_service(plan)
    if girder.pid() is not None and image_id(plan.image) != before:
        girder.stop()  # the plugin registers the new image when the server starts
    say("starting MongoDB, Redis, Girder and the worker")
    mongo_service(plan).start(port_answers(plan.mongo_port))
    redis.start(port_answers(plan.redis_port))
    girder.start(port_answers(plan.girder_port), timeout_s=120)
    session = _set_up(plan)
    worker_service(plan).start(lambda: worker_answers(plan), timeout_s=120)
    say("registering the tasks")
    wait_for_tasks(session, plan.image)
    slide_id = upload_samples(session, plan, say)
    return RunningStack(plan=plan, girder=session, slide_id=slide_id)


def _set_up(plan: Plan) -> GirderRest:
    session = GirderRest(plan.url)
    set_up_site(
        session,
        admin_password(plan),
        assetstore=plan.data / "assetstore",
        broker=plan.redis_url,
        # Jobs call back from inside their containers, where 127.0.0.1 is the container itself.
        api_url=f"http://{bridge_address()}:{plan.girder_port}/api/v1",
    )
    return session


def services(plan: Plan) -> list[Service]:
    """Every program of the stack, in the order in which they are stopped."""
    return [worker_service(plan), girder_service(plan), redis_service(plan), mongo_service(plan)]


def take_down(plan: Plan) -> None:
    """Stop everything; the data stays."""
    for service in services(plan):
        service.stop()


def remove_data(plan: Plan) -> None:
    """Delete what a stopped stack holds: database, files, logs. What was built stays."""
    shutil.rmtree(plan.data, ignore_errors=True)
