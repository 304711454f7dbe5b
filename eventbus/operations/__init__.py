"""Operations for operators: audit records, dead letters, replays, rebuilds, archives."""
