"""Points fixed to the skin, a little above chosen vertices: where motion-capture markers sit.

Source: Mahmood et al. 2019 (AMASS, MoSh++): a marker of 9.5 mm radius lies on the skin.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from motionlab.body.body_model import BodyModel, check_vertex_ids


class Markers(nn.Module):
    """Marker positions: vertex + offset * unit vertex normal; only the vertices around the markers are computed.

    A vertex normal is the sum of the normals of its faces, each weighted by the face's area. Built by
    :meth:`BodyModel.markers`; called with the arguments of :meth:`BodyModel.joints`.

    Args:
        body: A body with faces.
        vertex_ids: M vertex ids.
        offset_m: Distance from the skin, metres.

    Raises:
        ValueError: An id is no vertex of the body, or (with an offset) a vertex without faces.
    """

    def __init__(self, body: BodyModel, vertex_ids: Sequence[int] | Tensor, offset_m: float = 0.0095):
        super().__init__()
        ids = check_vertex_ids(vertex_ids, body)  # (M,)
        faces = body.faces[torch.isin(body.faces, ids).any(dim=1)] if offset_m else body.faces[:0]  # (F, 3)
        lone = ids[~torch.isin(ids, faces)] if offset_m else ids[:0]
        if len(lone):
            raise ValueError(f'markers: vertices {lone.tolist()} have no face, hence no normal')
        kept = torch.cat([ids, faces.flatten()]).unique()
        self.offset_m = offset_m
        self.body = body.select_vertices(kept)
        self.register_buffer('places', torch.searchsorted(kept, ids), persistent=False)  # (M,)
        self.register_buffer('corners', torch.searchsorted(kept, faces), persistent=False)  # (F, 3)

    def forward(self, *args: Tensor | None, **poses: Tensor | None) -> Tensor:
        """Markers (..., M, 3) in metres; arguments and errors as in :meth:`BodyModel.joints`."""
        vertices = self.body.vertices(*args, **poses)  # (..., n, 3)
        if not self.offset_m:
            return vertices[..., self.places, :]
        first, second, third = (vertices[..., corner, :] for corner in self.corners.unbind(dim=1))
        normals = torch.linalg.cross(second - first, third - first)  # (..., F, 3), twice the area long
        # Complete at the markers only, which is where it is read.
        sums = torch.zeros_like(vertices).index_add(-2, self.corners.flatten(),
                                                    normals.repeat_interleave(3, dim=-2))  # (..., n, 3)
        normals = F.normalize(sums[..., self.places, :], dim=-1)
        return vertices[..., self.places, :] + self.offset_m * normals
