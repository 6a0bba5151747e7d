"""The commands: stages in order, in a workspace that survives a kill."""
