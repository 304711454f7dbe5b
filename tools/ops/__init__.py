"""Commands for operators: import, audit, demo data, REST contract, known vulnerabilities."""
