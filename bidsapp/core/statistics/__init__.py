"""Lines, groups and courses: the mathematics of cohorts and calibrations."""
