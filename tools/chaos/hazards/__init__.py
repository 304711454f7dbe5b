"""A context that is only there in storms: news that its own consumer stumbles over or dies of."""
