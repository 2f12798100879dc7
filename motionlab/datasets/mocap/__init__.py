"""Motion capture files (BVH, ASF/AMC) and their conversion to SMPL-X motion files.

``archives`` finds recordings -> ``bvh`` / ``asf`` + ``amc`` parse them -> ``clip`` is one motion on its own skeleton ->
``sources`` and ``smplx_conversion`` carry it to SMPL-X -> ``motion_file`` writes and reads the result.
"""
