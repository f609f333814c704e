"""Overrides shared by the tests that train."""

# A real I3D R50, narrow, on tiny clips: a run takes seconds.
TINY = [
    "width=4",
    "num_frames=4",
    "short_side=32",
    "max_short_side=40",
    "crop_size=32",
    "num_clips=2",
    "num_crops=1",
    "epochs=1",
    "warmup_epochs=0",
    "batch_size=4",
    "num_workers=0",
    "trainer=cpu",
    "report=false",
    "trainer.enable_progress_bar=false",
    "trainer.precision=32-true",
]
