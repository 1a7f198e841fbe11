"""What `make bench-NAME` runs; results stand in results/."""
