-- Which landed example a teacher's example was prompted from or derived from; `forget` follows it. Ids only: no text.
CREATE TABLE derived (
    example_id TEXT PRIMARY KEY,
    source_id TEXT NOT NULL,
    teacher TEXT NOT NULL,
    at TEXT NOT NULL
);

CREATE INDEX derived_source ON derived (source_id);
