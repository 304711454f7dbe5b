"""Permission codenames of the operator's operations; none includes another, superusers have all.

Lists and records of the bus take Django's own view permission of each table.
"""

VIEW_PAYLOAD = "eventbus.view_payload"
REPLAY = "eventbus.replay_event"  # retry dead letters, replay events, rebuild read models
EDIT_PAYLOAD = "eventbus.edit_payload"  # takes VIEW_PAYLOAD as well
DISCARD = "eventbus.discard_dead_letter"
ARCHIVE = "eventbus.archive_event"  # archive and restore
NOTE = "eventbus.change_deadletter"
