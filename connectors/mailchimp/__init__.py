"""mailchimp."""
