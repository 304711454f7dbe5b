"""What an operator may do with the bus: each power is a right of its own, and superusers have all.

To see what is on the bus is Django's right to view, table by table.
"""

SEE = "eventbus.see_payload"
REPLAY = "eventbus.replay_event"  # letters retried, events replayed, read models rebuilt
EDIT = "eventbus.edit_payload"  # together with SEE
DISCARD = "eventbus.discard_letter"
ARCHIVE = "eventbus.archive_event"  # and restore
NOTE = "eventbus.change_deadletter"
