"""Statistics of cohorts and calibrations: regression, groups, longitudinal change."""
