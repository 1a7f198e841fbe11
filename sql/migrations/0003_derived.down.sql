DROP TABLE derived;
