-- The rows of a snapshot whose ids stand in the table `wanted`, by id (DuckDB over the snapshot's Parquet file).
-- Parameter: $path.
SELECT * FROM read_parquet($path) WHERE id IN (SELECT id FROM wanted) ORDER BY id;
