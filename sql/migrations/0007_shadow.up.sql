-- What a challenger answered to a request beside the champion, whose answer stands in the journal under the same id. `gain`: how much
-- likelier the base model finds it than the champion's, in nats. It goes wherever the answer beside it goes.
CREATE TABLE shadow_answer (
    correction_id TEXT PRIMARY KEY,
    at TEXT NOT NULL,
    adapter TEXT NOT NULL,
    after TEXT NOT NULL,
    fallback TEXT,
    seconds DOUBLE PRECISION,
    gain DOUBLE PRECISION
);

CREATE INDEX shadow_answer_at ON shadow_answer (at);
