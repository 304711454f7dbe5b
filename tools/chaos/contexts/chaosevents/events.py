"""Events whose consumers fail."""

from uuid import UUID

from eventbus import Event


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
    """Its consumer misbehaves half of the time, in the way that is named."""

    work_id: UUID
    kind: str
