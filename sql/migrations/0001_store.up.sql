-- The store: what has landed, what was decided, what is served. Portable SQL: every id and time is text (times are
-- ISO 8601 in UTC), flags are 0 or 1, lists are JSON in text. Another language or task is a row, never a column.

CREATE TABLE language (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL
);

CREATE TABLE task (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL
);

-- form_form is the wording that prompts put in place of {form_form}.
CREATE TABLE form (
    code TEXT PRIMARY KEY,
    form_form TEXT NOT NULL
);

CREATE TABLE tone (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL
);

-- How somebody who feels `emotion` sounds in `form`: what prompts put in place of {mapping_emotion_form_tone}.
CREATE TABLE mapping_emotion_form_tone (
    emotion TEXT NOT NULL,
    form TEXT NOT NULL REFERENCES form (code),
    tone TEXT NOT NULL REFERENCES tone (code),
    wording TEXT NOT NULL,
    PRIMARY KEY (emotion, form, tone)
);

-- The attributes that every text has, whatever task it serves.
CREATE TABLE text_repository (
    id TEXT PRIMARY KEY,
    form TEXT,
    tone TEXT,
    length_class TEXT NOT NULL,
    topic TEXT,
    language TEXT NOT NULL REFERENCES language (code),
    cefr TEXT,
    source TEXT NOT NULL,
    licence TEXT,
    landed_at TEXT NOT NULL,
    source_file TEXT,
    source_line INTEGER
);

CREATE INDEX text_repository_form_tone ON text_repository (form, tone);

-- The attributes of a correction. `decided_in` is the fingerprint of the first decision whose snapshot held the row;
-- `removal_decided_in` that of the first decision taken without it after it was removed again.
CREATE TABLE correction_script (
    id TEXT PRIMARY KEY,
    text_id TEXT NOT NULL REFERENCES text_repository (id),
    task TEXT NOT NULL REFERENCES task (code),
    style TEXT,
    key_expressions TEXT NOT NULL,
    speaker TEXT,
    before TEXT NOT NULL,
    after TEXT,
    reason TEXT,
    reasons TEXT NOT NULL,
    edits TEXT,
    status TEXT NOT NULL CHECK (status IN ('waiting', 'accepted', 'quarantined', 'forgotten')),
    content_sha TEXT NOT NULL,
    verified INTEGER NOT NULL DEFAULT 0,
    weight INTEGER NOT NULL DEFAULT 1,
    decided_in TEXT,
    removal_decided_in TEXT,
    accepted_at TEXT,
    forgotten_at TEXT
);

CREATE UNIQUE INDEX correction_script_content ON correction_script (content_sha);
CREATE INDEX correction_script_status ON correction_script (status, id);
CREATE INDEX correction_script_decided ON correction_script (status, decided_in);

-- One row: counts every change of the set of accepted rows, so that its digest is computed once per change.
CREATE TABLE accepted_state (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    digest TEXT,
    digest_revision INTEGER,
    last_landed_at TEXT
);

CREATE TABLE quarantine (
    id TEXT PRIMARY KEY,
    example_id TEXT,
    row_json TEXT NOT NULL,
    reason TEXT NOT NULL,
    rung TEXT NOT NULL,
    at TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'released', 'dropped')),
    settled_at TEXT
);

CREATE INDEX quarantine_state ON quarantine (state, at);
CREATE INDEX quarantine_example ON quarantine (example_id);

CREATE TABLE landing (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    file TEXT NOT NULL,
    sha TEXT,
    landed INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    at TEXT NOT NULL
);

CREATE TABLE decision (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    adapter TEXT,
    verdict TEXT NOT NULL CHECK (verdict IN ('promoted', 'refused', 'failed')),
    reasons TEXT NOT NULL,
    run_id TEXT,
    attempt INTEGER NOT NULL,
    rows_digest TEXT NOT NULL,
    recipe_digest TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    train_set TEXT,
    at TEXT NOT NULL
);

-- The newest row is the champion: one INSERT is the whole switch, and the gateway polls for it.
CREATE TABLE release (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    adapter TEXT NOT NULL,
    base_model TEXT NOT NULL,
    train_set TEXT,
    scores TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('promotion', 'rollback', 'override')),
    why TEXT NOT NULL,
    previous TEXT REFERENCES release (id),
    at TEXT NOT NULL
);

-- Every answer given, with personal data already replaced by placeholders.
CREATE TABLE correction_journal (
    id TEXT PRIMARY KEY,
    at TEXT NOT NULL,
    release TEXT,
    adapter TEXT,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    edits TEXT NOT NULL,
    fallback TEXT,
    client TEXT,
    chat_id TEXT,
    seconds DOUBLE PRECISION,
    tokens INTEGER,
    before_sha TEXT NOT NULL
);

CREATE INDEX correction_journal_at ON correction_journal (at);
CREATE INDEX correction_journal_before ON correction_journal (before_sha);
CREATE INDEX correction_journal_chat ON correction_journal (chat_id);

-- `source_key` names where a piece of feedback came from (a chat message, an HTTP call), so that it counts once.
CREATE TABLE feedback (
    id TEXT PRIMARY KEY,
    source_key TEXT NOT NULL UNIQUE,
    correction_id TEXT NOT NULL,
    rating INTEGER NOT NULL CHECK (rating IN (-1, 0, 1)),
    better TEXT,
    edits TEXT NOT NULL,
    comment TEXT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'landed', 'thumb', 'quarantined', 'ignored')),
    says TEXT,
    example_id TEXT,
    at TEXT NOT NULL,
    settled_at TEXT
);

CREATE INDEX feedback_state ON feedback (state, at);
CREATE INDEX feedback_example ON feedback (example_id);

-- Answers that a person confirmed. They are the model's own output: they only raise the weight of a pair that exists.
CREATE TABLE thumb (
    id TEXT PRIMARY KEY,
    feedback_id TEXT NOT NULL UNIQUE,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    before_sha TEXT NOT NULL,
    at TEXT NOT NULL
);

CREATE INDEX thumb_before ON thumb (before_sha);

INSERT INTO accepted_state (id, revision) VALUES ('accepted', 0);
