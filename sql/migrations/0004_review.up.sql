-- What a reviewer thought of an answer (`correctly review`): grades from 1 to 5 by scenario and by who answered. No text of
-- the answer is kept. The id is a hash over who reviewed which wording of a scenario by which adapter, so that it counts once.
CREATE TABLE review (
    id TEXT PRIMARY KEY,
    reviewer TEXT NOT NULL,
    scenario TEXT NOT NULL,
    scenario_sha TEXT NOT NULL,
    system TEXT NOT NULL,
    release TEXT,
    adapter TEXT,
    naturalness INTEGER NOT NULL CHECK (naturalness BETWEEN 1 AND 5),
    clarity INTEGER NOT NULL CHECK (clarity BETWEEN 1 AND 5),
    note TEXT,
    at TEXT NOT NULL
);

CREATE INDEX review_adapter ON review (adapter);
