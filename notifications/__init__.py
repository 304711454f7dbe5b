"""notifications keeps telling people: by mail, SMS and push, in their language, once."""
