"""Links between admin pages of the bus."""

from uuid import UUID

from infra.admin import link


def event_link(id: UUID, text: str = "") -> str:
    """Return a link to an event in the log."""
    return link("eventbus_event_change", text or str(id), id)
