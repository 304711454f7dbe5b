"""A password that passes the validators."""

PASSWORD = "teh-melati-4-orang"
