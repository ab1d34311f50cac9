"""Object stores and other file systems by URL, through fsspec: addresses, errors, and folders of files."""
