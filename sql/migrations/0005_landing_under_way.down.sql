DROP TABLE landing_under_way;
