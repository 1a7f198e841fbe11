DROP INDEX feedback_correction;
ALTER TABLE feedback DROP COLUMN ticked;
ALTER TABLE feedback DROP COLUMN giver;
