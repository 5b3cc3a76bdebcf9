"""The lab's AWS: moto's server, made as strict as AWS, with the backplane the other processes live on.

`world` holds what moto has no place for, `hooks` is how rules and replacements are laid over moto's models,
one module a service says what is laid over, `snapshot` and `backplane` are the inside, `server` serves it all.
"""
