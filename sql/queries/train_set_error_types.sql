-- How often each ERRANT type stands among a train set's edits, without its operation (R:, M:, U:).
-- Parameter: $path.
SELECT type, count(*) AS edits
FROM (
    SELECT regexp_replace(unnest(CAST(json_extract_string(edits, '$[*].type') AS VARCHAR[])), '^[RMU]:', '') AS type
    FROM read_parquet($path)
)
GROUP BY type
ORDER BY edits DESC, type;
