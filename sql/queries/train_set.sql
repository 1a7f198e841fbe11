-- Builds a train set out of staged pairs (DuckDB over Parquet; core.text computes source_sha and split beforehand).
-- Parameters: $human_weight, $thumb_share (the part of all weight that thumbs may add, 0.2 = a fifth).
--
-- 1. Duplicates: the same target for the same normalised source, changed or left alone alike, is one pair.
-- 2. One text cannot have two targets: among pairs with the same source the better origin wins. Two people may
--    disagree, so verified human corrections all stay.
-- 3. Human corrections are seen human_weight times.
-- 4. A thumb only raises the weight of a pair that stands here anyway, and all thumbs together are capped.
WITH pairs AS (
    SELECT *, CASE origin WHEN 'human' THEN 0 WHEN 'example' THEN 1 WHEN 'teacher' THEN 2 WHEN 'injected' THEN 3
              ELSE 4 END AS rank
    FROM staged
    WHERE origin <> 'thumb'
),
distinct_pairs AS (
    SELECT * FROM pairs
    QUALIFY row_number() OVER (PARTITION BY source_sha, after, before = after ORDER BY rank, id) = 1
),
consistent AS (
    SELECT * FROM distinct_pairs
    QUALIFY origin = 'human' OR row_number() OVER (PARTITION BY before ORDER BY rank, id) = 1
),
weighted AS (
    SELECT *, CASE WHEN origin = 'human' THEN greatest(weight, $human_weight) ELSE weight END AS own_weight
    FROM consistent
),
confirmed AS (
    SELECT before, after, sum(weight) AS thumbs FROM staged WHERE origin = 'thumb' GROUP BY before, after
),
raised AS (
    SELECT w.*, coalesce(c.thumbs, 0) AS thumbs,
           sum(coalesce(c.thumbs, 0)) OVER (ORDER BY w.id ROWS UNBOUNDED PRECEDING) AS thumbs_so_far,
           sum(w.own_weight) OVER () AS own_total
    FROM weighted w
    LEFT JOIN confirmed c ON c.before = w.before AND c.after = w.after
)
SELECT id, example_id, origin, before, after, edits,
       CAST(own_weight + CASE WHEN thumbs_so_far <= floor(own_total * $thumb_share / (1 - $thumb_share))
                              THEN thumbs ELSE 0 END AS INTEGER) AS weight,
       split, language, form, source_sha
FROM raised
ORDER BY id;
