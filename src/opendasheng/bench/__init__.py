"""How fast OpenDasheng is: comparisons on the CPU, and what they could be at best by counting multiplications."""
