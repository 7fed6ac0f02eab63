"""Settings, the command line and logs: what every other package stands on."""
