"""What payments adds to manage.py."""
