"""accounts keeps who the shop's people are: customers and operators, and how they log in."""
