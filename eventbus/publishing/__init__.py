"""Publishing: an event is written in the transaction of its change, or not at all."""
