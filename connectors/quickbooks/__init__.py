"""quickbooks."""
