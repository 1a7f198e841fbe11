-- Of verified corrections, other corrections and untouched texts the $most whose hash of seed and id comes first: what
-- core/pool.py draws from a million examples, found without reading them into Python (DuckDB over a snapshot's Parquet file).
-- Parameters: $path, $seed, $most.
WITH standings AS (
    SELECT id,
           CASE WHEN before = after THEN 'untouched' WHEN verified THEN 'verified' ELSE 'corrected' END AS standing
    FROM read_parquet($path)
)
SELECT id, standing
FROM standings
QUALIFY row_number() OVER (PARTITION BY standing ORDER BY substr(sha256($seed || ':' || id), 1, 24), id) <= $most;
