-- Removes the taxonomy's rows. Refused by the database while examples refer to a language.

DELETE FROM mapping_emotion_form_tone;
DELETE FROM tone;
DELETE FROM form;
DELETE FROM task;
DELETE FROM language;
