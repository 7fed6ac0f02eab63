"""What a build costs on this machine, measured stage by stage."""
