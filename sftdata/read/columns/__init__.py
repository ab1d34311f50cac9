"""What the columns of rows that fit no format may be: choices, answers of several models, names of classes."""
