"""notifications sends messages to customers: by mail, SMS and push, in their language, once."""
