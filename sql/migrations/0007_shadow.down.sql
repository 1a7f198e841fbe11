DROP TABLE shadow_answer;
