"""X-ARES: what a frozen audio encoder is worth to a linear layer, to its nearest neighbours and to a frozen LM."""
