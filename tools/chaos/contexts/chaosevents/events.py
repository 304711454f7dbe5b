"""Events whose consumers fail."""

from uuid import UUID

from eventbus import Event


class WorkDone(Event, about="work_id"):
    """Requested work was done: published in the transaction of its consumer."""

    work_id: UUID


class FlakyWorkRequested(Event, about="work_id"):
    """Its consumer fails one time out of three."""

    work_id: UUID


class EarlyWorkRequested(Event, about="work_id"):
    """Its consumer gives up in the first second, and succeeds when it is retried later."""

    work_id: UUID


class CrashRequested(Event, about="work_id"):
    """Its consumer kills its process."""

    work_id: UUID


class MisbehaviourRequested(Event, about="work_id"):
    """Its consumer misbehaves at the first delivery, in the way that is named."""

    work_id: UUID
    kind: str
