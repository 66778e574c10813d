"""wrapt's wrappers as modules of our own, from whichever copy of wrapt is in reach.

In a bundle they stand in this folder; else wrapt lies beside us in our own environment, or
somewhere on the program's path. Its other modules cost tens of milliseconds, its extension is tied
to one Python; and whether and which `wrapt` the program imports itself stays its own affair.
"""

import sys

__path__ += [f"{entry or '.'}/wrapt" for entry in (__path__[0] + "/../..", *sys.path)]
