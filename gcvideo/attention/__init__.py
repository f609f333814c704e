"""Where a net looks: attention maps, Grad-CAM, their pictures, and whether they depend on the query."""
