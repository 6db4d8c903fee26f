"""Images in memory: voxels and where they are, rigid transforms, interpolation, smooth fields."""
