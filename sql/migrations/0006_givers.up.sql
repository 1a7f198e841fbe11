-- Who gave a reaction, so that many votes of one person count as one where a release is judged by them: `api:` and the client's
-- name, or `open-webui:` and a hash of the account. Null where it is not known; all of these count as one person.
ALTER TABLE feedback ADD COLUMN giver TEXT;
-- What a person ticked beside a vote, as a list of words in JSON.
ALTER TABLE feedback ADD COLUMN ticked TEXT NOT NULL DEFAULT '[]';

UPDATE feedback SET giver = substr(source_key, 1, length(source_key) - length(correction_id) - 1)
    WHERE source_key LIKE 'api:%' AND length(source_key) > length(correction_id) + 5;

CREATE INDEX feedback_correction ON feedback (correction_id);
