"""The fields of an example of saliency, in a probe's result and in the analysis' table."""

from typing import Final

import pyarrow as pa

MAP: Final = pa.list_(pa.list_(pa.float32()))
EXAMPLE: Final = pa.struct(
    [
        pa.field("class_name", pa.string(), nullable=False),
        pa.field("image", pa.binary()),
        *(
            pa.field(f"{name}{ending}", kind, nullable=False)
            for ending in ("", "_mirrored")
            for name, kind in (
                ("map", MAP),
                ("probability", pa.float64()),
                ("predicted", pa.string()),
            )
        ),
    ]
)
"""class_name: the true class. image: PNG; null where it is not kept. map: (h, w), Grad-CAM of the
true class. probability: of the true class. predicted: the name of the most probable class.
…_mirrored: of the mirrored image, as it is seen there."""
