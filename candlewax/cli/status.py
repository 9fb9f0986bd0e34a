"""x."""


def add(commands): ...
