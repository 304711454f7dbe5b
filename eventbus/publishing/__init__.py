"""Publishing: the event is written in the transaction of the change, or not at all."""
