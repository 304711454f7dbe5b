"""What lies in the way."""

from uuid import UUID

from eventbus import Event


class StoneLaid(Event, about="stone_id"):
    """Something to stumble over: whoever hears it fails now and then."""

    stone_id: UUID


class TrapLaid(Event, about="trap_id"):
    """Something to fall into: who hears it at once gives up, who hears it again gets by."""

    trap_id: UUID


class PoisonLaid(Event, about="poison_id"):
    """Something to die of: it takes the process of whoever hears it along."""

    poison_id: UUID
