"""sugarcrm."""
