-- Normalised sources that stand in both splits; there must be none.
-- Parameter: $path.
SELECT source_sha
FROM read_parquet($path)
GROUP BY source_sha
HAVING count(DISTINCT split) > 1
LIMIT 5;
