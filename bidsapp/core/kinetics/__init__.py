"""Reference-tissue kinetics of dynamic PET; ``docs/kinetics.md`` has the equations.

``curves`` frame means as integrals, ``weights`` of the frames, ``study`` what models are given and
give, ``srtm`` and ``linear`` the models by region, ``voxelwise`` by voxel, ``models`` all together,
``dynamic`` which scans qualify.
"""
