"""Images in memory: voxels and affine, rigid transforms, interpolation, smooth fields."""
