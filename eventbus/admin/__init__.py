"""The bus to look at: the log and its tables, read-only for everybody.

They change by what happens, and by an operator's verbs, never by a form.
"""

from eventbus.admin import delivery, log, operations

__all__ = ["delivery", "log", "operations"]
