-- Landings that have begun and not ended: no run starts over half of a file. `seen_at` moves on with every batch, so that a
-- landing that was killed is known by its silence; what is left of it tells that its rows are not all there.
CREATE TABLE landing_under_way (
    id TEXT PRIMARY KEY,
    file TEXT NOT NULL,
    began_at TEXT NOT NULL,
    seen_at TEXT NOT NULL
);
