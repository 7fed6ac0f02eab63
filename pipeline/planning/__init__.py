"""What a build will take, before it is begun: a pure model with coefficients that are measured once."""
