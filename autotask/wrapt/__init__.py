"""wrapt's wrappers as modules of our own, from any copy of wrapt that can be found.

In a bundle they are in this folder; otherwise wrapt is beside us in our own environment, or
somewhere on the program's path. Its other modules cost tens of milliseconds, and its extension fits
one Python only. The program may import another `wrapt` itself: it must see no other one.
"""

import sys

__path__ += [f"{entry or '.'}/wrapt" for entry in (__path__[0] + "/../..", *sys.path)]
