"""Tell people and programs of failures: by mail, a webhook, and the services of apprise."""
