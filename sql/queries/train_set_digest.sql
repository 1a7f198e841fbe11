-- One hash of a train set's rows, which does not depend on the file format (DuckDB over the train set's Parquet file).
-- Parameter: $path.
SELECT sha256(coalesce(string_agg(sha256(concat_ws(chr(31), id, example_id, origin, before, after, edits, weight, split,
                                                   language, coalesce(form, ''))), '' ORDER BY id), '')) AS digest
FROM read_parquet($path);
