"""The inside of the sandbox: what runs in the fresh interpreter that `pad_ray.sandbox.zygote` starts.

Only the standard library and relative imports here: the interpreter runs without site-packages and finds this folder as
the top-level package `jail`.

supervisor → child → interpret → language, gate, values        (what a program meets)
supervisor → lockdown → syscalls                               (what the kernel refuses)
frames                                                         (the only thing that comes back)
"""
