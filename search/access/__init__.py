"""Who may do what, how often, and what they did: API keys, sessions of the page, rates, the audit log."""
