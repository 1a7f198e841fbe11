-- What a train set is made of: pairs and weight by origin and split (DuckDB over the train set's Parquet file).
-- Parameter: $path.
SELECT origin, split, count(*) AS pairs, sum(weight) AS weight
FROM read_parquet($path)
GROUP BY origin, split
ORDER BY origin, split;
