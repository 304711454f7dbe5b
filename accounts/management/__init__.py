"""What an operator of the house can do here by command line."""
