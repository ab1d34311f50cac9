"""The functions of `import sftdata`: what a program or a notebook gives them, and what they give back."""
