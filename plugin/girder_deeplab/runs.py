"""What is asked of the tasks, kept in the database: batches of slides, and each run of a slide."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import uuid4

from girder.constants import AccessType
from girder.models.model_base import AccessControlledModel, Model
from pymongo import ReturnDocument

from girder_deeplab.cards import Document

# States of a run. One that has begun to be handed over is `starting` until its job is known.
WAITING, STARTING, RUNNING, DONE, FAILED = "waiting", "starting", "running", "done", "failed"
STATES = (WAITING, STARTING, RUNNING, DONE, FAILED)
IN_FLIGHT = (STARTING, RUNNING)
# States of a batch.
ACTIVE, CANCELLING, CANCELLED, ENDED = "active", "cancelling", "cancelled", "ended"
LOCK = timedelta(minutes=2)  # for which one server process looks after a batch undisturbed


def in_utc(moment: datetime) -> datetime:
    """Return a time without a zone: Girder 5 reads times of the database with one, Girder 3 not."""
    return moment if moment.tzinfo is None else moment.astimezone(timezone.utc).replace(tzinfo=None)


class Watched(AccessControlledModel):
    """What server processes look after, one at a time, until it has ended.

    Fields: `title`, `userId`, `state`, `created`, `lockedUntil`, `lock`.
    """

    def validate(self, doc: Document) -> Document:
        """Return the document: only this plugin makes them."""
        return doc

    def create(
        self, user: Document, now: datetime, *, like: Document | None = None, **fields: object
    ) -> Document:
        """Make one that its user may see and stop, and return it.

        Args:
            user: whose it is.
            now: the time.
            like: a document that others may see; those may see it, too. None: nobody else may.
            fields: of it.
        """
        doc = {"created": now, "lockedUntil": now, "lock": "", **fields, "userId": user["_id"]}
        self.copyAccessPolicies(like or {}, doc)
        self.setUserAccess(doc, user=user, level=AccessType.ADMIN, save=False)
        return self.save(doc)

    def lock(self, doc_id: object, now: datetime) -> Document | None:
        """Return the document if nobody else looks after it for a while now, else None."""
        return self.collection.find_one_and_update(
            {"_id": doc_id, "lockedUntil": {"$lte": now}},
            {"$set": {"lockedUntil": now + LOCK, "lock": uuid4().hex}},
            return_document=ReturnDocument.AFTER,
        )

    def keep_lock(self, doc: Document, now: datetime) -> bool:
        """Keep a lock that is still ours for as long again, and return whether it was."""
        ours = {"_id": doc["_id"], "lock": doc["lock"]}
        return self._set(ours, lockedUntil=now + LOCK)

    def unlock(self, doc: Document, now: datetime) -> None:
        """Let others look after it."""
        self._set({"_id": doc["_id"], "lock": doc["lock"]}, lockedUntil=now)

    def move(self, doc: Document, *now_in: str, to: str, **fields: object) -> bool:
        """Set the state of one that is in one of some states, and return whether it was."""
        return self._set({"_id": doc["_id"], "state": {"$in": now_in}}, state=to, **fields)

    def _set(self, query: Document, **fields: object) -> bool:
        return self.collection.update_one(query, {"$set": fields}).matched_count == 1


class Batch(Watched):
    """A task to be run on several slides.

    Fields, beside those of what is watched: `task` (its name), `cliId` (the item of
    slicer_cli_web), `params` (as slicer_cli_web takes them, without slide, model and server),
    `apiUrl`, `atOnce` (jobs that may wait or run at the same time), `jobId` (the job that stands
    for all), `began` (the runs that are now counted).
    """

    def initialize(self) -> None:
        """Name the collection, its indices, and what people see."""
        self.name = "deeplab_batch"
        self.ensureIndices(["state", "jobId", ([("userId", 1), ("created", -1)], {})])
        fields = ("_id", "title", "task", "params", "userId", "atOnce", "state", "jobId", "created")
        self.exposeFields(level=AccessType.READ, fields=fields)

    def create(
        self, user: Document, now: datetime, *, like: Document | None = None, **fields: object
    ) -> Document:
        """Make one that has just begun."""
        return super().create(user, now, like=like, **{"began": now, "state": ACTIVE, **fields})


class Run(Model):
    """A task to be run on one slide.

    Fields: `batchId` (None: from the task's own form), `itemId`, `name` (of the slide), `modelId`
    (file of the model), `userId`, `resultId` (the word that its layers have), `state`, `changed`
    (of the state), `notBefore`, `jobId`, `lapses` (jobs of it that were lost), `kept` and `layers`
    (the word of its set of layers, and their ids), `reason` (why it failed), `late` (layers arrived
    after its end).
    """

    def initialize(self) -> None:
        """Name the collection and its indices."""
        self.name = "deeplab_run"
        self.ensureIndices(
            [
                ([("batchId", 1), ("state", 1)], {}),
                ("resultId", {"unique": True}),
                ([("itemId", 1), ("state", 1)], {}),
                ("late", {"sparse": True}),
                ("jobId", {"sparse": True}),
            ]
        )

    def validate(self, doc: Document) -> Document:
        """Return the document: only this plugin makes them."""
        return doc

    def describe(self, item: Document, user: Document, now: datetime, **fields: object) -> Document:
        """Return the document of a new one, not yet in the database."""
        doc = {
            "itemId": item["_id"],
            "name": item["name"],
            "userId": user["_id"],
            "resultId": uuid4().hex,
            "state": WAITING,
            "jobId": None,
            "lapses": 0,
            "changed": now,
            "notBefore": now,
            "kept": "",
            "layers": [],
            "reason": None,
        }
        return {**doc, **fields}

    def move(self, run: Document, *, to: str, now: datetime, **fields: object) -> bool:
        """Set the state of a run that is as it was found, and return whether it was."""
        as_found = {"_id": run["_id"], "state": run["state"], "changed": run["changed"]}
        fields = {"state": to, "changed": now, **fields}
        return self.collection.update_one(as_found, {"$set": fields}).matched_count == 1

    def take(self, batch: Document, now: datetime) -> Document | None:
        """Return the next one of a batch that waits, which then is `starting`; None: none does."""
        return self.collection.find_one_and_update(
            {"batchId": batch["_id"], "state": WAITING, "notBefore": {"$lte": now}},
            {"$set": {"state": STARTING, "changed": now}},
            sort=[("_id", 1)],
            return_document=ReturnDocument.AFTER,
        )

    def counts(self, batch: Document) -> dict[str, int]:
        """Return how many runs of a batch are in each state."""
        found = self.collection.aggregate(
            [
                {"$match": {"batchId": batch["_id"]}},
                {"$group": {"_id": "$state", "number": {"$sum": 1}}},
            ]
        )
        return dict.fromkeys(STATES, 0) | {each["_id"]: each["number"] for each in found}

    def unfinished_results(self, item_id: object) -> list[str]:
        """Return the result ids of what still runs on a slide."""
        busy = {"itemId": item_id, "state": {"$in": list(IN_FLIGHT)}}
        return [each["resultId"] for each in self.find(busy, fields=["resultId"])]
