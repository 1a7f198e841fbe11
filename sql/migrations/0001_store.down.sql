-- Removes the store and everything in it.

DROP TABLE thumb;
DROP TABLE feedback;
DROP TABLE correction_journal;
DROP TABLE release;
DROP TABLE decision;
DROP TABLE landing;
DROP TABLE quarantine;
DROP TABLE accepted_state;
DROP TABLE correction_script;
DROP TABLE text_repository;
DROP TABLE mapping_emotion_form_tone;
DROP TABLE tone;
DROP TABLE form;
DROP TABLE task;
DROP TABLE language;
