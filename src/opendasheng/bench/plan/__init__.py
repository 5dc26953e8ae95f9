"""What training a model of any size needs: memory, multiplications, traffic and days, reckoned from shapes."""
