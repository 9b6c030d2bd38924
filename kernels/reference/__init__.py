"""The definition of every operation that has kernels, in plain NumPy and float64; what the tests compare with.

    conv.py linear.py norm.py pool.py activation.py elementwise.py loss.py image.py reduce.py optim.py layout.py

One file a family, with the names that the families have in `kernels/cpu`. Arrays in, new arrays out; obvious before
fast. A kernel `<op>_<pass>[_<algorithm>]` is defined by the function `<op>_<pass>`; `<op>_grads` defines all gradients
at once. `conv` serves any number of axes.
"""
