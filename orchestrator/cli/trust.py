"""The option by which a user consents to the code of backbones from users' files."""

from typing import Annotated

from cyclopts import Parameter

TrustCode = Annotated[
    bool,
    Parameter(
        help="Run the code of backbones that come from a user's file (nets/my_net.py:build), which "
        "the models contain; it can do whatever you can.",
        show_default="refuse such models",
    ),
]
