"""Read models for figures, fed by events alone. It publishes nothing."""
